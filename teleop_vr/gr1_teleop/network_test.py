"""The network test of a page: before the first grip, at the pace and the size of a hand's samples.

/ws/network, from the page: {"type": "probe", "seq", "t"} at the pace of its samples, then
{"type": "probes_end", "seq", "rtt_ms"}. From the server: {"type": "pong", "t", "host"} for each probe, then
{"type": "network", ...}: see `Quality`, and the end of the connection.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from gr1_teleop.network_quality import BAD, NEARER, NetworkQuality
from gr1_teleop.protocol import Probe, ProbesEnd, ProtocolError, parse
from gr1_teleop.send_queue import close, encode
from gr1_teleop.sessions import MALFORMED, open_socket, text_of

MAX_TEST_S = 20.0
"""Time limit of one test, s."""


class NetworkTest:
    """timeout_s, max_age_s: limits of the clutch, see `NetworkQuality`."""

    def __init__(self, timeout_s: float, max_age_s: float):
        self._limits = timeout_s, max_age_s

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/ws/network", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = await open_socket(request)
        try:
            async with asyncio.timeout(MAX_TEST_S):
                await socket.send_str(encode(await self._test(socket)))
                await socket.close()
        except ProtocolError as error:
            await close(socket, MALFORMED, str(error))
        except TimeoutError:
            await close(socket, MALFORMED, f"a network test lasts at most {MAX_TEST_S:g} s")
        except ConnectionError:
            pass  # the page has gone
        return socket

    async def _test(self, socket: web.WebSocketResponse) -> dict:
        quality = NetworkQuality(*self._limits, window_s=MAX_TEST_S)
        async for message in socket:
            now, probe = time.monotonic(), parse(text_of(message))
            match probe:
                case Probe():
                    quality.add(probe.seq, probe.t, now)
                    await socket.send_str(encode({"type": "pong", "t": probe.t, "host": now}))
                case ProbesEnd():
                    found = quality.measure(now, probe.rtt_ms, last=probe.seq)
                    nothing = {"tone": BAD, "text": "too few samples arrived", "advice": NEARER}
                    return {"type": "network"} | (found.as_dict() if found else nothing)
                case _:
                    raise ProtocolError("only probes are allowed on /ws/network")
        raise ConnectionResetError("the page has gone")
