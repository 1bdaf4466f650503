"""One episode while it is recorded: its labels, its statistics, its writer. ROS-free."""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gr1_core.data import schemas
from gr1_core.data.bag_writer import BagWriter
from gr1_core.data.expected_loss import Loss, expected_loss
from gr1_core.rig import ROLES, Rig
from gr1_recorder.stream_statistics import Message, StreamStatistics
from gr1_recorder.streams import Stream
from gr1_recorder.writer import MB, Writer

HELD_S = 2.0
"""s that a stream's fault stays reported after its end, so that a reader at 1 Hz sees a gap of 0.2 s."""


@dataclass(frozen=True)
class Limits:
    """queue: bytes that may wait for the disk. min_free: free bytes that a start needs; at half of them a
    running episode is ended. max_seconds: length after which an episode is ended."""

    queue: int
    min_free: int
    max_seconds: float


class Episode:
    """Records from its creation on. `reason` says why it must be ended, "" while it may go on.

    streams: absolute topic -> Stream. started: ns of the node's clock; began: the same moment in s of the
    steady clock. last: topic -> sequence number of the message before the first one.
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
        self.statistics = {
            topic: StreamStatistics(stream, began, last.get(topic)) for topic, stream in streams.items()
        }
        self.faults: dict[str, str] = {}
        self.reason, self._slow = "", False
        self._limits, self._since, self._lock = limits, {}, threading.Lock()
        self._times = {
            name: (topic, array("q"), array("q"))
            for topic, stream in streams.items()
            if (name := _step_input(stream.topic))
        }
        self._times_of = {topic: times for topic, *times in self._times.values()}
        self._commands = array("q")
        self._writer = Writer(bag, limits.queue, limits.min_free // 2, self.stop)

    def add(self, message: Message, one_sender: bool = True) -> None:
        stream = self.statistics[message.topic]
        stream.add_message(message, one_sender)
        if times := self._times_of.get(message.topic):
            times[0].append(message.publish_time)
            times[1].append(message.stamp)
        elif stream.stream.topic in _TWISTS:
            self._commands.append(message.publish_time)
        if not self._writer.enqueue(message):
            stream.drop_last()

    def add_latched(self, message: Message) -> None:
        """A latched message from before the episode: written as if it came at the start, so that the bag is
        complete.
        """
        self.add(message._replace(log_time=self.started, arrived=self.began), one_sender=False)

    def update_labels(self, message: Message) -> None:
        """An instruction or a task sent before the start that arrives after it belongs to this episode."""
        if message.publish_time <= self.started:
            self.labels |= labels_of_message(self.statistics[message.topic].stream.topic, message.data)

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason

    def check_streams(self, now: float) -> list[str]:
        """Checks all streams; returns new faults."""
        if now - self.began > self._limits.max_seconds:
            self.stop(f"longer than max_episode_s, {self._limits.max_seconds:g} s")
        new = []
        if not self._slow and any(stream.dropped for stream in self.statistics.values()):
            self._slow = True
            new.append("the disk is too slow: messages are lost")
        with self._lock:
            for topic, stream in self.statistics.items():
                if fault := stream.fault(now):
                    if topic not in self.faults:
                        new.append(fault)
                    self.faults[topic], self._since[topic] = fault, now
                elif topic in self.faults and now - self._since[topic] > HELD_S:
                    del self.faults[topic]
        return new

    def fault(self) -> str:
        with self._lock:
            return "; ".join(self.faults.values())

    def close(self, outcome: str, note: str, now: float) -> Path:
        """Writes pending messages and completes the bag; `now` is the end. Raises BagError when the disk
        fails.
        """
        for stream in self.statistics.values():
            stream.end(now)
        seconds = now - self.began

        def labels() -> dict[str, str]:
            topics = {topic: stream.summary(now) for topic, stream in self.statistics.items()}
            final = without_foreign_task(self.labels) | {
                "outcome": outcome,
                "seconds": f"{seconds:.3f}",
                "topics": json.dumps(topics),
            }
            return final | {"note": note} if note else final

        return self._writer.close(labels)

    def loss(self, rig: Rig) -> Loss | None:
        """What conversion would leave out if the episode ended now; None before the first command."""
        # Copied as a whole: the receiving thread appends meanwhile.
        commands = np.frombuffer(self._commands.tobytes(), np.int64)
        streams = {}
        for name, (_, *times) in self._times.items():
            sent, stamps = (np.frombuffer(part.tobytes(), np.int64) for part in times)
            count = min(len(sent), len(stamps))
            streams[name] = sent[:count], stamps[:count]
        return expected_loss(streams, commands, rig)

    @property
    def commands(self) -> int:
        """Twist commands received so far, of all sources."""
        return sum(one.received for one in self.statistics.values() if is_command(one.stream.topic))

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._writer.waiting

    def figures(self, now: float) -> dict:
        """seconds, messages received, MB written; lost: messages lost on the network or at the disk; gaps."""
        statistics = self.statistics.values()
        return {
            "seconds": round(now - self.began, 1),
            "messages": sum(stream.received for stream in statistics),
            "mb": round(self._writer.bytes / MB, 1),
            "lost": sum(stream.lost + stream.dropped for stream in statistics),
            "gaps": sum(stream.gaps for stream in statistics),
        }

    def lines(self, now: float) -> dict[str, str]:
        """Each stream that has delivered or is required, as "key=value" words."""
        keys = ("expected", "received", "gaps", "lost", "dropped")
        statistics = [one for one in self.statistics.values() if one.received or one.stream.required]
        summaries = {one.stream.topic: one.summary(now) for one in statistics}
        return {
            topic: " ".join(f"{name}={summary[name]}" for name in keys)
            for topic, summary in summaries.items()
        }

    def topics_with(self, what: str) -> str:
        """The streams with a number above zero, as "camera/static/image_raw 3, arm/pose 1"."""
        numbers = {one.stream.topic: getattr(one, what) for one in self.statistics.values()}
        return ", ".join(f"{topic} {number}" for topic, number in numbers.items() if number)


def _step_input(topic: str) -> str:
    """The name of a stream that control steps need, see `expected_loss`; "" for all others."""
    if topic in ("arm/pose", "arm/gripper"):
        return topic
    images = (f"camera/{{}}/{end}" for end in ("image_raw", "image_raw/compressed"))
    names = {form.format(role): role for form in images for role in ROLES}
    return names.get(topic, "")


_TWISTS = ("command/teleop/twist", "command/policy/twist")


def without_foreign_task(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, without the simulated scene's task if the instruction is none of its own.

    The instruction is what the episode shows; a person may demonstrate something else in that scene.
    """
    task, instruction = labels.get("task", ""), labels.get("instruction", "")
    if not task:
        return dict(labels)
    try:
        from gr1_core.sim.tasks import TASKS
    except ImportError:  # the simulation runs on another computer
        return dict(labels)
    known = TASKS.get(task)
    if known is None or instruction in (*known.instructions, *known.held_out):
        return dict(labels)
    return dict(labels) | {"task": ""}


def is_command(topic: str) -> bool:
    """Whether a stream is a source's commands of motion."""
    return topic.startswith("command/") and topic.endswith("/twist")


def labels_of_message(topic: str, data: bytes) -> dict[str, str]:
    """The labels in a message on `instruction` or `sim/task`; none where it is empty or malformed."""
    text = schemas.deserialize("std_msgs/msg/String", data).data
    if topic == "instruction":
        return {"instruction": text} if text.strip() else {}
    try:
        task = json.loads(text)
        return {"task": str(task["task"]), "seed": str(task["seed"])}
    except (ValueError, KeyError, TypeError):
        return {}
