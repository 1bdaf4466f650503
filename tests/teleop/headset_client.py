"""A headset without a browser: sends its hand's pose at 72 Hz over the real websocket and keeps the messages
it receives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import aiohttp

from tests.teleop.https_client import HELLO, Client

HZ = 72.0
_PING_S, _LEAST_TRIP_S = 0.5, 0.004
_AGAIN_S = 0.2
"""Minimum retransmission timeout of TCP on Linux, s."""


def client(url: str, certificate: Path) -> Client:
    """Client of a server in another process. certificate: its PEM file."""
    return Client(SimpleNamespace(url=url, _certificate=SimpleNamespace(path=certificate)))


class HeadsetClient:
    """position (m), orientation (xyzw) in local-floor: the next frame sends the attributes' present values.

    delay_s: that each message takes, both ways; loss: share of the frames that are lost on the way, and on
    this reliable connection sent again later, while all behind them wait.
    """

    def __init__(self, client: Client, kind: str = "headset", delay_s: float = 0.0, loss: float = 0.0):
        self.position, self.orientation = [0.2, 1.1, -0.3], [0.0, 0.0, 0.0, 1.0]
        self.squeeze, self.trigger, self.visible, self.tracked = 0.0, 0.0, True, True
        self.told: list[dict] = []
        self._client, self._kind, self._delay, self._loss = client, kind, delay_s, loss
        self._changed, self._random = threading.Condition(), random.Random(1)
        self._frozen, self._failure = threading.Event(), None
        self._ready, self._queue = threading.Event(), asyncio.Queue()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="wearer", daemon=True)
        self._thread.start()
        assert self._ready.wait(20) and not self._failure, f"no connection: {self._failure!r}"

    def say(self, message: dict) -> None:
        self._loop.call_soon_threadsafe(self._post, message)

    def press(self, action: str, **more: str) -> None:
        self.say({"type": "episode", "action": action} | more)

    def until(self, what: str, holds, after: int = 0, timeout: float = 20.0) -> dict:
        """The first message after number `after` for which `holds` is true."""
        found = []

        def look() -> bool:
            found.extend(message for message in self.told[after:] if holds(message))
            return bool(found)

        with self._changed:
            seen = self._changed.wait_for(look, timeout)
            assert seen, f"never told {what}; the last: {self.told[-1:]}"
        return found[0]

    def state(self, what: str, holds, after: int | None = None, timeout: float = 20.0) -> dict:
        """The first state from now (or number `after`) on for which `holds` is true."""
        start = len(self.told) if after is None else after
        return self.until(what, lambda message: message["type"] == "state" and holds(message), start, timeout)

    def engage(self) -> None:
        """Opens the hand, squeezes, and returns when the arm follows."""
        self.squeeze = 0.0
        self.state(
            "an open clutch and a round trip",
            lambda state: state["clutch"] == "open" and state["rtt_ms"] is not None,
        )
        self.squeeze = 1.0
        self.state("that the arm follows", lambda state: state["clutch"] == "engaged")

    def vanish(self) -> float:
        """Stops sending without a goodbye; returns the time, s on the steady clock."""
        self._frozen.set()
        return time.monotonic()

    def close(self) -> None:
        self.vanish()
        with contextlib.suppress(
            RuntimeError
        ):  # the server has ended the connection, and this thread with it
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with aiohttp.ClientSession() as session:
                headers = {"Origin": self._client.origin, **self._client.cookie}
                address = f"{self._client.origin}/ws/operator"
                async with session.ws_connect(address, headers=headers, ssl=self._client.tls) as socket:
                    await socket.send_str(json.dumps(HELLO | {"kind": self._kind}))
                    works = [
                        self._frames(),
                        self._pings(),
                        self._deliver(socket),
                        self._listen(socket),
                        self._ended.wait(),
                    ]
                    tasks = [asyncio.create_task(work) for work in works]
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for task in tasks:
                        task.cancel()
        except Exception as error:
            self._failure = error
            self._ready.set()

    async def _frames(self) -> None:
        due, number = time.monotonic(), 0
        while True:
            number += 1
            pose = (
                {"position": list(self.position), "orientation": list(self.orientation)}
                if self.tracked
                else {}
            )
            buttons = {"a": False, "b": False, "stick": False}
            hand = {
                "hand": "right",
                "tracked": self.tracked,
                "squeeze": self.squeeze,
                "trigger": self.trigger,
                "buttons": buttons,
            }
            now = 1e3 * time.monotonic()
            self._post({"type": "pose", "seq": number, "t": now, "visible": self.visible} | hand | pose)
            due = max(due + 1.0 / HZ, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _pings(self) -> None:
        while True:
            self._post({"type": "ping", "t": 1e3 * time.monotonic()})
            await asyncio.sleep(_PING_S)

    def _post(self, message: dict) -> None:
        late = self._sent_again() if message["type"] == "pose" and self._random.random() < self._loss else 0.0
        self._queue.put_nowait((time.monotonic() + self._delay + late, message))

    def _sent_again(self) -> float:
        """Delay of a lost frame, s: TCP notices the loss by the answer to the next frame; a second loss takes
        longer."""
        again = 1.0 / HZ + 1.25 * max(2.0 * self._delay, _LEAST_TRIP_S)
        return again + _AGAIN_S if self._random.random() < self._loss else again

    async def _deliver(self, socket) -> None:
        """Sends each message after its delay, in order: a lost message delays those behind it."""
        free = 0.0
        while True:
            at, message = await self._queue.get()
            free = max(free, at)
            if (wait := free - time.monotonic()) > 0.0:
                await asyncio.sleep(wait)
            if not self._frozen.is_set():
                await socket.send_str(json.dumps(message))

    async def _listen(self, socket) -> None:
        async for message in socket:
            if self._frozen.is_set():
                continue
            # Messages to the headset have the same delay.
            asyncio.get_running_loop().call_later(self._delay, self._hear, json.loads(message.data))

    def _hear(self, told: dict) -> None:
        if told["type"] == "pong":
            self._post({"type": "rtt", "t0": told["t"], "t1": 1e3 * time.monotonic(), "host": told["host"]})
        with self._changed:
            self.told.append(told)
            self._changed.notify_all()
        self._ready.set()
