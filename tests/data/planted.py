"""Plants faults into recorded bags, for the tests and figures of outliers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gr1_core.data import schemas
from gr1_core.data.bag import Bag, Message
from gr1_core.data.bag_writer import BagWriter

S = 1_000_000_000
POSE = "/arm/pose"
Change = Callable[[list[Message]], Iterable[Message]]


def plant(source: Path, folder: Path, change: Change, **labels: str) -> Path:
    """Writes a copy of a bag with changed messages; `change` gets them in order."""
    bag = Bag(source)
    kept = {name: text for name, text in bag.labels.items() if name not in ("episode", "seconds", "topics")}
    with BagWriter(folder, bag.topics, kept | {"episode": folder.name} | labels) as writer:
        messages = [message._replace(data=bytes(message.data)) for message in bag.messages()]
        for message in sorted(change(messages), key=lambda message: message.log_time):
            writer.write_message(message.topic, message.data, message.log_time, message.publish_time)
        ended = {"outcome": bag.outcome} | {name: labels[name] for name in labels if name == "topics"}
        return writer.close(ended)


def edited(message: Message, edit) -> Message:
    """A message whose content `edit` has changed."""
    content = schemas.deserialize(message.type, bytes(message.data))
    edit(content)
    return message._replace(data=schemas.serialize(content, message.type))


def later(message: Message, ns: int) -> Message:
    """The message `ns` later, its header's stamp too."""
    moved = message._replace(log_time=message.log_time + ns, publish_time=message.publish_time + ns)
    if not schemas.has_header(message.type):
        return moved

    def shift(content) -> None:
        stamp = content.header.stamp
        at = stamp.sec * S + stamp.nanosec + ns
        stamp.sec, stamp.nanosec = at // S, at % S

    return edited(moved, shift)


def resting(pieces: list[Message], at: Message) -> list[Message]:
    """The messages of an arm that rests in the pose of the message `at`, under twists of zero."""
    pose = schemas.deserialize(at.type, at.data).pose

    def stop(content) -> None:
        for vector in (content.twist.linear, content.twist.angular):
            vector.x = vector.y = vector.z = 0.0

    def stay(content) -> None:
        content.pose = pose

    edits = {"/twist": stop, "/pose": stay}
    return [
        edited(message, edits[end])
        if (end := message.topic[message.topic.rindex("/") :]) in edits
        else message
        for message in pieces
    ]


def idle_start(seconds: float) -> Change:
    """The arm rests before it begins: its first 0.3 s again and again."""

    def change(messages):
        begin, pieces = messages[0].log_time, int(seconds / 0.3)
        pose = next(message for message in messages if message.topic.endswith(POSE))
        first = resting([message for message in messages if message.log_time < begin + 0.3 * S], pose)
        for piece in range(pieces):
            yield from (later(message, round(piece * 0.3 * S)) for message in first)
        yield from (later(message, round(pieces * 0.3 * S)) for message in messages)

    return change


def idle_end(seconds: float) -> Change:
    """The arm rests at the end: its last 0.3 s again and again."""

    def change(messages):
        end, pieces = messages[-1].log_time, int(seconds / 0.3)
        yield from messages
        pose = [message for message in messages if message.topic.endswith(POSE)][-1]
        last = resting([message for message in messages if message.log_time > end - 0.3 * S], pose)
        for piece in range(1, pieces + 1):
            yield from (later(message, round(piece * 0.3 * S)) for message in last)

    return change


def cut_end(share: float) -> Change:
    """The recording ends early."""

    def change(messages):
        begin, end = messages[0].log_time, messages[-1].log_time
        return [message for message in messages if message.log_time < begin + share * (end - begin)]

    return change


def flicker(times: int) -> Change:
    """The gripper's command opens and closes from the middle on, every two commands."""

    def change(messages):
        commands = [number for number, message in enumerate(messages) if message.topic.endswith("/gripper")]
        commands = [number for number in commands if "/command/" in messages[number].topic]
        middle, changed = len(commands) // 2, dict(enumerate(messages))
        for step in range(2 * times):
            number = commands[min(middle + step, len(commands) - 1)]

            def flip(content, on=step // 2 % 2 == 0) -> None:
                content.data = float(on) if content.data < 0.5 else float(not on)

            changed[number] = edited(messages[number], flip)
        return changed.values()

    return change


def faster(factor: float) -> Change:
    """Commands beyond the speed limit."""

    def change(messages):
        for message in messages:
            if not message.topic.endswith("/twist"):
                yield message
                continue

            def scale(content) -> None:
                for axis in "xyz":
                    setattr(content.twist.linear, axis, factor * getattr(content.twist.linear, axis))

            yield edited(message, scale)

    return change


def shaky(speed: float, seed: int = 0) -> Change:
    """Noise on the commands, m/s."""
    rng = np.random.default_rng(seed)

    def change(messages):
        for message in messages:
            if not message.topic.endswith("/twist"):
                yield message
                continue

            def shake(content) -> None:
                for axis, value in zip("xyz", rng.normal(size=3) * speed):
                    setattr(content.twist.linear, axis, getattr(content.twist.linear, axis) + value)

            yield edited(message, shake)

    return change


def slow(factor: float) -> Change:
    """Everything takes `factor` times as long: each message `factor` times later, its next copies between."""

    def change(messages):
        begin = messages[0].log_time
        for message in messages:
            at = message.log_time - begin
            for copy in range(round(factor)):
                # A copy half a period on keeps the streams at their rates.
                yield later(message, round(at * (factor - 1) + copy * 0.1 * S / factor))

    return change


def without_frames(begin_s: float, end_s: float) -> Change:
    """A camera delivers nothing for a while."""

    def change(messages):
        begin = messages[0].log_time
        for message in messages:
            seconds = (message.log_time - begin) / S
            if not ("camera/static" in message.topic and begin_s <= seconds < end_s):
                yield message

    return change


def detour(size: float) -> Change:
    """The hand goes `size` m up and down on its way, several times."""

    def change(messages):
        begin, end = messages[0].log_time, messages[-1].log_time
        for message in messages:
            if not message.topic.endswith(POSE):
                yield message
                continue
            height = float(size * np.sin(6 * np.pi * (message.log_time - begin) / (end - begin)) ** 2)

            def lift(content, height=height) -> None:
                content.pose.position.z += height

            yield edited(message, lift)

    return change


def counted(bag: Bag, lost: int) -> str:
    """The label `topics` of a recorder that missed frames of the static camera."""
    rows = json.loads(bag.labels["topics"])
    for topic, row in rows.items():
        if "camera/static" in topic:
            row["lost"] = lost
    return json.dumps(rows)
