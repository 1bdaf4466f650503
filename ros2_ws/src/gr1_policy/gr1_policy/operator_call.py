"""A call of the operator by the prediction monitor: open until a person answers it or its time is over.
ROS-free.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

CALLING, CONFIRMED, TAKEN_OVER = "calling", "confirmed", "taken_over"
LATCHED, ENDED = "latched", "ended"
"""States of a call. LATCHED: nobody answered. ENDED: a new instruction, or the policy was deactivated."""
PERSON_S = 1.0
"""s after the last command of teleoperation during which a person counts as driving."""
SLOWED_S = 1.0
"""s within which the gate must confirm that it has slowed the policy."""


@dataclass(frozen=True)
class Call:
    """number: of the calls since the node's start. timeout: s that a person has to answer."""

    number: int
    state: str
    reason: str
    timeout: float


class OperatorCall:
    """At most one call at a time. Used from any thread.

    timeout: s; 0: nobody is called, the arm is stopped at once. on_change(call): called at every change, not
    under a lock.
    """

    def __init__(
        self,
        timeout: float,
        on_change: Callable[[Call], None] = lambda call: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.timeout, self._on_change, self._clock = timeout, on_change, clock
        self._lock = threading.Lock()
        self._call: Call | None = None
        self._began = self._person_at = -math.inf
        self._slowed = False
        self._count = 0

    @property
    def call(self) -> Call | None:
        """The open call."""
        with self._lock:
            return self._call

    def begin(self, reason: str) -> bool:
        """Opens a call; False where one is open or calls are off."""
        with self._lock:
            if self._call or not self.timeout:
                return False
            self._count += 1
            self._call = call = Call(self._count, CALLING, reason, self.timeout)
            self._began, self._slowed = self._clock(), False
        self._on_change(call)
        return True

    def answer(self, state: str) -> str:
        """Ends the open call in this state; returns its reason, "" where none is open."""
        with self._lock:
            call, self._call = self._call, None
        if call is None:
            return ""
        self._on_change(Call(call.number, state, call.reason, call.timeout))
        return call.reason

    def on_slowed(self) -> None:
        """The gate has slowed the policy."""
        with self._lock:
            self._slowed = True

    def overdue(self) -> str:
        """Why the arm must be stopped now: nobody has answered, or the gate has not slowed; else ""."""
        with self._lock:
            if self._call is None:
                return ""
            passed = self._clock() - self._began
            if passed > self._call.timeout:
                return f"{self._call.reason}; nobody answered within {self._call.timeout:g} s"
            if passed > SLOWED_S and not self._slowed:
                return f"{self._call.reason}; the arm node does not slow the policy"
            return ""

    def on_person(self) -> None:
        """A command of teleoperation has come."""
        with self._lock:
            self._person_at = self._clock()

    @property
    def person_drives(self) -> bool:
        with self._lock:
            return self._clock() - self._person_at < PERSON_S
