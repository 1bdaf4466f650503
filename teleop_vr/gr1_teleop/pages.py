"""HTTP routes: the two pages and their files, camera images, the list of episodes, single episodes."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from aiohttp import web

from gr1_core.data.bag import BagError
from gr1_core.data.schemas import SchemaError
from gr1_core.images import ImageError
from gr1_teleop.auth import PAGES
from gr1_teleop.episode_index import EpisodeIndex
from gr1_teleop.episode_outliers import EpisodeOutliers
from gr1_teleop.episode_player import EpisodePlayer
from gr1_teleop.page_actions import PageActions
from gr1_teleop.send_queue import encode

WEB = Path(__file__).with_name("web")
_DOCUMENTS = dict(zip(PAGES, ("operator.html", "desk.html")))
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


class RobotView(Protocol):
    """The robot as the server sees it. The server's threads call all methods; they return at once."""

    def camera_images(self) -> dict[str, bytes]:
        """The newest JPEG of each camera, by role, of each predicted frame, as "predicted_<role>", and of
        the policy's open call, as "call"."""

    def want_predicted(self) -> None:
        """A page shows the policy's predicted frames; they are decoded only while one does."""

    def status(self) -> dict:
        """{"gate": {"state", "reason", "source"}, "recorder": the message of recorder/state, "topics":
        [{"topic", "hz", "expected_hz", "age_s", "problem"}], "instruction": text, "warnings": [text],
        "policy": {"message", "level", "rate_hz", "inference_p50_ms", "score_static", "score_wrist", "limit",
        "static_local", "wrist_local" (residuals, grey levels), "call": the open call's policy/call}, {}
        without a policy}; unknown values are left out."""


class Pages:
    """files: folder of the pages. readers: executor that reads bags."""

    def __init__(self, index: EpisodeIndex, view: RobotView, readers: Executor, files: Path = WEB):
        self._index, self._view, self._readers = index, view, readers
        self._player = EpisodePlayer(index)
        self._outliers = EpisodeOutliers(index.folder, lambda: not self._recording())
        # Files are listed once: no path of a request ever reaches the file system.
        self._files = {
            path.relative_to(files).as_posix(): path
            for path in sorted(files.rglob("*"))
            if path.suffix in _TYPES
        }
        if missing := [name for name in _DOCUMENTS.values() if name not in self._files]:
            raise FileNotFoundError(f"{files} lacks {', '.join(missing)}: reinstall the package gr1_teleop")

    def routes(self) -> list[web.RouteDef]:
        return [
            *(web.get(page, self._document) for page in PAGES),
            web.get("/web/{name:.+}", self._file),
            web.get("/stream/{role}.jpg", self._camera_image),
            web.get("/api/episodes", self._episodes),
            web.get("/api/outliers", self._outlier_list),
            web.get("/api/episodes/{name}/thumbnail.jpg", self._thumbnail),
            web.get("/api/episodes/{name}/view", self._episode_view),
            web.get("/api/episodes/{name}/{role}.jpg", self._episode_frame),
            *PageActions(self._view).routes(),
        ]

    def close(self) -> None:
        self._outliers.close()

    async def _document(self, request: web.Request) -> web.StreamResponse:
        return _file_response(self._files[_DOCUMENTS[request.path]])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text=f"no file '{name[:100]}'\n")
        return _file_response(self._files[name])

    async def _camera_image(self, request: web.Request) -> web.StreamResponse:
        role, frames = request.match_info["role"], self._view.camera_images()
        if role.startswith("predicted_"):
            self._view.want_predicted()
        if role not in frames:
            text = f"no image of a camera '{role[:100]}' has been received"
            raise web.HTTPNotFound(text=f"{text}; there are: {', '.join(frames) or 'none'}\n")
        return web.Response(body=frames[role], content_type="image/jpeg")

    async def _episodes(self, request: web.Request) -> web.StreamResponse:
        """The list; without its rows if the query's `known` is the list's version."""
        listing = await self._read(self._index.list_episodes, self._recording())
        if request.query.get("known") == listing["version"]:
            listing = {name: listing[name] for name in ("version", "disk")}
        return web.json_response(listing)

    def _recording(self) -> str:
        """Name of the bag that is being recorded, or ""."""
        recorder = self._view.status().get("recorder") or {}
        return recorder.get("bag", "") if recorder.get("state") == "recording" else ""

    async def _outlier_list(self, _: web.Request) -> web.StreamResponse:
        bags = await self._read(self._index.bags, "success")
        return web.json_response(self._outliers.request(bags))

    async def _episode_view(self, request: web.Request) -> web.StreamResponse:
        view = await self._from_bag(request, self._player.view)
        return web.json_response(text=encode(view))

    async def _episode_frame(self, request: web.Request) -> web.StreamResponse:
        """One frame of a camera at the query's `t`, s."""
        try:
            seconds = float(request.query.get("t", "0"))
        except ValueError:
            raise web.HTTPBadRequest(text="t must be seconds from the recording's beginning\n") from None
        image = await self._from_bag(request, self._player.frame, request.match_info["role"], seconds)
        kept = {"Cache-Control": "private, max-age=3600"}
        return web.Response(body=image, content_type="image/jpeg", headers=kept)

    async def _from_bag(self, request: web.Request, read, *given):
        name = request.match_info["name"]
        try:
            found = await self._read(read, name, *given)
        except (BagError, SchemaError, ImageError, OSError) as error:
            raise web.HTTPUnprocessableEntity(text=f"{error}\n") from None
        if found is None:
            raise web.HTTPNotFound(text=f"no such episode, camera or image: '{name[:100]}'\n")
        return found

    async def _thumbnail(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        image = await self._read(self._index.thumbnail, name)
        if image is None:
            raise web.HTTPNotFound(text=f"no image of an episode '{name[:100]}'\n")
        # A bag's images never change, and its name contains the time of the recording.
        return web.Response(
            body=image, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"}
        )

    async def _read(self, call, *given):
        return await asyncio.get_running_loop().run_in_executor(self._readers, call, *given)


def _file_response(path: Path) -> web.StreamResponse:
    return web.FileResponse(
        path,
        headers={
            "Content-Type": f"{_TYPES[path.suffix]}{'' if path.suffix == '.png' else '; charset=utf-8'}"
        },
    )
