"""Sends states over one websocket: only the newest state, but all haptic pulses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Mapping

from aiohttp import web

_MAX_REASON = 120  # bytes of a close frame's text; the protocol allows 123
_CLOSE_TIMEOUT_S = 2.0


class SendQueue:
    """`put_state` never waits; `run` sends until the socket is closed."""

    def __init__(self, socket: web.WebSocketResponse):
        self._socket = socket
        self._newest: dict | None = None
        self._pulses: list[dict] = []
        self._wake = asyncio.Event()

    def put_state(self, state: dict) -> None:
        self._pulses += state.get("haptics", ())
        self._newest = state
        self._wake.set()

    async def send(self, message: Mapping) -> None:
        await self._socket.send_str(encode(message))

    async def run(self) -> None:
        while not self._socket.closed:
            await self._wake.wait()
            self._wake.clear()
            state, pulses = self._newest, self._pulses
            self._pulses = []
            try:
                await self.send(state | {"haptics": pulses} if "haptics" in state else state)
            except ConnectionError:  # closed meanwhile: the reader of the socket reports why
                return

    async def close(self, code: int, why: str) -> None:
        """Sends the reason, then closes."""
        await close(self._socket, code, why)


async def close(socket: web.WebSocketResponse, code: int, why: str) -> None:
    """Sends the message `refused` and a close frame with the reason; waits at most 2 s for the client."""
    if socket.closed:
        return
    reason = why.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await socket.send_str(encode({"type": "refused", "why": why}))
            await socket.close(code=code, message=reason)


def encode(message: Mapping) -> str:
    """JSON for browsers: NaN and infinities become null."""
    try:
        return json.dumps(message, allow_nan=False, default=float)
    except ValueError:
        return json.dumps(_finite(message), default=float)


def _finite(value):
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
