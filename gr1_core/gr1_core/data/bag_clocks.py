"""The clocks of a bag: header stamps, publish_time, log_time. Which of them agree, and which one orders
the messages.

A recording under simulated time has header stamps and log_time on the simulated clock, while publish_time is
often the middleware's wall clock. Messages are then ordered by log_time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from gr1_core.data.bag import topic_matches

TWO_CLOCKS_S = 5.0
"""publish_time and log_time of a message that are this far apart come from two clocks, not from a slow
network.
"""
AHEAD_S = 0.1
"""Header stamps this far after the time of sending are named."""
BEHIND_S = 0.5
"""Header stamps this far before the time of sending are named, where the rig says no maximum age."""
_EXPECTED = {
    "arm/pose": "geometry_msgs/msg/PoseStamped",
    "arm/gripper": "sensor_msgs/msg/JointState",
    "image_raw": "sensor_msgs/msg/Image",
    "image_raw/compressed": "sensor_msgs/msg/CompressedImage",
    "command/policy/twist": "geometry_msgs/msg/TwistStamped",
    "command/teleop/twist": "geometry_msgs/msg/TwistStamped",
    "command/policy/gripper": "std_msgs/msg/Float32",
    "command/teleop/gripper": "std_msgs/msg/Float32",
}


def expected_type(topic: str) -> str:
    """The message type that the stack uses on a topic of this name; "" for a topic that it does not know."""
    return next((type for suffix, type in _EXPECTED.items() if topic_matches(topic, suffix)), "")


def type_problem(topic: str, type: str) -> str:
    """What is wrong with a topic of this type, "" for nothing."""
    expected = expected_type(topic)
    if not expected or type == expected:
        return ""
    return f"{topic} is {type or 'without a type'}, expected {expected}"


@dataclass
class Times:
    """One topic's times, ns, in the order of the file. stamps: of the headers, empty for a type without
    one.
    """

    stamps: Sequence[int] = field(default_factory=list)
    sent: Sequence[int] = field(default_factory=list)
    received: Sequence[int] = field(default_factory=list)


def uses_log_time(topics: Mapping[str, Times]) -> bool:
    """Whether log_time orders the messages of this bag: publish_time is of another clock, and further
    from the header stamps, or there is none.
    """
    apart, to_sent, to_received = (
        _typical(topics, pair) for pair in (("sent", "received"), ("stamps", "sent"), ("stamps", "received"))
    )
    if all(not any(times.sent) for times in topics.values()):
        return True
    if apart is None or abs(apart) < TWO_CLOCKS_S:
        return False
    return to_received is None or abs(to_received) < abs(to_sent)


def clock_problems(topics: Mapping[str, Times], ages: Mapping[str, float]) -> Iterator[str]:
    """What is wrong with the clocks, one text each. ages: topic -> maximum age, s, of topics that the rig
    uses.
    """
    log_time = uses_log_time(topics)
    apart = _typical(topics, ("sent", "received"))
    if apart is not None and abs(apart) >= TWO_CLOCKS_S:
        sent, received = (_first(topics, kind) for kind in ("sent", "received"))
        used = "log_time" if log_time else "publish_time"
        yield (
            f"publish_time ({_date(sent)}) and log_time ({_date(received)}) are of two clocks; messages are "
            f"ordered by {used}, which agrees with the header stamps best"
        )
    for topic, times in topics.items():
        if text := stamp_problem(times, ages.get(topic, BEHIND_S), log_time):
            yield f"{topic}: {text}"


def stamp_problem(times: Times, max_age: float, log_time: bool = False) -> str:
    """What is wrong with a topic's header stamps, "" for nothing."""
    stamps = np.asarray(times.stamps, np.int64)
    moments = np.asarray(times.received if log_time else times.sent, np.int64)
    if not len(stamps):
        return ""
    zeros = int(((stamps == 0) & (moments > 1_000_000_000)).sum())  # simulated time begins with 0
    if zeros:
        return f"{zeros} of {len(stamps)} header stamps are 0: its driver must stamp its messages"
    late = float(np.median(moments - stamps)) * 1e-9
    if abs(late) > 3600.0:
        return (
            f"header stamps ({_date(int(stamps[0]))}) are of another clock than the recorder's "
            f"({_date(int(moments[0]))}): simulated time needs use_sim_time:=true at every node, the "
            "recorder too"
        )
    if late > max_age:
        return (
            f"header stamps are {late:.2f} s behind the time of sending, the rig allows {max_age:g} s: set "
            "the clock of its camera or computer"
        )
    if late < -AHEAD_S:
        return (
            f"header stamps are {-late:.2f} s ahead of the time of sending: set the clock of its camera or "
            "computer"
        )
    return ""


class Clocks:
    """The times of all messages of some topics, to find the clock that orders them."""

    def __init__(self):
        self._times: dict[str, Times] = {}

    def add(self, message, stamp: int | None) -> None:
        times = self._times.setdefault(message.topic, Times())
        times.sent.append(message.publish_time)
        times.received.append(message.log_time)
        if stamp is not None:
            times.stamps.append(stamp)

    @cached_property
    def log_time(self) -> bool:
        return uses_log_time(self._times)

    def moments(self, topic: str) -> list[int]:
        times = self._times[topic]
        return times.received if self.log_time else times.sent

    def problem(self, topic: str, age: float) -> str:
        problem = stamp_problem(self._times[topic], age, self.log_time)
        return f"{topic}: {problem}" if problem else ""


def _typical(topics: Mapping[str, Times], pair: tuple[str, str]) -> float | None:
    """s: the median of all topics' median difference second - first; None where no topic has both."""
    medians = []
    for times in topics.values():
        first, second = (getattr(times, name) for name in pair)
        if len(first) and len(first) == len(second):
            medians.append(np.median(np.asarray(second, np.int64) - np.asarray(first, np.int64)))
    return float(np.median(medians)) * 1e-9 if medians else None


def _first(topics: Mapping[str, Times], kind: str) -> int:
    return min(
        (min(getattr(times, kind)) for times in topics.values() if len(getattr(times, kind))), default=0
    )


def _date(ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ns * 1e-9, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):
        return f"{ns * 1e-9:.0f} s"
