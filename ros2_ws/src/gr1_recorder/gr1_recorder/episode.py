"""One episode while it is recorded: its labels, its statistics, its writer. No ROS import."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gr1_core.data import schemas
from gr1_core.data.bag_writer import BagWriter
from gr1_recorder.stream_statistics import Message, StreamStatistics
from gr1_recorder.streams import Stream
from gr1_recorder.writer import MB, Writer

HELD_S = 2.0
"""How long a stream's trouble stays reported after it is over: a gap of a fifth of a second must be seen by who looks once a second."""


@dataclass(frozen=True)
class Limits:
    """queue: bytes that may wait for the disk. min_free: free bytes that a start needs; at half of them a running episode is ended.
    max_seconds: length after which an episode is ended."""

    queue: int
    min_free: int
    max_seconds: float


class Episode:
    """Recording from the moment it is made. `reason` says why it must be ended, "" while it may go on.

    streams: absolute topic -> Stream. started: ns of the node's clock; began: the same moment in s of the steady clock. last: topic ->
    sequence number of the message before the first one.
    """

    def __init__(
        self,
        bag: BagWriter,
        streams: Mapping[str, Stream],
        limits: Limits,
        started: int,
        began: float,
        last: Mapping[str, int | None],
    ):
        self.name, self.folder, self.started, self.began = bag.folder.name, bag.folder, started, began
        self.labels: dict[str, str] = {}
        self.statistics = {topic: StreamStatistics(stream, began, last.get(topic)) for topic, stream in streams.items()}
        self.troubles: dict[str, str] = {}
        self.reason, self._slow = "", False
        self._limits, self._since, self._lock = limits, {}, threading.Lock()
        self._writer = Writer(bag, limits.queue, limits.min_free // 2, self.stop)

    def add(self, message: Message, one_sender: bool = True) -> None:
        count = self.statistics[message.topic]
        count.add(message, one_sender)
        if not self._writer.put(message):
            count.drop()

    def add_latched(self, message: Message) -> None:
        """A fact labels_of_message before the episode: written as if it came at the start, so that the bag is whole by itself."""
        self.add(message._replace(log_time=self.started, arrived=self.began), one_sender=False)

    def update_labels(self, message: Message) -> None:
        """An instruction or a task that was sent before the start and arrived after it is this episode's."""
        if message.publish_time <= self.started:
            self.labels |= labels_of_message(self.statistics[message.topic].stream.topic, message.data)

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason

    def watch(self, now: float) -> list[str]:
        """Looks at all streams; returns what has newly gone wrong."""
        if now - self.began > self._limits.max_seconds:
            self.stop(f"longer than max_episode_s, {self._limits.max_seconds:g} s")
        new = []
        if not self._slow and any(count.dropped for count in self.statistics.values()):
            self._slow = True
            new.append("the disk is too slow: messages are lost")
        with self._lock:
            for topic, count in self.statistics.items():
                if trouble := count.trouble(now):
                    if topic not in self.troubles:
                        new.append(trouble)
                    self.troubles[topic], self._since[topic] = trouble, now
                elif topic in self.troubles and now - self._since[topic] > HELD_S:
                    del self.troubles[topic]
        return new

    def trouble(self) -> str:
        with self._lock:
            return "; ".join(self.troubles.values())

    def close(self, outcome: str, note: str, now: float) -> Path:
        """Writes what waits and completes the bag; `now` is the end. Raises BagError when the disk does not take it."""
        for count in self.statistics.values():
            count.end(now)
        seconds = now - self.began

        def labels() -> dict[str, str]:
            topics = {topic: count.summary(now) for topic, count in self.statistics.items()}
            final = self.labels | {
                "outcome": outcome,
                "seconds": f"{seconds:.3f}",
                "topics": json.dumps(topics),
            }
            return final | {"note": note} if note else final

        return self._writer.close(labels)

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._writer.waiting

    def figures(self, now: float) -> dict:
        """seconds, messages received, MB written; lost: messages missing for good, on their way here or at the disk; gaps."""
        statistics = self.statistics.values()
        return {
            "seconds": round(now - self.began, 1),
            "messages": sum(count.received for count in statistics),
            "mb": round(self._writer.bytes / MB, 1),
            "lost": sum(count.lost + count.dropped for count in statistics),
            "gaps": sum(count.gaps for count in statistics),
        }

    def lines(self, now: float) -> dict[str, str]:
        """Each stream that has come or must come, in words that a program can split."""
        told = ("expected", "received", "gaps", "lost", "dropped")
        statistics = [count for count in self.statistics.values() if count.received or count.stream.required]
        summaries = {count.stream.topic: count.summary(now) for count in statistics}
        return {
            topic: " ".join(f"{name}={summary[name]}" for name in told)
            for topic, summary in summaries.items()
        }

    def named(self, what: str) -> str:
        """The streams with a number above zero, as "camera/static/image_raw 3, arm/pose 1"."""
        numbers = {count.stream.topic: getattr(count, what) for count in self.statistics.values()}
        return ", ".join(f"{topic} {number}" for topic, number in numbers.items() if number)


def labels_of_message(topic: str, data: bytes) -> dict[str, str]:
    """The labels that a message on `instruction` or `sim/task` gives; none where it is empty or not what that topic carries."""
    text = schemas.deserialize("std_msgs/msg/String", data).data
    if topic == "instruction":
        return {"instruction": text} if text.strip() else {}
    try:
        task = json.loads(text)
        return {"task": str(task["task"]), "seed": str(task["seed"])}
    except (ValueError, KeyError, TypeError):
        return {}
