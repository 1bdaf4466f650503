"""The websockets: one operator, any number of watching pages.

/ws/operator uses the messages of protocol.py. /ws/watch gets the same `state` messages, without haptics but
with

    "topics": as in `RobotView.status`   "cameras": [role]   "operator": {"device", "kind"} or null

It may send

    {"type": "episode", "action": see protocol.EPISODE_ACTIONS, "instruction": text (optional)}
    {"type": "instruction", "text": text}
    {"type": "edit", ...}: a change of a recorded episode, see `episode_editor.edit_episode`

and gets {"type": "done" or "failed", "action", "text": the bag's name, what is marked, or the reason}.

A client that paired with the view token gets {"type": "viewer"} first; all that it sends is refused, and it
cannot become the operator.

A headset or phone must send success and discard twice. A desk device and /ws/watch send them once: their page
asks the user itself. If conversion would leave out a good part of the episode, success must be sent twice by
all; the first is answered by {"type": "asked", "action", "text": what would be left out}.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor

from aiohttp import WSMessage, WSMsgType, web

from gr1_teleop.auth import VIEW_ONLY
from gr1_teleop.episode_control import EpisodeControl, EpisodeError
from gr1_teleop.episode_editor import EditError, edit_episode
from gr1_teleop.operator_link import OperatorBusy
from gr1_teleop.page_state import PageState
from gr1_teleop.pages import RobotView
from gr1_teleop.protocol import MAX_BYTES, EpisodeAction, Hello, ProtocolError, parse
from gr1_teleop.send_queue import SendQueue, close, encode

MALFORMED, FORBIDDEN, BUSY, LEAVING = 4400, 4403, 4409, 1001
HELLO_S = 5.0
"""Time limit for the first message of a new operator, s."""

_VIEW_ONLY = "this address is for watching only: open the other one that the terminal shows"
_NO_OPERATOR = "this stack takes no operator: start it with --takeover or --driver teleop"
_HEARTBEAT_S = 5.0
_CLOSE_S = 1.0
_POLL_S, _BROADCAST_PERIOD_S = 1 / 30, 0.1


class Sessions:
    """callers: executor for calls of the recorder. operate: whether a page may become the operator."""

    def __init__(
        self, link, episodes: EpisodeControl, view: RobotView, callers: Executor, operate: bool = True
    ):
        self._link, self._episodes, self._callers, self._operate = link, episodes, callers, operate
        self._page_state = PageState(link, episodes, view)
        self._operator: tuple[SendQueue, dict] | None = None
        self._watchers: set[SendQueue] = set()
        self._has_clients, self._open = asyncio.Event(), 0
        self._background: set[asyncio.Task] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/ws/operator", self._serve_operator), web.get("/ws/watch", self._watch)]

    async def refuse(self, request: web.Request, code: int, why: str) -> web.StreamResponse:
        """Accepts a websocket, sends the reason and closes it (a failed handshake carries no reason)."""
        socket = await open_socket(request)
        await close(socket, code, why)
        return socket

    async def broadcast_state(self) -> None:
        """Sends the state to all clients, ten times a second and at every change, until cancelled."""
        sent, at = "", 0.0
        while True:
            await self._has_clients.wait()
            now = time.monotonic()
            state, watched, mark = self._page_state.snapshot(self._operator and self._operator[1])
            if mark != sent or now - at >= _BROADCAST_PERIOD_S:
                sent, at = mark, now
                if self._operator:
                    self._operator[0].put_state(state)
                for watcher in self._watchers:
                    watcher.put_state(watched)
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        """Closes all websockets."""
        queues = [*([self._operator[0]] if self._operator else []), *self._watchers]
        await asyncio.gather(*(queue.close(LEAVING, "the server is closing") for queue in queues))

    async def _serve_operator(self, request: web.Request) -> web.StreamResponse:
        if request.get(VIEW_ONLY):
            return await self.refuse(request, FORBIDDEN, _VIEW_ONLY)
        if not self._operate:
            return await self.refuse(request, FORBIDDEN, _NO_OPERATOR)
        socket = await open_socket(request)
        try:
            hello = await _hello(socket)
            key = self._link.connect(hello.kind, hello.device, hello.session)
        except ProtocolError as error:
            await close(socket, MALFORMED, str(error))
            return socket
        except OperatorBusy as error:
            await close(socket, BUSY, str(error))
            return socket
        why, former, wrong = "the server failed", self._operator, ""
        async with self._send_queue(socket) as queue:
            self._operator = queue, {"device": hello.device, "kind": hello.kind}
            try:
                if (
                    former
                ):  # silent for so long that the link has accepted another one, or the same page again
                    text = "replaced by another operator after no message arrived from here"
                    self._run_in_background(former[0].close(BUSY, text))
                await queue.send(self._link.welcome())
                await self._listen(socket, key, two_steps=hello.kind != "desk")
                why = "the connection was closed"
            except ProtocolError as error:
                why = wrong = str(error)
            except ConnectionError:
                why = "the connection was lost"
            finally:
                self._link.disconnect(key, why)
                if self._operator and self._operator[0] is queue:
                    self._operator = None
        if wrong:  # sent after the clutch has been released
            await close(socket, MALFORMED, wrong)
        return socket

    async def _listen(self, socket: web.WebSocketResponse, key, two_steps: bool) -> None:
        """Handles messages until the socket closes. Raises ProtocolError for an invalid one."""
        async for message in socket:
            text = text_of(message)
            for reply in self._link.receive(key, text, time.monotonic()):
                await socket.send_str(encode(reply))
            # Poses arrive 90 times a second: only a possible episode action is parsed a second time.
            if (
                '"episode"' in text
                and self._link.is_operator(key)
                and isinstance(asked := parse(text), EpisodeAction)
            ):
                with contextlib.suppress(EpisodeError):  # reported by a haptic pulse and in the state
                    if call := self._episodes.press(asked.action, asked.instruction or "", two_steps):
                        self._run_recorder_call(call)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        socket = await open_socket(request)
        async with self._send_queue(socket) as queue:
            view_only = request.get(VIEW_ONLY)
            if view_only:
                await queue.send({"type": "viewer"})
            self._watchers.add(queue)
            try:
                async for message in socket:
                    asked = _parse_request(text_of(message))
                    if view_only:
                        await queue.send({"type": "failed", "action": "", "text": _VIEW_ONLY})
                    else:
                        await self._handle_request(queue, asked)
            except ProtocolError as error:
                await close(socket, MALFORMED, str(error))
            except ConnectionError:
                pass  # closed before the response
            finally:
                self._watchers.discard(queue)
        return socket

    async def _handle_request(self, queue: SendQueue, asked: EpisodeAction | str | dict) -> None:
        """Handles an episode action, an instruction or a change of an episode from a watching page."""
        action = asked.action if isinstance(asked, EpisodeAction) else "instruction"
        try:
            if isinstance(asked, dict):
                action, index = "edit", self._episodes.index
                call = functools.partial(edit_episode, index, asked)
            elif isinstance(asked, EpisodeAction):
                call = self._episodes.press(action, asked.instruction or "")
            else:
                call = self._episodes.set_instruction(asked)
        except EpisodeError as error:
            await queue.send({"type": "failed", "action": action, "text": str(error)})
        else:
            if call is None:
                why = self._episodes.state()["confirm_why"]
                await queue.send({"type": "asked", "action": action, "text": why})
            else:
                self._run_recorder_call(call, queue, action)

    def _run_recorder_call(
        self, call: Callable[[], str], queue: SendQueue | None = None, action: str = ""
    ) -> None:
        """Calls the recorder in the background and sends the result to `queue`."""

        async def run() -> None:
            try:
                kind, text = "done", await asyncio.get_running_loop().run_in_executor(self._callers, call)
            except (EpisodeError, EditError) as error:
                kind, text = "failed", str(error)
            if queue:
                with contextlib.suppress(ConnectionError):
                    await queue.send({"type": kind, "action": action, "text": text})

        self._run_in_background(run())

    def _run_in_background(self, work: Coroutine) -> None:
        """Starts a task without waiting for it."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @contextlib.asynccontextmanager
    async def _send_queue(self, socket: web.WebSocketResponse) -> AsyncIterator[SendQueue]:
        queue = SendQueue(socket)
        sending = asyncio.create_task(queue.run())
        self._open += 1
        self._has_clients.set()
        try:
            yield queue
        finally:
            sending.cancel()
            self._open -= 1
            if not self._open:
                self._has_clients.clear()


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    # aiohttp refuses messages of max_msg_size bytes. Compressed messages could become large after decoding.
    socket = web.WebSocketResponse(
        max_msg_size=MAX_BYTES + 1, heartbeat=_HEARTBEAT_S, timeout=_CLOSE_S, compress=False
    )
    await socket.prepare(request)
    return socket


async def _hello(socket: web.WebSocketResponse) -> Hello:
    try:
        message = await socket.receive(HELLO_S)
    except TimeoutError:
        raise ProtocolError(f"no hello within {HELLO_S:g} s: it must be the first message") from None
    said = parse(text_of(message))
    if not isinstance(said, Hello):
        raise ProtocolError(f"the first message is {type(said).__name__}, expected hello")
    return said


def text_of(message: WSMessage) -> str:
    if message.type is WSMsgType.ERROR:  # usually too large; aiohttp has closed the socket
        raise ProtocolError(str(message.data))
    if message.type is not WSMsgType.TEXT:
        raise ProtocolError("message is not text: send JSON as a text frame")
    return message.data


def _parse_request(text: str) -> EpisodeAction | str | dict:
    """A message of a watching page: an episode action, the text of an instruction, or a change (a dict)."""
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        raw = json.loads(text)
        if raw.get("type") == "instruction" and isinstance(raw.get("text"), str):
            return raw["text"]
        if raw.get("type") == "edit" and len(text) <= MAX_BYTES:
            return raw
    said = parse(text)
    if not isinstance(said, EpisodeAction):
        raise ProtocolError(
            f"{type(said).__name__} is not allowed on /ws/watch: send episode, instruction or edit"
        )
    return said
