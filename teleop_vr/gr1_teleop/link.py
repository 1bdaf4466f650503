"""The one operator: what came last, in which order, how late; and what the arm is to do now.

Messages come from the server's thread, `command` and `halt` are asked by the node's: one lock joins them. Nothing here waits.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from gr1_robot.arm.backend import Pose
from gr1_teleop.clock import Clock
from gr1_teleop.clutch import Clutch
from gr1_teleop.protocol import (
    Bye,
    DeskVelocity,
    EpisodeAction,
    HandPose,
    Hello,
    Message,
    Ping,
    ProtocolError,
    Recenter,
    RoundTrip,
    parse,
)
from gr1_teleop.settings import Command, Event

GONE_S = 5.0
"""An operator from whom nothing comes for so long has lost its place to the next that asks."""
_FLOOD, _FLOOD_S = 10, 1.0
_PULSES = {
    "engaged": ("clutch", 40, 0.6),
    "released": ("clutch", 80, 0.4),
    "refused": ("refused", 120, 1.0),
    "forward": ("clutch", 40, 0.3),
}
"""What the hand feels of an event: kind, ms, strength 0..1."""


class Busy(RuntimeError):
    """There is an operator already; its text says who."""


class Link:
    """See the module's text. One operator at a time: `connect` gives the key that everything from it must carry."""

    def __init__(self, clutch: Clutch, clock: Clock, time_s: Callable[[], float] = time.monotonic):
        self._clutch, self._clock, self._time = clutch, clock, time_s
        self._lock = threading.RLock()
        self._key: object | None = None
        self._kind = self._device = ""
        self._heard = -math.inf
        self._pulses: deque[dict] = deque(maxlen=8)
        clutch.on_event = self._feel
        self._forget()

    # The server's side

    def connect(self, kind: str, device: str) -> object:
        """A new operator; raises Busy while another is there. kind: headset, phone or desk."""
        with self._lock:
            now = self._time()
            if self._key is not None and now - self._heard <= GONE_S:
                raise Busy(
                    f"there is an operator already ({self._device}): it must leave first, or be silent for {GONE_S:g} s"
                )
            # The same device after a lost connection still stands in the same frame.
            self._clutch.begin(kind, keep_forward=(kind, device) == (self._kind, self._device))
            self._clock.reset()
            self._forget()
            self._key, self._kind, self._device, self._heard = object(), kind, device, now
            return self._key

    def welcome(self) -> dict:
        """What a new operator is told first."""
        return {
            "type": "welcome",
            "operator": True,
            "scale": self._clutch.settings.scale,
            "rate": 1.0 / self._clutch.period,
        }

    def receive(self, key: object, text: str, now: float) -> list[dict]:
        """One message that arrived at `now`; returns what to answer. Raises ProtocolError; a former operator is not heard."""
        with self._lock:
            if key is not self._key:
                return []
            message = parse(text)
            self._heard = now
            if isinstance(message, Ping):
                return [{"type": "pong", "t": message.t, "host": now}]
            self._take(message, now)
            return []

    def drives(self, key: object) -> bool:
        """Whether this is still the operator."""
        with self._lock:
            return key is self._key

    def disconnect(self, key: object, why: str) -> None:
        """The operator has gone; nothing happens if it was not the operator any more."""
        with self._lock:
            if key is self._key:
                self._clutch.release(why)
                self._key = None

    def state(self) -> dict:
        """For the pages: `figures`, and the pulses for the hand (`haptics`), which are given once."""
        with self._lock:
            pulses = list(self._pulses)
            self._pulses.clear()
            return self.figures() | {"haptics": pulses}

    def figures(self) -> dict:
        """How the clutch stands, how messages come: times in ms, NaN where not known."""
        with self._lock:
            return {
                "clutch": self._clutch.state,
                "why": self._clutch.why,
                "gripper_waits": self._clutch.gripper_waits,
                "forward_deg": math.degrees(self._clutch.forward),
                "rtt_ms": self._clock.round_trip_ms(0.5),
                "rtt_p99_ms": self._clock.round_trip_ms(0.99),
                "offset_ms": self._clock.offset_ms,
                "age_ms": 1e3 * self._age,
                "lost": self._lost,
                "old": self._old,
            }

    # The node's side

    @property
    def operator(self) -> tuple[str, str] | None:
        """(kind, device) of the operator, None for nobody."""
        with self._lock:
            return (self._kind, self._device) if self._key is not None else None

    def command(
        self, commanded: Pose | None, now: float, closure: float | None = None, blocked: str = ""
    ) -> Command | None:
        """What to send for the coming control period, None for nothing; see `Clutch.command`."""
        with self._lock:
            return self._clutch.command(commanded, now, closure, blocked)

    def sample_age(self, now: float) -> float:
        """s since the newest sample was taken on its device, NaN while there is none."""
        with self._lock:
            return self._age + now - self._sampled

    def halt(self, now: float) -> Command | None:
        """The zero twist that is due when an engagement has just ended, else None: ask often, it makes the stop come sooner."""
        with self._lock:
            return self._clutch.halt(now)

    def release(self, why: str) -> None:
        """Ends the engagement from the robot's side."""
        with self._lock:
            self._clutch.release(why)

    # Behind the lock

    def _take(self, message: Message, now: float) -> None:
        match message:
            case HandPose() | DeskVelocity():
                desk = self._kind == "desk"
                if desk != isinstance(message, DeskVelocity):
                    raise ProtocolError(
                        f"a {self._kind} sends {'velocity' if desk else 'pose'}: say hello as what you are"
                    )
                if self._fresh(message, now):
                    self._age, self._sampled = self._clock.age(message.t, now), now
                    self._clutch.feed(message, now, self._age)
            case Recenter():
                # Counted, but obeyed in any order: to let go is never wrong.
                self._fresh(message, now)
                self._clutch.recenter()
            case RoundTrip():
                self._clock.trip(message, now)
            case Bye():
                self.disconnect(self._key, "the operator has left")
                # Who comes next stands anywhere, even with the same device.
                self._kind = self._device = ""
            case Hello():
                raise ProtocolError("hello: said already; it is the first message only")
            case EpisodeAction():
                pass  # the server has acted on it; here it only says that the operator is there

    def _fresh(self, message: HandPose | DeskVelocity | Recenter, now: float) -> bool:
        """Whether a message comes after the one before it, by number and by time; if not it is counted and dropped."""
        if message.seq > self._seq and message.t >= self._t:
            if self._seq >= 0:
                self._lost += message.seq - self._seq - 1
            self._seq, self._t = message.seq, message.t
            return True
        self._old += 1
        self._olds.append(now)
        if len(self._olds) == _FLOOD and now - self._olds[0] <= _FLOOD_S:
            self._clutch.release(f"{_FLOOD} old or repeated messages within a second")
        return False

    def _forget(self) -> None:
        self._seq, self._t, self._age, self._sampled = -1, -math.inf, math.nan, math.nan
        self._lost = self._old = 0
        self._olds: deque[float] = deque(maxlen=_FLOOD)

    def _feel(self, event: Event) -> None:
        kind, ms, strength = _PULSES[event.kind]
        self._pulses.append({"kind": kind, "ms": ms, "strength": strength})
