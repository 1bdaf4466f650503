"""The stop button of every page: POST /api/stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from aiohttp import web

PATH = "/api/stop"


class StopRoute:
    """stop(): stops the arm; returns whether it is stopped, and a text for the person. May take seconds."""

    def __init__(self, stop: Callable[[], tuple[bool, str]]):
        self._stop = stop
        # Threads of its own: a stop waits for nothing else.
        self._callers: Executor = ThreadPoolExecutor(2, "teleop stop")

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self._serve)]

    def close(self) -> None:
        self._callers.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, _: web.Request) -> web.StreamResponse:
        stopped, text = await asyncio.get_running_loop().run_in_executor(self._callers, self._stop)
        return web.json_response({"stopped": stopped, "text": text})
