"""One stream during an episode: messages received and lost, gaps, faults. ROS-free."""

from __future__ import annotations

import math
from typing import NamedTuple

from gr1_common.timing import RateMeter
from gr1_recorder.streams import GAP, Stream

ENOUGH = 0.8
"""Share of the nominal rate below which a stream is faulty."""

_SPAN = 2.0


class Message(NamedTuple):
    """One received message.

    data: serialized. log_time, publish_time, stamp: int nanoseconds; stamp is the header's, publish_time
    where there is no header. sequence: its number at its publisher, None where the middleware has none.
    arrived: seconds on the steady clock.
    """

    topic: str
    data: bytes
    log_time: int
    publish_time: int
    stamp: int
    sequence: int | None
    arrived: float


class StreamStatistics:
    """One stream during one episode, which began at `began` (steady clock, s). `last` is the sequence number
    before the first message.
    """

    def __init__(self, stream: Stream, began: float, last: int | None = None):
        self.stream = stream
        self.received = self.gaps = self.lost = self.dropped = 0
        self._period = 1.0 / stream.hz if stream.hz else math.inf
        self._longest = 0.0
        self._rate = RateMeter(_SPAN)
        self._sequence = last
        self._stamp: int | None = None
        # A stream that is not required is expected from its first message on.
        self._since = self._arrived = began if stream.required else None

    def add_message(self, message: Message, one_sender: bool = True) -> None:
        """one_sender: whether the numbers on this topic come from one publisher, so that a missing one is a
        lost message.
        """
        if one_sender and message.sequence is not None:
            if self._sequence is not None and message.sequence > self._sequence:
                self.lost += message.sequence - self._sequence - 1
            self._sequence = message.sequence
        if self._stamp is not None:
            self._gap((message.stamp - self._stamp) * 1e-9, GAP * self._period)
        self._stamp = message.stamp
        self._since = message.arrived if self._since is None else self._since
        self._arrived = message.arrived
        self._rate.tick(message.arrived)
        self.received += 1

    def drop_last(self) -> None:
        """The last message could not be written."""
        self.received -= 1
        self.dropped += 1

    def expected(self, now: float) -> int:
        """Messages until `now` at the nominal rate; 0 for a stream without one."""
        return int((now - self._since) * self.stream.hz) if self._since is not None else 0

    def fault(self, now: float) -> str:
        """What is wrong at `now`, "" if nothing is."""
        if self._arrived is None or math.isinf(self.stream.max_age):
            return ""
        silence = now - self._arrived
        if silence > self.stream.max_age:
            return f"{self.stream.topic}: nothing for {silence:.1f} s"
        hz = self._rate.hz_at(now)
        if now - self._since > _SPAN and hz < ENOUGH * self.stream.hz:
            return f"{self.stream.topic}: {hz:.1f} Hz instead of {self.stream.hz:g}"
        return ""

    def end(self, now: float) -> None:
        """The episode is over: a silent stream has a gap that no later message shows."""
        if self._arrived is not None:
            self._gap(now - self._arrived, max(self.stream.max_age, GAP * self._period))

    def summary(self, now: float) -> dict:
        """This stream in the bag's label `topics` and on /diagnostics.

        received: in the bag; lost: sent, but never arrived (known where the middleware numbers messages, as
        Fast DDS does); dropped: arrived, but the disk was too slow; longest_gap_ms: between stamps.
        """
        return {
            "type": self.stream.type,
            "expected": self.expected(now),
            "received": self.received,
            "gaps": self.gaps,
            "longest_gap_ms": round(1e3 * self._longest, 1),
            "lost": self.lost,
            "dropped": self.dropped,
        }

    def _gap(self, seconds: float, limit: float) -> None:
        if self.stream.hz:
            self._longest = max(self._longest, seconds)
            self.gaps += seconds > limit
