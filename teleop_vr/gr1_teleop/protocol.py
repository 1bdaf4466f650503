"""What an operator's page may say: one JSON text a message, checked here before anything else sees it.

`parse` gives one of the classes below or raises ProtocolError, whatever the text is. `t`, `t0` and `t1` are ms of the page's own clock
(performance.now()), `seq` a whole number that grows by one with each message that has one. Unknown fields are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

VERSION = 1
MAX_BYTES = 16384
KINDS = ("headset", "phone", "desk")
HANDS = ("right", "left")
ACTIONS = ("start", "success", "failure", "discard", "relabel")

MAX_INSTRUCTION = 300
"""Characters of an instruction: CLIP reads 77 tokens, which are fewer."""
_MAX_SEQ = 2**53  # what a JavaScript number counts to
_MAX_MS = 1e12
_MAX_M = 1000.0
_UNIT = 0.01

Vector = tuple[float, float, float]


class ProtocolError(ValueError):
    """A message that cannot be understood; its text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: who speaks."""

    device: str
    kind: str
    version: int


@dataclass(frozen=True, slots=True)
class HandPose:
    """One hand in one XR frame, in WebXR's `local-floor`: metres, x right, y up, z towards the operator; orientation xyzw, grip space.

    position and orientation are None unless `tracked`. squeeze, trigger: 0 open .. 1 pressed. visible: the page is in front.
    """

    seq: int
    t: float
    hand: str
    tracked: bool
    position: Vector | None
    orientation: tuple[float, float, float, float] | None
    squeeze: float
    trigger: float
    a: bool
    b: bool
    stick: bool
    visible: bool


@dataclass(frozen=True, slots=True)
class DeskVelocity:
    """A desk device: linear and angular in -1..1 of the fastest, already in the arm's base frame; held: its dead man's switch."""

    seq: int
    t: float
    held: bool
    linear: Vector
    angular: Vector
    gripper: float
    visible: bool


@dataclass(frozen=True, slots=True)
class Recenter:
    """The XR reference space has moved: what was known of positions is void."""

    seq: int
    t: float


@dataclass(frozen=True, slots=True)
class Bye:
    """The operator leaves."""


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered at once."""

    t: float


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A ping's way: sent at t0, its answer received at t1 (ms of the page's clock), `host` s as the answer said."""

    t0: float
    t1: float
    host: float


@dataclass(frozen=True, slots=True)
class EpisodeAction:
    """What the operator wants of the recorder; instruction is None where none was given."""

    action: str
    instruction: str | None


Message = Hello | HandPose | DeskVelocity | Recenter | Bye | Ping | RoundTrip | EpisodeAction


def parse(text: str) -> Message:
    """One message, or ProtocolError with what is wrong in it."""
    if not isinstance(text, str):
        raise ProtocolError("message is not text: send JSON as a text frame")
    if len(text) > MAX_BYTES:
        raise ProtocolError(f"message of {len(text)} characters: the most is {MAX_BYTES}")
    try:
        raw = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        # Only the first words: json's messages may repeat what they were given.
        raise ProtocolError(f"message is not JSON: {str(error)[:80]}") from None
    if not isinstance(raw, dict):
        raise ProtocolError('message is not a JSON object: send {"type": ...}')
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ProtocolError(f"type is {_shown(kind)}: known are {', '.join(_READERS)}")
    return _READERS[kind](_Fields(kind, raw))


class _Fields:
    """A message's fields, each read with what it must be; `where` is their name in errors."""

    def __init__(self, where: str, raw: Mapping):
        self._where, self._raw = where, raw

    def get(self, name: str):
        if name not in self._raw:
            raise ProtocolError(f"{self._where}: {name} is missing")
        return self._raw[name]

    def absent(self, name: str) -> bool:
        return self._raw.get(name) is None

    def wrong(self, name: str, value, wanted: str) -> ProtocolError:
        return ProtocolError(f"{self._where}: {name} is {_shown(value)}, expected {wanted}")

    def number(self, name: str, low: float, high: float) -> float:
        value = self.get(name)
        if not _within(value, low, high):
            raise self.wrong(name, value, f"a number {low:g} .. {high:g}")
        return float(value)

    def numbers(self, name: str, count: int, bound: float) -> tuple[float, ...]:
        value = self.get(name)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(_within(item, -bound, bound) for item in value)
        ):
            raise self.wrong(name, value, f"{count} numbers {-bound:g} .. {bound:g}")
        return tuple(float(item) for item in value)

    def whole(self, name: str, high: int) -> int:
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < high:
            raise self.wrong(name, value, f"a whole number 0 .. {high - 1}")
        return value

    def truth(self, name: str) -> bool:
        value = self.get(name)
        if not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        value = self.get(name)
        if value not in known:
            raise self.wrong(name, value, " or ".join(known))
        return value

    def text(self, name: str, most: int) -> str:
        value = self.get(name)
        # Not printable: control characters, line breaks, and halves of surrogate pairs, which no message could carry on.
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= most:
            raise self.wrong(name, value, f"one line of 1 .. {most} characters")
        return value.strip()

    def part(self, name: str) -> _Fields:
        value = self.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, value, "an object")
        return _Fields(f"{self._where}: {name}", value)


def _hello(fields: _Fields) -> Hello:
    version = fields.whole("version", _MAX_SEQ)
    if version != VERSION:
        raise ProtocolError(f"hello: version is {version}, this server speaks {VERSION}: reload the page")
    return Hello(fields.text("device", 100), fields.choice("kind", KINDS), version)


def _pose(fields: _Fields) -> HandPose:
    tracked = fields.truth("tracked")
    position = orientation = None
    if tracked:
        position = fields.numbers("position", 3, _MAX_M)
        orientation = fields.numbers("orientation", 4, 2.0)
        length = math.hypot(*orientation)
        if abs(length - 1.0) > _UNIT:
            raise fields.wrong("orientation", list(orientation), "a unit quaternion x, y, z, w")
        orientation = tuple(item / length for item in orientation)
    buttons = fields.part("buttons")
    return HandPose(
        seq=fields.whole("seq", _MAX_SEQ),
        t=fields.number("t", 0.0, _MAX_MS),
        hand=fields.choice("hand", HANDS),
        tracked=tracked,
        position=position,
        orientation=orientation,
        squeeze=fields.number("squeeze", 0.0, 1.0),
        trigger=fields.number("trigger", 0.0, 1.0),
        a=buttons.truth("a"),
        b=buttons.truth("b"),
        stick=buttons.truth("stick"),
        visible=fields.truth("visible"),
    )


def _velocity(fields: _Fields) -> DeskVelocity:
    return DeskVelocity(
        seq=fields.whole("seq", _MAX_SEQ),
        t=fields.number("t", 0.0, _MAX_MS),
        held=fields.truth("held"),
        linear=fields.numbers("linear", 3, 1.0),
        angular=fields.numbers("angular", 3, 1.0),
        gripper=fields.number("gripper", 0.0, 1.0),
        visible=fields.truth("visible"),
    )


def _round_trip(fields: _Fields) -> RoundTrip:
    sent, received = fields.number("t0", 0.0, _MAX_MS), fields.number("t1", 0.0, _MAX_MS)
    if received < sent:
        raise ProtocolError(f"rtt: t1 is {received:g} ms, before t0 {sent:g} ms")
    return RoundTrip(sent, received, fields.number("host", 0.0, _MAX_MS))


def _episode(fields: _Fields) -> EpisodeAction:
    action = fields.choice("action", ACTIONS)
    absent = fields.absent("instruction")
    if action == "relabel" and absent:
        raise ProtocolError("episode: relabel needs an instruction")
    return EpisodeAction(action, None if absent else fields.text("instruction", MAX_INSTRUCTION))


_READERS = {
    "hello": _hello,
    "pose": _pose,
    "velocity": _velocity,
    "recenter": lambda fields: Recenter(fields.whole("seq", _MAX_SEQ), fields.number("t", 0.0, _MAX_MS)),
    "bye": lambda fields: Bye(),
    "ping": lambda fields: Ping(fields.number("t", 0.0, _MAX_MS)),
    "rtt": _round_trip,
    "episode": _episode,
}


def _within(value, low: float, high: float) -> bool:
    # NaN and the infinities, which 1e999 is read as, are within nothing; a whole number compares at any size.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _no_constant(name: str):
    raise ValueError(f"{name} is not a number of JSON")


def _shown(value) -> str:
    """A value for an error's text: short, whatever was sent, and always writable."""
    try:
        text = json.dumps(value)
    except (
        ValueError,
        RecursionError,
    ):  # a whole number of thousands of digits, lists within lists within lists
        text = f"a {type(value).__name__} that is too large"
    return text if len(text) <= 60 else text[:57] + "..."
