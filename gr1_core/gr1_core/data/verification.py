"""Checks a bag: damaged bytes, lost messages, streams that stop, missing topics of a demonstration."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from gr1_core.data import metadata, schemas
from gr1_core.data.bag import Bag, BagError, is_compressed, topic_matches
from gr1_core.data.bag_clocks import (
    BEHIND_S,
    Times,
    clock_problems,
    expected_type,
    type_problem,
    uses_log_time,
)
from gr1_core.data.bag_writer import LABELS_RECORD, unseal_labels
from gr1_core.data.mcap_records import DamagedError, MessageRecord
from gr1_core.data.mcap_scan import McapScan
from gr1_core.plural import plural
from gr1_core.rig import ROLES, Rig, RigError

REQUIRED_TOPICS = {"arm/pose": "the arm's pose", "arm/gripper": "the gripper's state"}
IMAGE_TOPICS = ("camera/{}/image_raw/compressed", "camera/{}/image_raw")
DAMAGE_PREFIXES = ("checksum:", "cut off:")
"""Prefixes of the lines about damaged bytes."""
COMMAND_TOPICS = ("command/teleop/twist", "command/policy/twist")
DECOMPRESS = "`gr1 bags recover"
_FACTS = ("rig", "task", "seed", "started")
_SLOW = 3.0  # times a stream's median period


def verify_bag(folder: str | Path) -> list[str]:
    """The bag's problems, one line each, beginning with the kind; empty for a good bag.

    Reads the whole file.
    """
    try:
        bag = Bag(folder)
    except BagError as error:
        return [f"unreadable: {error}"]
    try:
        rig, problems = bag.rig, []
    except RigError as error:
        rig, problems = None, [f"rig: {error}"]
    problems += [*content_problems(bag), *_lost(bag)]
    reading = _Reading()
    problems += reading.problems(bag)
    ages = _ages(bag, rig)
    return problems + [
        *_types(bag, reading),
        *_counts(bag, reading),
        *_clocks(reading, ages),
        *_backwards(reading),
        *_pauses(bag, reading, ages),
    ]


def image_topic(bag: Bag, role: str) -> str | None:
    """The topic of a camera's images, compressed ones if both exist; None if there are none."""
    return next(filter(None, (bag.topic(name.format(role)) for name in IMAGE_TOPICS)), None)


def lost_messages(bag: Bag) -> dict[str, int]:
    """Topic -> messages that were sent but are not in the bag, as counted by the recorder; topics without
    losses are absent.
    """
    return {name: lost for name, row in stream_statistics(bag).items() if (lost := metadata.count_lost(row))}


def slow_topics(bag: Bag) -> list[str]:
    """The topics whose publisher sent less than 80 % of its nominal rate."""
    return [name for name, row in stream_statistics(bag).items() if metadata.is_slow(row)]


def stream_statistics(bag: Bag) -> dict[str, dict]:
    """The label `topics`: {name: {type, expected, received, gaps, longest_gap_ms}}; defaults are the received
    counts.
    """
    try:
        noted = json.loads(bag.labels.get("topics") or "{}")
        rows = {name: dict(noted.get(name, {})) for name in bag.topics}
    except (ValueError, TypeError, AttributeError) as error:
        raise BagError(f"{bag.folder}: label 'topics' is not JSON of the expected form: {error}") from error
    plain = {"gaps": 0, "longest_gap_ms": 0.0}
    return {
        name: plain
        | {"type": bag.topics[name], "expected": bag.counts[name], "received": bag.counts[name]}
        | row
        for name, row in rows.items()
    }


class _Reading:
    """One pass over the file: send times, reception times and header stamps of each topic, by the order
    of the file; message types as the file says.
    """

    def __init__(self):
        self.times: dict[str, Times] = defaultdict(Times)
        self.types: dict[str, set[str]] = defaultdict(set)
        self.compressed = self.orphans = 0

    def problems(self, bag: Bag) -> Iterator[str]:
        with open(bag.path, "rb") as stream:
            scan = McapScan(stream)
            damaged = [piece for piece in scan.pieces if piece.damage]
            for piece in scan.good_pieces():
                try:
                    self._add(scan, scan.messages(piece))
                except DamagedError as error:
                    piece.damage = str(error)
                    damaged.append(piece)
            for piece in damaged:
                start = (piece.first_ns - bag.start_ns) * 1e-9
                count = "" if piece.indexed is None else f" ({plural(piece.indexed, 'message')})"
                where = f"received from {start:.2f} s on" if abs(start) < 1e7 else f"at byte {piece.start}"
                yield f"checksum: the chunk of messages {where} is damaged{count}: {piece.damage}"
            for start, end in scan.gaps:
                if end != scan.size:
                    yield f"checksum: bytes {start} to {end} of the file are damaged"
            if scan.torn_at is not None:
                yield f"cut off: after byte {scan.torn_at} the file cannot be read"
            elif not (damaged or scan.gaps or scan.data_checksum_right()):
                yield "checksum: the messages do not agree with the checksum at their end"
            if scan.torn_at is None and not scan.summary_whole:
                yield "checksum: the index at the end of the file is damaged"
        yield from _changed_facts(bag, scan)
        if self.orphans:
            yield f"checksum: {plural(self.orphans, 'message')} of a channel that the file does not describe"
        if self.compressed:
            yield f"compressed: {plural(self.compressed, 'compressed message')}: {DECOMPRESS} {bag.folder}`"

    def _add(self, scan: McapScan, messages: Iterable[MessageRecord]) -> None:
        definitions = scan.definitions
        for record in messages:
            channel = definitions.channels.get(record.channel_id)
            if channel is None:
                self.orphans += 1
                continue
            type = definitions.type_of(channel)
            self.types[channel.topic].add(type)
            times = self.times[channel.topic]
            times.sent.append(record.publish_time)
            times.received.append(record.log_time)
            if is_compressed(record.data):
                self.compressed += 1
                continue
            try:
                stamp = schemas.header_stamp(type, record.data)
            except schemas.SchemaError:
                stamp = None
            if stamp is not None:
                times.stamps.append(stamp)


def _changed_facts(bag: Bag, scan: McapScan) -> Iterator[str]:
    """Labels that no command changes, but that are not those of the recording."""
    records = [unseal_labels(values) for name, values in scan.metadata if name == LABELS_RECORD]
    recorded = next((labels for labels, right in reversed(records) if right), None)
    for name in _FACTS if recorded else ():
        if recorded.get(name, "") != bag.labels.get(name, ""):
            yield (
                f"labels: {name} in metadata.yaml is not what was recorded: it was edited or damaged; "
                "`gr1 bags recover` makes metadata.yaml again where it is moved away"
            )


def content_problems(bag: Bag) -> list[str]:
    """What a demonstration needs and this bag lacks, by the counts in metadata.yaml, as lines of `verify`."""
    problems = []

    def absent(*names: str) -> bool:
        try:
            return not any([bag.topic(name) for name in names])
        except BagError as error:  # two topics of that name
            problems.append(f"topics: {str(error).removeprefix(f'{bag.folder}: ')}")
            return False

    for role in _roles(bag):
        if absent(*(name.format(role) for name in IMAGE_TOPICS)):
            problems.append(f"missing: no image of the {role} camera")
    for topic, what in REQUIRED_TOPICS.items():
        if absent(topic):
            problems.append(f"missing: {what} ({topic})")
    if absent(*COMMAND_TOPICS):
        problems.append(f"missing: no command ({' or '.join(COMMAND_TOPICS)})")
    return list(dict.fromkeys(problems))


def _roles(bag: Bag) -> tuple[str, ...]:
    """The cameras that the bag's rig has; all for a bag without a usable rig."""
    try:
        return tuple(bag.rig.cameras)
    except (BagError, RigError):
        return ROLES


def _types(bag: Bag, reading: _Reading) -> Iterator[str]:
    for topic in sorted({*bag.topics, *reading.types}):
        held = reading.types.get(topic, set())
        for type in sorted(held or {bag.topics[topic]}):
            if problem := type_problem(topic, type):
                yield f"type: {problem}"
        if held and topic in bag.topics and bag.topics[topic] not in held:
            yield f"type: metadata.yaml says {topic} is {bag.topics[topic]}, the file says {', '.join(held)}"


def _ages(bag: Bag, rig: Rig | None) -> dict[str, float]:
    """Topic -> maximum age, s (0 without a rig), of the topics that a demonstration is made of."""
    ages = {}
    for topic in bag.topics:
        for role in ROLES:
            if any(topic_matches(topic, name.format(role)) for name in IMAGE_TOPICS):
                ages[topic] = rig.cameras[role].max_age if rig and role in rig.cameras else 0.0
        if any(topic_matches(topic, wanted) for wanted in REQUIRED_TOPICS):
            ages[topic] = rig.state.max_age if rig else 0.0
    return ages


def _clocks(reading: _Reading, ages: dict[str, float]) -> Iterator[str]:
    limits = {topic: age or BEHIND_S for topic, age in ages.items()}
    known = {topic: times for topic, times in reading.times.items() if expected_type(topic)}
    for problem in clock_problems(known, limits):
        yield f"clock: {problem}"


def _lost(bag: Bag) -> Iterator[str]:
    try:
        for name, lost in lost_messages(bag).items():
            row = stream_statistics(bag)[name]
            yield f"lost: {name}: {lost} of {plural(row['received'] + lost, 'message')}"
        for name in slow_topics(bag):
            row = stream_statistics(bag)[name]
            received = plural(row["received"], "message")
            yield f"slow: {name}: {received}, {row['expected']} expected at its nominal rate"
    except BagError as error:
        yield f"labels: {error}"


def _counts(bag: Bag, reading: _Reading) -> Iterator[str]:
    held = {name: len(times.sent) for name, times in reading.times.items()}
    names = {**bag.counts, **held}
    wrong = [name for name in names if held.get(name, 0) != bag.counts.get(name, 0)]
    if wrong:
        topics = wrong[0] if len(wrong) == 1 else f"{len(wrong)} topics"
        promised, found = (sum(counts.get(name, 0) for name in wrong) for counts in (bag.counts, held))
        yield f"count: {topics}: metadata.yaml says {plural(promised, 'message')}, the file holds {found}"


def _backwards(reading: _Reading) -> Iterator[str]:
    for name, times in reading.times.items():
        steps = [after - before for before, after in pairwise(times.stamps)]
        if steps and min(steps) < 0:
            count = sum(step < 0 for step in steps)
            size, often = f"{-min(steps) * 1e-6:.1f} ms", plural(count, "time")
            yield f"time: {name}: header stamps go backwards {often}, by up to {size}: check the clocks"


def _pauses(bag: Bag, reading: _Reading, ages: dict[str, float]) -> Iterator[str]:
    log_time = uses_log_time({name: times for name, times in reading.times.items() if name in ages})
    for name, age in ages.items():
        times = reading.times.get(name)
        sent = sorted((times.received if log_time else times.sent) if times else ())
        steps = [after - before for before, after in pairwise(sent)]
        if not steps:
            continue
        limit = max(age * 1e9, _SLOW * statistics.median(steps))
        long = [(step, before) for step, before in zip(steps, sent) if step > limit]
        if long:
            step, before = max(long)
            yield (
                f"gap: {name}: {len(long)} longer than {limit * 1e-6:.0f} ms, the longest {step * 1e-6:.0f} "
                "ms "
                f"at {(before - bag.start_ns) * 1e-9:.2f} s"
            )
