"""The control steps of a recorded episode: the policy's observation at each step, and the commanded action.

The time grid has the rig's control rate and starts at the first command. The observation at a grid time is
the newest frame of each camera that had been sent by then, and the state of arm and gripper when the older of
these frames was taken. A step for which the newest message of a stream is older than the rig's max_age cuts
the episode; the longest part is kept. The action is the mean twist of the following period
(command_timeline.py) in the model's units, and the gripper's command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gr1_core import images
from gr1_core.data import command_timeline, schemas
from gr1_core.data.bag import Bag, Message
from gr1_core.data.bag_clocks import Clocks, type_problem
from gr1_core.data.command_timeline import COMMAND_SOURCES, Commands
from gr1_core.data.marks import Marks, marks_of
from gr1_core.plural import plural
from gr1_core.rig import ROLES, Rig, gripper_sign

_IMAGES = ("camera/{}/image_raw", "camera/{}/image_raw/compressed")
_POSE, _GRIPPER = "arm/pose", "arm/gripper"


class StepsError(ValueError):
    """A recording without usable control steps. The message names the bag and what is missing."""


@dataclass(frozen=True)
class Frame:
    """One recorded frame.

    stamp: of its header, ns. Either data (encoded bytes as recorded) or array u8[H, W, 3] (raw pixels).
    """

    stamp: int
    data: bytes | None
    array: np.ndarray | None

    def image(self) -> np.ndarray:
        """u8[H, W, 3] RGB."""
        return self.array if self.data is None else images.decode(self.data)


@dataclass(frozen=True)
class Step:
    """One control step.

    wrist: None for a rig without that camera. state: f32[7], rig.state_vector. action: f32[7], rig.delta and
    gripper (+1 open / -1 closed).
    """

    time_ns: int
    static: Frame
    wrist: Frame | None
    state: np.ndarray
    action: np.ndarray


@dataclass(frozen=True)
class Selection:
    """The messages that make up the T steps of a bag.

    times: i64[T] ns. topics: role -> image topic. frames: role -> i64[T], index of the message in that topic.
    state, action: f32[T, 7]. teleoperated: bool[T], teleoperation was active. recorded: number of steps
    before the cut. trimmed: those of them that the bag's trim leaves out. problems: what was cut, as texts.
    """

    times: np.ndarray
    topics: Mapping[str, str]
    frames: Mapping[str, np.ndarray]
    state: np.ndarray
    action: np.ndarray
    teleoperated: np.ndarray
    recorded: int
    trimmed: int
    problems: tuple[str, ...]


def read_steps(bag: Bag, rig: Rig | None = None, selection: Selection | None = None) -> Iterator[Step]:
    """Yields the control steps in order. rig: the bag's own if None. Memory holds the frames of a few steps.

    Raises StepsError, BagError, RigError or ImageError.
    """
    chosen = selection or select_steps(bag, rig)
    roles = list(chosen.frames)
    wanted = {chosen.topics[role]: set(chosen.frames[role].tolist()) for role in roles}
    last_use = {
        role: {number: index for index, number in enumerate(chosen.frames[role].tolist())} for role in roles
    }
    count, held = dict.fromkeys(wanted, -1), {topic: {} for topic in wanted}
    messages = bag.messages(list(wanted))
    for index, time in enumerate(chosen.times.tolist()):
        need = {role: int(chosen.frames[role][index]) for role in roles}
        while any(number not in held[chosen.topics[role]] for role, number in need.items()):
            message = next(messages)
            count[message.topic] += 1
            if count[message.topic] in wanted[message.topic]:
                held[message.topic][count[message.topic]] = _frame(message)
        frames = {role: held[chosen.topics[role]][number] for role, number in need.items()}
        for role, number in need.items():
            if last_use[role][number] == index:
                del held[chosen.topics[role]][number]
        yield Step(time, frames["static"], frames.get("wrist"), chosen.state[index], chosen.action[index])


def select_steps(bag: Bag, rig: Rig | None = None, marks: Marks | None = None) -> Selection:
    """Selects the messages of each step in one pass, without keeping frames.

    marks: the bag's own if None; only the steps within the trim are taken. Raises StepsError, BagError or
    RigError.
    """
    rig = rig or bag.rig
    marks = marks_of(bag.labels, bag.name) if marks is None else marks
    topics = {role: _image_topic(bag, role) for role in rig.cameras} | {
        name: _required(bag, name) for name in (_POSE, _GRIPPER)
    }
    streams, commands, clocks = _read(bag, topics)
    period = round(1e9 * rig.period)
    starts = _grid(bag, commands, period)
    ages = {role: camera.max_age for role, camera in rig.cameras.items()} | {
        _POSE: rig.state.max_age,
        _GRIPPER: rig.state.max_age,
    }
    newest, valid = {}, {}
    for name, stream in streams.items():
        newest[name], age = stream.newest(starts)
        valid[name] = age <= ages[name] * 1e9
    taken = np.minimum.reduce([streams[role].stamped(newest[role]) for role in rig.cameras])
    for name in (_POSE, _GRIPPER):
        newest[name] = streams[name].newest(starts, taken)[0]
    inside = _inside(bag, starts, marks)
    keep = longest_span(np.logical_and.reduce([inside, *valid.values()]))
    if keep.start == keep.stop:
        valid = {name: good[inside] for name, good in valid.items()}
        worst = min(valid, key=lambda name: valid[name].sum())
        late = {name: clocks.problem(topics[name], ages[name]) for name in valid}
        why = late[worst] or next(filter(None, late.values()), "")
        raise StepsError(
            f"{bag.name}: none of its {inside.sum()} control steps has a message of {topics[worst]} younger "
            f"than {ages[worst]:g} s{why and f': {why}'}"
        )
    poses = [streams[_POSE].kept[number] for number in newest[_POSE][keep]]
    grippers = [streams[_GRIPPER].kept[number] for number in newest[_GRIPPER][keep]]
    state = np.stack([_state(bag, rig, pose, gripper) for pose, gripper in zip(poses, grippers)])
    return Selection(
        times=starts[keep],
        topics={role: topics[role] for role in rig.cameras},
        frames={role: newest[role][keep] for role in rig.cameras},
        state=state,
        action=_action(rig, commands, starts[keep], period, state),
        teleoperated=command_timeline.teleoperated(commands, starts[keep], period),
        recorded=len(starts),
        trimmed=int((~inside).sum()),
        problems=tuple(_cuts(valid, topics, ages, inside, keep, rig.control_hz)),
    )


class StreamTimes:
    """Times of one topic's messages: sent, stamps, ns each. kept: the messages themselves, if small."""

    def __init__(self):
        self.sent, self.stamps, self.kept = [], [], []

    def newest(self, times: np.ndarray, taken: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Index of the newest message sent by each time, and its age in ns by the older of its two times.

        taken: i64[T] ns; selects the newest message that is stamped no later than this, or the first one.
        """
        sent, stamps = np.array(self.sent, np.int64), np.array(self.stamps, np.int64)
        order = np.argsort(sent, kind="stable")
        index = np.searchsorted(sent[order], times, "right") - 1
        sent_before = index >= 0
        index = np.maximum(index, 0)
        if taken is not None:
            while (early := (stamps[order[index]] > taken) & (index > 0)).any():
                index -= early
        number = order[index]
        measured = np.minimum(stamps[number], sent[number])
        return number, np.where(sent_before, times - measured, np.inf)

    def stamped(self, numbers: np.ndarray) -> np.ndarray:
        """i64[T] ns: the stamps of these messages."""
        return np.array(self.stamps, np.int64)[numbers]


def _read(bag: Bag, topics: Mapping[str, str]) -> tuple[dict[str, StreamTimes], dict[str, Commands], Clocks]:
    names, clocks = {topic: name for name, topic in topics.items()}, Clocks()
    streams = {name: StreamTimes() for name in topics}
    found = {
        source: (bag.topic(f"command/{source}/twist"), bag.topic(f"command/{source}/gripper"))
        for source in COMMAND_SOURCES
    }
    wanted = [*names, *(topic for pair in found.values() for topic in pair if topic)]
    values: dict[str, list] = {topic: [] for topic in wanted}
    for message in bag.messages(wanted):
        if problem := type_problem(message.topic, message.type):
            raise StepsError(f"{bag.name}: {problem}")
        stamp = schemas.header_stamp(message.type, message.data)
        clocks.add(message, stamp)
        if message.topic in names:
            stream = streams[names[message.topic]]
            stream.stamps.append(stamp)
            if names[message.topic] not in ROLES:
                stream.kept.append(message)
        else:
            value = schemas.deserialize(message.type, message.data)
            values[message.topic].append(
                float(value.data)
                if stamp is None
                else (*_xyz(value.twist.linear), *_xyz(value.twist.angular))
            )
    for topic, name in names.items():
        if not streams[name].stamps:
            raise StepsError(f"{bag.name}: no message on {topic}, though metadata.yaml counts some")
        streams[name].sent = clocks.moments(topic)

    def commands(topic: str | None) -> list[tuple]:
        return list(zip(clocks.moments(topic), values[topic])) if topic and values[topic] else []

    return (
        streams,
        {
            source: Commands.from_messages(commands(twist), commands(gripper))
            for source, (twist, gripper) in found.items()
            if commands(twist)
        },
        clocks,
    )


def _grid(bag: Bag, commands: Mapping[str, Commands], period: int) -> np.ndarray:
    if not commands:
        topics = " or ".join(f"command/{source}/twist" for source in COMMAND_SOURCES)
        raise StepsError(f"{bag.name}: no commands: no message on {topics}")
    first = min(source.sent[0] for source in commands.values())
    last = max(source.sent[-1] for source in commands.values())
    return step_times(first, last, period)


def step_times(first: int, last: int, period: int) -> np.ndarray:
    """i64[T] ns: the beginnings of the steps from the first to the last command, one a `period`, ns."""
    # Rounded, so that a last command that was sent slightly early still has its step.
    return first + period * np.arange((last - first + period // 2) // period + 1)


def _inside(bag: Bag, starts: np.ndarray, marks: Marks) -> np.ndarray:
    """bool[T]: the steps within the trim. Whole steps: each keeps its observation and its action."""
    seconds = (starts - bag.start_ns) * 1e-9
    end = np.inf if marks.trim_end_s is None else marks.trim_end_s
    inside = (seconds >= marks.trim_start_s - 1e-6) & (seconds < end - 1e-6) | (not marks.trimmed)
    if not inside.any():
        raise StepsError(
            f"{bag.name} is {marks}, where none of its {len(starts)} control steps begins: change it with "
            "`gr1 bags trim`, or remove it with `gr1 bags keep`"
        )
    return inside


def longest_span(valid: np.ndarray) -> slice:
    """The longest run of True in bool[T]; an empty slice if there is none."""
    return slice(*max(command_timeline.true_spans(valid), key=lambda span: span[1] - span[0], default=(0, 0)))


def _cuts(
    valid: Mapping[str, np.ndarray],
    topics: Mapping[str, str],
    ages: Mapping[str, float],
    inside: np.ndarray,
    keep: slice,
    hz: float,
) -> Iterator[str]:
    for name, good in valid.items():
        missing = ~good & inside
        if missing.any():
            seconds, first = missing.sum() / hz, missing.argmax() / hz
            limit = f"{1e3 * ages[name]:.0f} ms"
            yield f"{topics[name]}: nothing younger than {limit} for {seconds:.1f} s, first at {first:.1f} s"
    total = int(inside.sum())
    if keep.stop - keep.start < total:
        yield f"cut to its longest part without a gap: {keep.stop - keep.start} of {plural(total, 'step')}"


def _state(bag: Bag, rig: Rig, pose: Message, gripper: Message) -> np.ndarray:
    where = schemas.deserialize(pose.type, pose.data).pose
    joints = schemas.deserialize(gripper.type, gripper.data)
    closure = dict(zip(joints.name, joints.position)).get("closure_command")
    if closure is None:
        raise StepsError(
            f"{bag.name}: {gripper.topic} has no 'closure_command', only "
            f"{', '.join(joints.name) or 'no names'}"
        )
    turn = where.orientation
    try:
        return rig.state_vector(_xyz(where.position), (turn.x, turn.y, turn.z, turn.w), closure)
    except ValueError as error:
        raise StepsError(f"{bag.name}: a message on {pose.topic} is not a valid pose: {error}") from error


def _action(
    rig: Rig, commands: Mapping[str, Commands], starts: np.ndarray, period: int, state: np.ndarray
) -> np.ndarray:
    twist = command_timeline.mean_twist(commands, starts, period)
    closure = command_timeline.gripper_closure(commands, starts, period)
    gripper = np.array(
        [state[index, 6] if np.isnan(value) else gripper_sign(value) for index, value in enumerate(closure)]
    )
    arms = state[:, :6].astype(np.float64)
    delta = np.stack([rig.delta(value[:3], value[3:], arm) for value, arm in zip(twist, arms)])
    return np.column_stack([delta, gripper]).astype(np.float32)


def _image_topic(bag: Bag, role: str) -> str:
    # Raw before compressed: where both were recorded, raw is what the live policy sees.
    for suffix in _IMAGES:
        topic = bag.topic(suffix.format(role))
        if topic:
            return topic
    raise StepsError(
        f"{bag.name}: no frame of camera '{role}': no message on "
        f"{' or '.join(suffix.format(role) for suffix in _IMAGES)}"
    )


def _required(bag: Bag, suffix: str) -> str:
    topic = bag.topic(suffix)
    if not topic:
        raise StepsError(f"{bag.name}: no message on {suffix}")
    return topic


def _frame(message: Message) -> Frame:
    image, stamp = (
        schemas.deserialize(message.type, message.data),
        schemas.header_stamp(message.type, message.data),
    )
    if message.type == "sensor_msgs/msg/CompressedImage":
        return Frame(stamp, bytes(image.data), None)
    return Frame(
        stamp,
        None,
        images.from_raw(image.encoding, image.height, image.width, image.step, image.data),
    )


def _xyz(vector) -> Sequence[float]:
    return (vector.x, vector.y, vector.z)
