"""All episodes of one recorder, from start to outcome, in one folder. ROS-free.

`on_message` and `receive` belong to the receiving thread; everything that begins or ends an episode belongs
to one other thread.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

from gr1_core.data import bag as bags
from gr1_core.data.bag_writer import BagWriter
from gr1_core.data.expected_loss import Loss
from gr1_core.rig import ROLES, Rig
from gr1_recorder.episode import Episode, Limits, is_command, labels_of_message, without_foreign_task
from gr1_recorder.stream_statistics import Message
from gr1_recorder.streams import Stream
from gr1_recorder.writer import MB, free_bytes

MAX_NAME_LENGTH = 40
COMMAND_S = 2.0
"""s of an episode without any command after which it is a warning."""
_OTHER_CLOCK_S = 3600.0
RECENT_S = 1.0
"""How long ago a stream may have delivered for the recorder to be ready."""

LOSS_PERIOD_S = 0.4
MIN_STEPS, KEPT, REPEATED = 10, 0.9, 0.3
"""Loss is reported from this number of steps on, below this share of kept steps, or above this share of steps
that repeat a frame.
"""


class RecorderRefusal(ValueError):
    """The recorder cannot do this now; the text says why and what to do."""


class Session:
    """streams: absolute topic -> Stream. receive() passes pending messages to `on_message`; clock(): ns, the
    node's time, 0 while there is none. unheard(): absolute topic -> why its publisher is not heard.
    """

    def __init__(
        self,
        root: Path,
        streams: Mapping[str, Stream],
        limits: Limits,
        receive: Callable[[], None],
        clock: Callable[[], int],
        unheard: Callable[[], Mapping[str, str]] = dict,
    ):
        self.root, self.limits, self.episodes = root, limits, Counter()
        self.episode: Episode | None = None
        self.alarm = self.warning = ""
        self._unheard = unheard
        self._streams, self._receive, self._clock = dict(streams), receive, clock
        self._changed = threading.Condition(threading.RLock())
        self._newest: dict[str, tuple[float, float, int]] = {}
        self._sequences: dict[str, int | None] = {}
        self._facts: dict[str, Message] = {}
        self._last: Path | None = None
        self._outcome = self._cut = ""
        self._last_loss, self._loss_at = describe_loss(None), -math.inf
        self._figures = {"seconds": 0.0, "messages": 0, "mb": 0.0, "lost": 0, "gaps": 0}

    # The receiving thread

    def on_message(self, message: Message, one_sender: bool) -> None:
        """Called by receive(), inside `receive`, `start` or `end`."""
        topic = message.topic
        age = (message.log_time - message.stamp) * 1e-9
        self._newest[topic] = message.arrived, age, message.stamp
        if message.sequence is not None:
            self._sequences[topic] = message.sequence
        fact = self._streams[topic].qos == "transient_local"
        if fact:
            self._facts[topic] = message
        if self.episode:
            self.episode.add(message, one_sender)
            if fact:
                self.episode.update_labels(message)

    def receive(self) -> list[str]:
        """Takes pending messages; returns new faults of streams."""
        with self._changed:
            self._receive()
            self._changed.notify_all()
            return self.episode.check_streams(time.monotonic()) if self.episode else []

    # The other thread

    def start(self, labels: Mapping[str, str], patience: float) -> str:
        """Begins an episode as soon as every required stream has delivered; returns its name.

        labels: "rig", "operator" and the "instruction" until one is published on its topic. Raises
        RecorderRefusal after `patience` seconds, and BagError when the folder cannot be written.
        """
        if self.episode:
            raise RecorderRefusal(
                f"already recording {self.episode.name}: end it with recorder/success, failure or discard"
            )
        if (room := self._room()) < self.limits.min_free:
            raise RecorderRefusal(
                f"only {room / MB:.0f} MB are free on the disk of "
                f"{self.root}, {self.limits.min_free / MB:.0f} "
                "are needed: make room"
            )
        asked = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: not self._missing(labels, asked), patience)
            if missing := self._missing(labels, asked):
                raise RecorderRefusal(missing)
            started = self._clock()
            known = self._labels(labels)
            self._rig = Rig.from_dict(yaml.safe_load(known["rig"]), "the recorder's rig")
            bag = self._bag(without_foreign_task(known), started)
            self._receive()
            self.episode = Episode(
                bag, self._streams, self.limits, started, time.monotonic(), self._sequences
            )
            self.alarm = self._cut = ""
            self._last_loss, self._loss_at = describe_loss(None), -math.inf
            for message in self._facts.values():
                self.episode.add_latched(message)
                self.episode.labels |= labels_of_message(self._streams[message.topic].topic, message.data)
            self.episode.labels = {"instruction": known["instruction"]} | self.episode.labels
            return self.episode.name

    def end(self, outcome: str, note: str = "") -> str:
        """Ends the running episode with that outcome, or changes the last one's; returns the bag's name."""
        if not self.episode:
            return self._mark(outcome)
        with self._changed:
            self._receive()
            episode, now, self.episode = self.episode, time.monotonic(), None
        self._last, self._cut, self._outcome = episode.folder, note, ""
        try:
            episode.close(outcome, note, now)
        except bags.BagError as error:
            self.alarm = str(error)
            raise
        self._outcome, self._figures = outcome, episode.figures(now)
        if not episode.commands and outcome != "discarded":
            self.warning = f"{episode.name} holds no command: {self._no_command()}"
        self.episodes[outcome] += 1
        return episode.name

    def poll(self) -> str:
        """Ends an episode that cannot go on, as "unfinished"; returns why, "" if there is none."""
        episode = self.episode
        if not (episode and episode.reason):
            return ""
        self.alarm = f"{episode.name} was ended, unfinished: {episode.reason}"
        with contextlib.suppress(bags.BagError):
            self.end("unfinished", episode.reason)
        return self.alarm

    def relabel(self, labels: Mapping[str, str]) -> str:
        """Gives the last bag other labels; returns its name."""
        bags.relabel_bag(self._ended(), **labels)
        return self._last.name

    # State and diagnostics

    def state(self, now: float) -> dict:
        """The topic recorder/state: the running recording or the last one."""
        episode = self.episode
        figures = episode.figures(now) if episode else self._figures
        name = episode.name if episode else self._last.name if self._last else ""
        now_is = {
            "state": "recording" if episode else "idle",
            "root": str(self.root),
            "bag": name,
            "outcome": "" if episode else self._outcome,
        }
        return (
            now_is
            | figures
            | self._loss(now)
            | {"episodes": {outcome: number for outcome, number in self.episodes.items() if number}}
        )

    def _loss(self, now: float) -> dict:
        """{steps, kept, loss}: what conversion would leave out of the running episode, or of the last one.

        loss: in words, "" if it is little.
        """
        if not self.episode:
            return self._last_loss
        if now - self._loss_at >= LOSS_PERIOD_S:
            self._loss_at, self._last_loss = now, describe_loss(self.episode.loss(self._rig))
        return self._last_loss

    def report(self, now: float, labels: Mapping[str, str]) -> tuple[str, str, dict]:
        """(level, message, values) of the diagnostics' subject `episode`; labels: as for `start`."""
        state, episode = self.state(now), self.episode
        done = state.pop("episodes")
        values = state | {f"{outcome}_episodes": done.get(outcome, 0) for outcome in bags.OUTCOMES}
        if not episode:
            if self.alarm:
                return "ERROR", self.alarm, values
            missing = self._missing(labels, now - RECENT_S)
            if missing:
                return "WARN", f"not ready: {missing}", values
            return ("WARN", self.warning, values) if self.warning else ("OK", "ready", values)
        values |= {"waiting_mb": round(episode.waiting / MB, 1)} | episode.lines(now)
        dropped, lost, fault = episode.topics_with("dropped"), episode.topics_with("lost"), episode.fault()
        if dropped:
            return "ERROR", f"the disk is too slow, messages are lost: {dropped}", values
        if fault:
            return "WARN", fault, values
        if not episode.commands and now - episode.began > COMMAND_S:
            return "WARN", f"no command so far: {self._no_command()}", values
        if lost:
            return "WARN", f"messages lost on their way here: {lost}", values
        return "OK", f"recording {episode.name}", values

    def _mark(self, outcome: str) -> str:
        folder = self._ended()
        if outcome == "success" and self._cut:
            raise RecorderRefusal(
                f"{folder.name} was ended early, {self._cut}: it stays {self._outcome} (`gr1 bags relabel` "
                "can change it)"
            )
        bags.relabel_bag(folder, outcome=outcome)
        if self._outcome:
            self.episodes[self._outcome] -= 1
        self.episodes[outcome] += 1
        self._outcome = outcome
        return folder.name

    def _ended(self) -> Path:
        if self.episode:
            raise RecorderRefusal(f"{self.episode.name} is being recorded: end it first")
        if not self._last:
            raise RecorderRefusal("nothing has been recorded yet: call recorder/start first")
        return self._last

    def _missing(self, labels: Mapping[str, str], since: float) -> str:
        """What is missing for a start: required streams without a message since then, or with old ones only;
        an instruction.
        """
        if not self._clock():
            return (
                "no time: use_sim_time is true, but no node publishes /clock: start the simulator, or leave "
                "use_sim_time out"
            )
        late, unheard = [], self._unheard()
        for topic, stream in self._streams.items():
            if stream.required:
                arrived, age, stamp = self._newest.get(topic, (0.0, 0.0, 0))
                if arrived <= since:
                    late.append(f"{stream.topic} ({unheard.get(topic) or 'is its node running?'})")
                elif problem := _age_problem(age, stamp, stream.max_age):
                    late.append(f"{stream.topic} ({problem})")
        if late:
            return f"not arriving: {'; '.join(late)}"
        if not self._labels(labels)["instruction"].strip():
            return (
                "no instruction: publish one on the topic 'instruction', or set the parameter 'instruction'"
            )
        return ""

    def _no_command(self) -> str:
        topics = [topic for topic, stream in self._streams.items() if is_command(stream.topic)]
        unheard = self._unheard()
        why = [f"{topic}: {unheard[topic]}" for topic in topics if topic in unheard]
        return "; ".join(why) or (
            f"nothing on {' or '.join(self._streams[topic].topic for topic in topics)}; without commands it "
            "is no demonstration"
        )

    def _labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        known = {}
        for topic, message in list(self._facts.items()):
            known |= labels_of_message(self._streams[topic].topic, message.data)
        return {**labels, **known}

    def _bag(self, labels: Mapping[str, str], started: int) -> BagWriter:
        moment = datetime.fromtimestamp(started * 1e-9, UTC)
        words = re.sub("[^a-z0-9]+", "_", labels["instruction"].lower()).strip("_")[:MAX_NAME_LENGTH]
        name = f"{moment:%Y%m%d-%H%M%S}-{words}".rstrip("-")
        taken = [path.name for path in self.root.glob(f"{name}*")]
        name = next(
            one
            for one in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
            if one not in taken
        )
        topics = {topic: stream.type for topic, stream in self._streams.items()}
        qos = {topic: stream.qos for topic, stream in self._streams.items()}
        return BagWriter(
            self.root / name,
            topics,
            {**labels, "started": moment.isoformat(timespec="milliseconds")},
            qos=qos,
        )

    def _room(self) -> int:
        try:
            return free_bytes(self.root)
        except OSError as error:
            raise RecorderRefusal(f"{self.root}: {error.strerror}") from error


def describe_loss(loss: Loss | None) -> dict:
    """{steps, kept, loss} for the topic recorder/state."""
    if loss is None:
        return {"steps": 0, "kept": 0, "loss": ""}
    text, stream = "", f"camera/{loss.stream}" if loss.stream in ROLES else loss.stream
    if loss.steps >= MIN_STEPS:
        if loss.kept < KEPT * loss.steps:
            text = (
                f"conversion would keep {loss.kept} of {loss.steps} steps: {stream} came at {loss.hz:.0f} Hz "
                "or with gaps"
            )
        elif loss.repeated > REPEATED:
            text = (
                f"{100 * loss.repeated:.0f} % of the steps would repeat a frame: {stream} came at "
                f"{loss.hz:.0f} Hz"
            )
    return {"steps": loss.steps, "kept": loss.kept, "loss": text}


def _age_problem(age: float, stamp: int, max_age: float) -> str:
    """What is wrong with a message that was `age` s old on arrival, "" for nothing."""
    if not stamp:
        return "its header stamp is 0: its driver must stamp its messages"
    if abs(age) > _OTHER_CLOCK_S:
        text = f"stamped {datetime.fromtimestamp(stamp * 1e-9, UTC):%Y-%m-%d %H:%M}, by another clock"
        if age > 0:
            return f"{text}: if its node has simulated time, start the recorder with use_sim_time:=true"
        return f"{text} than the recorder's: start either both or none with use_sim_time:=true"
    if age > max_age:
        return f"{age:.1f} s old on arrival: a slow network, or the clocks of two computers differ"
    return ""
