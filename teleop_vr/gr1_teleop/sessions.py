"""The websockets: one operator who drives, any number of pages that watch.

/ws/operator speaks protocol.py. /ws/watch is sent the same `state` messages, without haptics but with

    "topics": as `Watch.status` has them   "cameras": [role]   "operator": {"device", "kind"} or null

and may send what is below; each is answered by {"type": "done" or "failed", "action", "text": the bag's name, or why not}.

    {"type": "episode", "action": "start" | "success" | "failure" | "discard" | "relabel", "instruction": text?}
    {"type": "instruction", "text": text}

From a headset or phone success and discard must come twice; from a desk device and over /ws/watch once is enough: such a page asks its
user itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor

from aiohttp import WSMessage, WSMsgType, web

from gr1_teleop.episodes import EpisodeError, Episodes
from gr1_teleop.link import Busy
from gr1_teleop.page_state import States
from gr1_teleop.pages import Watch
from gr1_teleop.protocol import MAX_BYTES, EpisodeAction, Hello, ProtocolError, parse
from gr1_teleop.send_queue import Outlet, close, encode

MALFORMED, BUSY, LEAVING = 4400, 4409, 1001
HELLO_S = 5.0
"""How long a new operator may take to say who it is."""

_HEARTBEAT_S = 5.0
_CLOSE_S = 1.0
_LOOK_S, _TELL_S = 1 / 30, 0.1


class Sessions:
    """callers: the thread in which the recorder is called."""

    def __init__(self, link, episodes: Episodes, watch: Watch, callers: Executor):
        self._link, self._episodes, self._callers = link, episodes, callers
        self._states = States(link, episodes, watch)
        self._operator: tuple[Outlet, dict] | None = None
        self._watchers: set[Outlet] = set()
        self._someone, self._open = asyncio.Event(), 0
        self._doing: set[asyncio.Task] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/ws/operator", self._operate), web.get("/ws/watch", self._look_on)]

    async def refuse(self, request: web.Request, code: int, why: str) -> web.StreamResponse:
        """A websocket that only says why it is closed: a page is not told the status of a handshake that failed."""
        socket = await _socket(request)
        await close(socket, code, why)
        return socket

    async def tell(self) -> None:
        """Sends everybody the state, ten times a second and at every change; runs until it is cancelled."""
        told, at = "", 0.0
        while True:
            await self._someone.wait()
            now = time.monotonic()
            state, watched, mark = self._states.now(self._operator and self._operator[1])
            if mark != told or now - at >= _TELL_S:
                told, at = mark, now
                if self._operator:
                    self._operator[0].put(state)
                for watcher in self._watchers:
                    watcher.put(watched)
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Ends every websocket."""
        outlets = [*([self._operator[0]] if self._operator else []), *self._watchers]
        await asyncio.gather(*(outlet.close(LEAVING, "the server is closing") for outlet in outlets))

    async def _operate(self, request: web.Request) -> web.StreamResponse:
        socket = await _socket(request)
        try:
            hello = await _hello(socket)
            key = self._link.connect(hello.kind, hello.device)
        except ProtocolError as error:
            await close(socket, MALFORMED, str(error))
            return socket
        except Busy as error:
            await close(socket, BUSY, str(error))
            return socket
        why, former, wrong = "the server failed", self._operator, ""
        async with self._outlet(socket) as outlet:
            self._operator = outlet, {"device": hello.device, "kind": hello.kind}
            try:
                if former:  # silent for so long that the link has given its place away
                    self._beside(
                        former[0].close(
                            BUSY, "another operator has taken over, since nothing more came from here"
                        )
                    )
                await outlet.send(self._link.welcome())
                await self._listen(socket, key, two_steps=hello.kind != "desk")
                why = "the connection was closed"
            except ProtocolError as error:
                why = wrong = str(error)
            except ConnectionError:
                why = "the connection was lost"
            finally:
                self._link.disconnect(key, why)
                if self._operator and self._operator[0] is outlet:
                    self._operator = None
        if wrong:  # told after the clutch has been released
            await close(socket, MALFORMED, wrong)
        return socket

    async def _listen(self, socket: web.WebSocketResponse, key, two_steps: bool) -> None:
        """Until the socket closes. Raises ProtocolError for what cannot be understood."""
        async for message in socket:
            text = _text(message)
            for reply in self._link.receive(key, text, time.monotonic()):
                await socket.send_str(encode(reply))
            # Poses come ninety times a second: only what may be an episode's action is parsed here too.
            if (
                '"episode"' in text
                and self._link.drives(key)
                and isinstance(asked := parse(text), EpisodeAction)
            ):
                with contextlib.suppress(EpisodeError):  # the hand feels it, and the state says why
                    if call := self._episodes.press(asked.action, asked.instruction or "", two_steps):
                        self._carry_out(call)

    async def _look_on(self, request: web.Request) -> web.StreamResponse:
        socket = await _socket(request)
        async with self._outlet(socket) as outlet:
            self._watchers.add(outlet)
            try:
                async for message in socket:
                    asked = _asked(_text(message))
                    await self._ask(outlet, asked)
            except ProtocolError as error:
                await close(socket, MALFORMED, str(error))
            except ConnectionError:
                pass  # gone before its answer
            finally:
                self._watchers.discard(outlet)
        return socket

    async def _ask(self, outlet: Outlet, asked: EpisodeAction | str) -> None:
        """An episode's action or an instruction from a page that watches."""
        action = asked.action if isinstance(asked, EpisodeAction) else "instruction"
        try:
            if isinstance(asked, EpisodeAction):
                call = self._episodes.press(action, asked.instruction or "")
            else:
                call = self._episodes.instruct(asked)
        except EpisodeError as error:
            await outlet.send({"type": "failed", "action": action, "text": str(error)})
        else:
            self._carry_out(call, outlet, action)

    def _carry_out(self, call: Callable[[], str], outlet: Outlet | None = None, action: str = "") -> None:
        """Calls the recorder beside everything else, and tells `outlet` how that ended."""

        async def run() -> None:
            try:
                kind, text = "done", await asyncio.get_running_loop().run_in_executor(self._callers, call)
            except EpisodeError as error:
                kind, text = "failed", str(error)
            if outlet:
                with contextlib.suppress(ConnectionError):
                    await outlet.send({"type": kind, "action": action, "text": text})

        self._beside(run())

    def _beside(self, work: Coroutine) -> None:
        """Does it without being waited for."""
        task = asyncio.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    @contextlib.asynccontextmanager
    async def _outlet(self, socket: web.WebSocketResponse) -> AsyncIterator[Outlet]:
        outlet = Outlet(socket)
        sending = asyncio.create_task(outlet.run())
        self._open += 1
        self._someone.set()
        try:
            yield outlet
        finally:
            sending.cancel()
            self._open -= 1
            if not self._open:
                self._someone.clear()


async def _socket(request: web.Request) -> web.WebSocketResponse:
    # aiohttp refuses a message of max_msg_size bytes. Compression would let a small message unfold into a large one.
    socket = web.WebSocketResponse(
        max_msg_size=MAX_BYTES + 1, heartbeat=_HEARTBEAT_S, timeout=_CLOSE_S, compress=False
    )
    await socket.prepare(request)
    return socket


async def _hello(socket: web.WebSocketResponse) -> Hello:
    try:
        message = await socket.receive(HELLO_S)
    except TimeoutError:
        raise ProtocolError(f"no hello within {HELLO_S:g} s: it is the first message") from None
    said = parse(_text(message))
    if not isinstance(said, Hello):
        raise ProtocolError(f"the first message is {type(said).__name__}, expected hello")
    return said


def _text(message: WSMessage) -> str:
    if message.type is WSMsgType.ERROR:  # too large, above all; aiohttp has closed the socket already
        raise ProtocolError(str(message.data))
    if message.type is not WSMsgType.TEXT:
        raise ProtocolError("message is not text: send JSON as a text frame")
    return message.data


def _asked(text: str) -> EpisodeAction | str:
    """What a page that watches may say: an episode's action, or an instruction's text."""
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        raw = json.loads(text)
        if raw.get("type") == "instruction" and isinstance(raw.get("text"), str):
            return raw["text"]
    said = parse(text)
    if not isinstance(said, EpisodeAction):
        raise ProtocolError(
            f"{type(said).__name__} is nothing that a page may say that only watches: episode and instruction are"
        )
    return said
