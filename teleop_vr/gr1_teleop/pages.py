"""What is fetched: the two pages and their files, camera pictures, the list of episodes. All of it behind the door."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from aiohttp import web

from gr1_teleop.auth import PAGES
from gr1_teleop.episode_index import Library

WEB = Path(__file__).with_name("web")
_DOCUMENTS = dict(zip(PAGES, ("operator.html", "desk.html")))
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


class Watch(Protocol):
    """The running robot as the server sees it; both are called from the server's threads and answer at once."""

    def pictures(self) -> dict[str, bytes]:
        """The newest JPEG of each camera's role."""

    def status(self) -> dict:
        """{"gate": {"state", "reason", "source"}, "recorder": the topic recorder/state, "topics": [{"topic", "hz", "expected_hz", "age_s",
        "trouble"}], "instruction": what the topic says, "warnings": [text]}; what is not known is left out."""


class Pages:
    """files: where the pages lie; readers: the threads in which bags are read."""

    def __init__(self, library: Library, watch: Watch, readers: Executor, files: Path = WEB):
        self._library, self._watch, self._readers = library, watch, readers
        # What may be asked for is listed once: no path from outside ever reaches the file system.
        self._files = {
            path.relative_to(files).as_posix(): path
            for path in sorted(files.rglob("*"))
            if path.suffix in _TYPES
        }
        if missing := [name for name in _DOCUMENTS.values() if name not in self._files]:
            raise FileNotFoundError(
                f"{files} lacks {', '.join(missing)}: install the package gr1_teleop again"
            )

    def routes(self) -> list[web.RouteDef]:
        return [
            *(web.get(page, self._document) for page in PAGES),
            web.get("/web/{name:.+}", self._file),
            web.get("/stream/{role}.jpg", self._picture),
            web.get("/api/episodes", self._episodes),
            web.get("/api/episodes/{name}/thumbnail.jpg", self._thumbnail),
        ]

    async def _document(self, request: web.Request) -> web.StreamResponse:
        return _send(self._files[_DOCUMENTS[request.path]])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text=f"no file '{name[:100]}' of these pages\n")
        return _send(self._files[name])

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        role, pictures = request.match_info["role"], self._watch.pictures()
        if role not in pictures:
            raise web.HTTPNotFound(
                text=f"no picture of a camera '{role[:100]}' has come; there are: {', '.join(pictures) or 'none'}\n"
            )
        return web.Response(body=pictures[role], content_type="image/jpeg")

    async def _episodes(self, _: web.Request) -> web.StreamResponse:
        recorder = self._watch.status().get("recorder") or {}
        recording = recorder.get("bag", "") if recorder.get("state") == "recording" else ""
        return web.json_response(await self._read(self._library.listing, recording))

    async def _thumbnail(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        picture = await self._read(self._library.thumbnail, name)
        if picture is None:
            raise web.HTTPNotFound(text=f"no picture of an episode '{name[:100]}'\n")
        # A bag's pictures never change, and its name says when it was recorded.
        return web.Response(
            body=picture, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"}
        )

    async def _read(self, call, *given):
        return await asyncio.get_running_loop().run_in_executor(self._readers, call, *given)


def _send(path: Path) -> web.StreamResponse:
    return web.FileResponse(
        path,
        headers={
            "Content-Type": f"{_TYPES[path.suffix]}{'' if path.suffix == '.png' else '; charset=utf-8'}"
        },
    )
