"""The connection of the single operator: checks order and age of its messages and feeds the clutch.

Messages arrive in the server's thread; `compute_command` and `pop_stop_command` are called by the node. One
lock protects both. No call blocks.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from gr1_core.pose import Pose
from gr1_teleop.clutch import Clutch
from gr1_teleop.clutch_settings import ClutchEvent, TeleopCommand
from gr1_teleop.network_quality import NetworkQuality
from gr1_teleop.page_clock import PageClock
from gr1_teleop.protocol import (
    Bye,
    DeskVelocity,
    EpisodeAction,
    HandPose,
    Hello,
    Message,
    Ping,
    Probe,
    ProbesEnd,
    ProtocolError,
    Recenter,
    RoundTrip,
    parse,
)

OPERATOR_TIMEOUT_S = 5.0
"""An operator that has been silent for this long can be replaced by the next one."""
_MAX_OLD, _OLD_WINDOW_S = 10, 1.0
_PULSES = {
    "engaged": ("clutch", 40, 0.6),
    "released": ("clutch", 80, 0.4),
    "refused": ("refused", 120, 1.0),
    "forward": ("clutch", 40, 0.3),
}
"""Haptic pulse of each clutch event: kind, ms, strength 0..1."""


class OperatorBusy(RuntimeError):
    """There is an operator already; the text names it."""


class OperatorLink:
    """See the module's docstring. One operator at a time: `connect` returns the key of its session."""

    def __init__(self, clutch: Clutch, clock: PageClock, time_s: Callable[[], float] = time.monotonic):
        self._clutch, self._clock, self._time = clutch, clock, time_s
        self._lock = threading.RLock()
        self._key: object | None = None
        self._kind = self._device = self._session = ""
        self._last_message = -math.inf
        settings = clutch.settings
        self._network = NetworkQuality(settings.timeout_s, settings.max_sample_age_s)
        self._pulses: deque[dict] = deque(maxlen=8)
        clutch.on_event = self._queue_pulse
        self._reset_counters()

    # Called by the server

    def connect(self, kind: str, device: str, session: str = "") -> object:
        """Connects an operator; raises OperatorBusy while there is another. kind: headset, phone or desk.
        session: as in `Hello`; the same page replaces its own connection at once."""
        with self._lock:
            now = self._time()
            again = bool(session) and session == self._session
            if self._key is not None and not again and now - self._last_message <= OPERATOR_TIMEOUT_S:
                raise OperatorBusy(
                    f"there is an operator already ({self._device}): "
                    f"wait until it leaves or is silent for {OPERATOR_TIMEOUT_S:g} s"
                )
            # The same device after a lost connection keeps its forward direction.
            self._clutch.reset_for_device(kind, keep_forward=(kind, device) == (self._kind, self._device))
            self._clock.reset()
            self._reset_counters()
            self._key, self._kind, self._device, self._last_message = object(), kind, device, now
            self._session = session
            return self._key

    def welcome(self) -> dict:
        """The first message to a new operator."""
        return {
            "type": "welcome",
            "operator": True,
            "scale": self._clutch.settings.scale,
            "rate": 1.0 / self._clutch.period,
        }

    def receive(self, key: object, text: str, now: float) -> list[dict]:
        """Handles one message that arrived at `now`; returns the answers. Raises ProtocolError. Ignores a
        former operator."""
        with self._lock:
            if key is not self._key:
                return []
            message = parse(text)
            self._last_message = now
            if isinstance(message, Ping):
                return [{"type": "pong", "t": message.t, "host": now}]
            self._dispatch(message, now)
            return []

    def is_operator(self, key: object) -> bool:
        """Whether this key belongs to the present operator."""
        with self._lock:
            return key is self._key

    def disconnect(self, key: object, why: str) -> None:
        """The operator has gone: releases the clutch. No effect for a former operator."""
        with self._lock:
            if key is self._key:
                self._clutch.release(why)
                self._key = None

    def state(self) -> dict:
        """For the pages: `figures`; `network`: `Quality.as_dict` of the samples, or None; `haptics`: the
        pulses since the last call."""
        with self._lock:
            pulses = list(self._pulses)
            self._pulses.clear()
            quality = self._network.measure(self._time(), self._clock.round_trip_ms(0.5))
            return self.figures() | {"network": quality and quality.as_dict(), "haptics": pulses}

    def figures(self) -> dict:
        """State of the clutch and of the connection; times in ms, NaN if unknown."""
        with self._lock:
            return {
                "clutch": self._clutch.state,
                "why": self._clutch.why,
                "hand": self._clutch.hand,
                "gripper_waits": self._clutch.gripper_waits,
                "forward_deg": math.degrees(self._clutch.forward),
                "rtt_ms": self._clock.round_trip_ms(0.5),
                "rtt_p99_ms": self._clock.round_trip_ms(0.99),
                "offset_ms": self._clock.offset_ms,
                "age_ms": 1e3 * self._age,
                "lost": self._lost,
                "old": self._old,
            }

    # Called by the node

    @property
    def operator(self) -> tuple[str, str] | None:
        """(kind, device) of the operator, or None."""
        with self._lock:
            return (self._kind, self._device) if self._key is not None else None

    def compute_command(
        self, commanded: Pose | None, now: float, closure: float | None = None, blocked: str = ""
    ) -> TeleopCommand | None:
        """The command of the coming control period, or None; see `Clutch.compute_command`."""
        with self._lock:
            return self._clutch.compute_command(commanded, now, closure, blocked)

    def sample_age(self, now: float) -> float:
        """Time since the newest sample was taken on its device, s; NaN if there is none."""
        with self._lock:
            return self._age + now - self._sampled

    def pop_stop_command(self, now: float) -> TeleopCommand | None:
        """The zero twist after the end of an engagement, else None; see `Clutch.pop_stop_command`."""
        with self._lock:
            return self._clutch.pop_stop_command(now)

    def release(self, why: str) -> None:
        """Ends the engagement from the robot's side."""
        with self._lock:
            self._clutch.release(why)

    # Internals; the caller holds the lock

    def _dispatch(self, message: Message, now: float) -> None:
        match message:
            case HandPose() | DeskVelocity():
                desk = self._kind == "desk"
                if desk != isinstance(message, DeskVelocity):
                    expected = "velocity" if desk else "pose"
                    raise ProtocolError(f"a {self._kind} sends {expected}: send hello with the right kind")
                self._network.add(message.seq, message.t, now)
                if self._is_newest(message, now):
                    self._age, self._sampled = self._clock.message_age(message.t, now), now
                    self._clutch.add_sample(message, now, self._age)
            case Recenter():
                # Counted, but accepted in any order: releasing is always safe.
                self._is_newest(message, now)
                self._clutch.recenter()
            case RoundTrip():
                self._clock.add_round_trip(message, now)
            case Bye():
                self.disconnect(self._key, "the operator has left")
                # The next operator may stand elsewhere, even with the same device.
                self._kind = self._device = self._session = ""
            case Hello():
                raise ProtocolError("hello: it must be the first message only")
            case Probe() | ProbesEnd():
                raise ProtocolError("probes are not allowed here: send them on /ws/network")
            case EpisodeAction():
                pass  # handled by the server; here it only shows that the operator is present

    def _is_newest(self, message: HandPose | DeskVelocity | Recenter, now: float) -> bool:
        """Whether the message is newer than the last one, by number and by time; older ones are counted and
        dropped."""
        if message.seq > self._seq and message.t >= self._t:
            if self._seq >= 0:
                self._lost += message.seq - self._seq - 1
            self._seq, self._t = message.seq, message.t
            return True
        self._old += 1
        self._old_times.append(now)
        if len(self._old_times) == _MAX_OLD and now - self._old_times[0] <= _OLD_WINDOW_S:
            self._clutch.release(f"{_MAX_OLD} old or repeated messages within a second")
        return False

    def _reset_counters(self) -> None:
        self._seq, self._t, self._age, self._sampled = -1, -math.inf, math.nan, math.nan
        self._lost = self._old = 0
        self._network.reset()
        self._old_times: deque[float] = deque(maxlen=_MAX_OLD)

    def _queue_pulse(self, event: ClutchEvent) -> None:
        kind, ms, strength = _PULSES[event.kind]
        self._pulses.append({"kind": kind, "ms": ms, "strength": strength})
