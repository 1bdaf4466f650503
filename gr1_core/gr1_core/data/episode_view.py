"""What a person looks at in a recorded episode: curves, events and single frames, on one time axis.

Times are seconds since the beginning of the recording.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mcap.reader import make_reader

from gr1_core import images
from gr1_core.data import schemas
from gr1_core.data.bag import DAMAGE_ERRORS, Bag, BagError, topic_matches
from gr1_core.data.marks import marks_of, recorded_labels
from gr1_core.data.schemas import SchemaError
from gr1_core.data.steps import StepsError, select_steps
from gr1_core.data.verification import image_topic
from gr1_core.rig import ROLES, Rig, RigError

MAX_POINTS = 600
"""Points of a curve."""
_JPEG_QUALITY = 90
_GATE = "arm: gate"
_ENDINGS = tuple(f"; {state}" for state in ("confirmed", "taken over", "latched", "ended"))
_JOINED_S = 1.0
"""Commands of teleoperation closer than this belong to one take-over."""


def episode_view(bag: Bag) -> dict[str, Any]:
    """JSON-able description of a bag.

    name; seconds; labels {instruction, outcome, operator, note, started, task}; recorded: the recorded value
    of those that were changed; marks {trim_start_s, trim_end_s, excluded}; cameras [role]; curves {name: [[s,
    value]]} of "gripper" (0 open .. 1 closed) and "speed" (m/s); speed_limit: m/s; events [{kind, start_s,
    end_s, text}], kind: gap, stop, gate, takeover, call, success; steps {recorded, trimmed, kept,
    hz, problems}, or {"problem": text} for a bag that conversion refuses. Raises BagError.
    """
    marks = marks_of(bag.labels, bag.name)
    names = ("instruction", "outcome", "operator", "note", "started", "task")
    labels = {name: bag.labels.get(name, "") for name in names}
    recorded = recorded_labels(bag)
    reading = _Reading(bag)
    try:
        rig = bag.rig
    except RigError:
        rig = None
    return {
        "name": bag.name,
        "seconds": round(bag.duration_s, 3),
        "labels": labels,
        "recorded": {
            name: recorded.get(name, "") for name in names if recorded.get(name, "") != labels[name]
        },
        "marks": {
            "trim_start_s": marks.trim_start_s,
            "trim_end_s": marks.trim_end_s,
            "excluded": marks.excluded,
        },
        "cameras": [role for role in ROLES if image_topic(bag, role)],
        "curves": {"gripper": _thinned(reading.gripper), "speed": _thinned(reading.speed())},
        "speed_limit": rig.limits.linear_speed if rig else None,
        "events": sorted(
            [*reading.gaps(rig), *reading.gate(), *reading.takeovers(), *reading.calls, *reading.successes()],
            key=lambda event: event["start_s"],
        ),
        "steps": _steps(bag),
    }


def frame_at(bag: Bag, role: str, seconds: float) -> bytes | None:
    """The newest frame of a camera that had arrived by then, or its first; JPEG. None if there is none.

    Reads only the parts of the file around it. Raises BagError.
    """
    topic = image_topic(bag, role)
    if topic is None:
        return None
    at = bag.start_ns + round(max(seconds, 0.0) * 1e9) + 1
    try:
        with open(bag.path, "rb") as stream:
            reader = make_reader(stream)
            found = next(reader.iter_messages([topic], end_time=at, reverse=True), None)
            found = found or next(reader.iter_messages([topic], start_time=at), None)
            return found and jpeg_of(found[0].name, found[2].data)
    except DAMAGE_ERRORS as error:
        raise BagError(f"{bag.path} is damaged ({type(error).__name__}: {error})") from error


def jpeg_of(type: str, data) -> bytes:
    """The JPEG of an image message: as recorded if it is one. Raises SchemaError or ImageError."""
    image = schemas.deserialize(type, data)
    if type.endswith("CompressedImage"):
        encoded = bytes(image.data)
        if encoded.startswith(b"\xff\xd8"):
            return encoded
        array = images.decode(encoded)
    else:
        array = images.from_raw(image.encoding, image.height, image.width, image.step, image.data)
    return images.encode_jpeg(array, _JPEG_QUALITY)


class _Reading:
    """One pass over the file. Lists of (s, value)."""

    def __init__(self, bag: Bag):
        self._bag = bag
        self.gripper: list[tuple[float, float]] = []
        self._twist: list[tuple[float, float]] = []
        self._position: list[tuple[float, np.ndarray]] = []
        self._gate: list[tuple[float, str, str]] = []
        self._commands: dict[str, list[float]] = {"teleop": [], "policy": []}
        self._success: list[tuple[float, bool]] = []
        self.calls: list[dict] = []
        """The policy's calls of the operator, each with its reason and how it was answered."""
        self._sent: dict[str, list[float]] = {}
        watched = {image_topic(bag, role) for role in ROLES}
        for message in bag.messages():
            at = (message.log_time - bag.start_ns) * 1e-9
            if message.topic in watched:
                self._sent.setdefault(message.topic, []).append(at)
            else:
                self._add(message, at)

    def _add(self, message, at: float) -> None:
        topic = message.topic

        def content():
            return schemas.deserialize(message.type, message.data)

        if topic_matches(topic, "arm/gripper"):
            self._sent.setdefault(topic, []).append(at)
            values = content()
            known = dict(zip(values.name, values.position))
            closure = known.get("closure", known.get("closure_command", np.nan))
            if np.isfinite(closure):
                self.gripper.append((at, float(closure)))
        elif topic_matches(topic, "arm/pose"):
            self._sent.setdefault(topic, []).append(at)
            where = content().pose.position
            self._position.append((at, np.array([where.x, where.y, where.z])))
        elif topic_matches(topic, "arm/commanded_twist"):
            linear = content().twist.linear
            self._twist.append((at, float(np.linalg.norm([linear.x, linear.y, linear.z]))))
        elif topic_matches(topic, "command/teleop/twist"):
            self._commands["teleop"].append(at)
        elif topic_matches(topic, "command/policy/twist"):
            self._commands["policy"].append(at)
        elif topic_matches(topic, "policy/call"):
            self._add_call(at, json.loads(content().data))
        elif topic_matches(topic, "sim/success"):
            self._success.append((at, bool(content().data)))
        elif topic == "/diagnostics":
            for status in content().status:
                if status.name == _GATE:
                    values = {pair.key: pair.value for pair in status.values}
                    self._gate.append((at, values.get("state", ""), values.get("reason", "")))

    def _add_call(self, at: float, call: Mapping[str, Any]) -> None:
        """An open call is repeated once a second; the last message says how it ended."""
        ending = "" if call["state"] == "calling" else f"; {call['state'].replace('_', ' ')}"
        text = f"the policy called: {call['reason']}{ending}"
        if self.calls and not self.calls[-1]["text"].endswith(_ENDINGS):
            start = self.calls.pop()["start_s"]
        else:
            start = at
        self.calls.append(_event("call", start, at, text))

    def speed(self) -> list[tuple[float, float]]:
        """Commanded speed, or that of the measured pose where no commanded twist was recorded."""
        if self._twist or len(self._position) < 3:
            return self._twist
        times = np.array([at for at, _ in self._position])
        places = np.stack([place for _, place in self._position])
        step = max(1, round(0.1 / max(np.median(np.diff(times)), 1e-3)))
        moved = np.linalg.norm(places[step:] - places[:-step], axis=1)
        passed = np.maximum(times[step:] - times[:-step], 1e-3)
        return list(zip(times[step:].tolist(), (moved / passed).tolist()))

    def gaps(self, rig: Rig | None) -> Iterator[dict]:
        ages = {
            image_topic(self._bag, role): rig.cameras[role].max_age if rig and role in rig.cameras else 0.5
            for role in ROLES
        }
        for topic, times in self._sent.items():
            limit = ages.get(topic, rig.state.max_age if rig else 0.5)
            pauses = np.diff([0.0, *times, self._bag.duration_s])
            for number in np.flatnonzero(pauses > limit):
                start = 0.0 if number == 0 else times[number - 1]
                name = topic.removesuffix("/compressed").removesuffix("/image_raw")
                text = f"{name}: nothing for {pauses[number]:.2f} s (at most {limit:.2f} s)"
                yield _event("gap", start, start + float(pauses[number]), text)

    def gate(self) -> Iterator[dict]:
        """Spans in which the gate was stopped or limited the motion, with its reason."""
        usual = ("", "no_command", "none")
        spans: list[list] = []
        for at, state, reason in self._gate:
            if spans and spans[-1][1:3] == [state, reason]:
                spans[-1][3] = at
                continue
            if spans:
                spans[-1][3] = at
            spans.append([at, state, reason, at])
        for start, state, reason, end in spans:
            if state == "stopped":
                yield _event("stop", start, end, f"arm stopped: {reason or 'no reason given'}")
            elif reason not in usual:
                yield _event("gate", start, end, f"gate: {reason}")

    def takeovers(self) -> Iterator[dict]:
        """Spans in which a person commanded, in episodes that a policy also commanded."""
        times = self._commands["teleop"]
        if not times or not self._commands["policy"]:
            return
        start = before = times[0]
        for at in [*times[1:], float("inf")]:
            if at - before > _JOINED_S:
                yield _event("takeover", start, before, f"take-over for {before - start:.1f} s")
                start = at
            before = at

    def successes(self) -> Iterator[dict]:
        before = False
        for at, value in self._success:
            if value and not before:
                yield _event("success", at, at, "success test passed")
            before = value


def _event(kind: str, start: float, end: float, text: str) -> dict:
    return {"kind": kind, "start_s": round(start, 3), "end_s": round(end, 3), "text": text}


def _thinned(points: list[tuple[float, float]]) -> list[list[float]]:
    """At most MAX_POINTS points: the largest value of each share, so that peaks stay visible."""
    if len(points) <= MAX_POINTS:
        return [[round(at, 3), round(value, 4)] for at, value in points]
    shares = np.array_split(np.array(points), MAX_POINTS)
    best = (share[share[:, 1].argmax()] for share in shares)
    return [[round(float(at), 3), round(float(value), 4)] for at, value in best]


def _steps(bag: Bag) -> Mapping[str, Any]:
    try:
        chosen = select_steps(bag)
    except (BagError, StepsError, SchemaError, RigError) as error:
        return {"problem": str(error)}
    return {
        "recorded": chosen.recorded,
        "trimmed": chosen.trimmed,
        "kept": len(chosen.times),
        "hz": bag.rig.control_hz,
        "problems": list(chosen.problems),
    }
