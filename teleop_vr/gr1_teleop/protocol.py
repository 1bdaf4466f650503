"""The messages of an operator's page: one JSON text each, validated here before anything else reads it.

`parse` returns one of the classes below or raises ProtocolError for any input. `t`, `t0` and `t1` are ms of
the page's clock (performance.now()). `seq` is an integer that grows by one with each message that has it.
Unknown fields are ignored.
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
EPISODE_ACTIONS = ("start", "success", "failure", "discard", "relabel", "next_task", "previous_task")

MAX_INSTRUCTION = 300
"""Maximum length of an instruction in characters; CLIP reads 77 tokens, which are shorter."""
_MAX_SEQ = 2**53  # largest exact integer of JavaScript
_MAX_MS = 1e12
_MAX_POSITION_M = 1000.0
_UNIT_TOLERANCE = 0.01

Vector = tuple[float, float, float]


class ProtocolError(ValueError):
    """An invalid message; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: the device and its kind. session: random text of one opened page, or "". A page that
    connects again replaces its own lost connection."""

    device: str
    kind: str
    version: int
    session: str = ""


@dataclass(frozen=True, slots=True)
class HandPose:
    """One hand in one XR frame: grip space in WebXR's `local-floor` (x right, y up, z towards the operator).

    position: m; orientation: xyzw; both None unless `tracked`. squeeze, trigger: 0 open .. 1 pressed.
    visible: whether the page is visible.
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
    """A desk device. linear, angular: -1..1 of the maximum speed, arm's base frame. held: dead-man switch."""

    seq: int
    t: float
    held: bool
    linear: Vector
    angular: Vector
    gripper: float
    visible: bool


@dataclass(frozen=True, slots=True)
class Recenter:
    """The XR reference space has moved: earlier positions are void."""

    seq: int
    t: float


@dataclass(frozen=True, slots=True)
class Bye:
    """The operator leaves."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping; the server answers at once."""

    t: float


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A ping sent at t0, answered with `host` (s) and received at t1 (t0, t1: ms of the page's clock)."""

    t0: float
    t1: float
    host: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One message of a network test; sent at the pace of a hand's samples."""

    seq: int
    t: float


@dataclass(frozen=True, slots=True)
class ProbesEnd:
    """The end of a network test. seq: of the last probe, sent or not; rtt_ms: median round trip."""

    seq: int
    rtt_ms: float


@dataclass(frozen=True, slots=True)
class EpisodeAction:
    """A request to the recorder; instruction is None if the message has none."""

    action: str
    instruction: str | None


Message = (
    Hello | HandPose | DeskVelocity | Recenter | Bye | Ping | RoundTrip | Probe | ProbesEnd | EpisodeAction
)


def parse(text: str) -> Message:
    """Returns the message, or raises ProtocolError."""
    if not isinstance(text, str):
        raise ProtocolError("message is not text: send JSON as a text frame")
    if len(text) > MAX_BYTES:
        raise ProtocolError(f"message of {len(text)} characters: the maximum is {MAX_BYTES}")
    try:
        raw = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        # Shortened: json's messages may repeat the whole input.
        raise ProtocolError(f"message is not JSON: {str(error)[:80]}") from None
    if not isinstance(raw, dict):
        raise ProtocolError('message is not a JSON object: send {"type": ...}')
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in _READERS:
        raise ProtocolError(f"type is {_quote(kind)}: expected {', '.join(_READERS)}")
    return _READERS[kind](_Fields(kind, raw))


class _Fields:
    """Typed access to a message's fields; `where` is the name used in errors."""

    def __init__(self, where: str, raw: Mapping):
        self._where, self._raw = where, raw

    def get(self, name: str):
        if name not in self._raw:
            raise ProtocolError(f"{self._where}: {name} is missing")
        return self._raw[name]

    def absent(self, name: str) -> bool:
        return self._raw.get(name) is None

    def error(self, name: str, value, wanted: str) -> ProtocolError:
        return ProtocolError(f"{self._where}: {name} is {_quote(value)}, expected {wanted}")

    def number(self, name: str, low: float, high: float) -> float:
        value = self.get(name)
        if not _within(value, low, high):
            raise self.error(name, value, f"a number {low:g} .. {high:g}")
        return float(value)

    def numbers(self, name: str, count: int, bound: float) -> tuple[float, ...]:
        value = self.get(name)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(_within(item, -bound, bound) for item in value)
        ):
            raise self.error(name, value, f"{count} numbers {-bound:g} .. {bound:g}")
        return tuple(float(item) for item in value)

    def integer(self, name: str, high: int) -> int:
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < high:
            raise self.error(name, value, f"a whole number 0 .. {high - 1}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.get(name)
        if not isinstance(value, bool):
            raise self.error(name, value, "true or false")
        return value

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        value = self.get(name)
        if value not in known:
            raise self.error(name, value, " or ".join(known))
        return value

    def text(self, name: str, most: int) -> str:
        value = self.get(name)
        # Not printable: control characters, line breaks, and lone surrogates, which cannot be encoded again.
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.strip()) <= most:
            raise self.error(name, value, f"one line of 1 .. {most} characters")
        return value.strip()

    def object(self, name: str) -> _Fields:
        value = self.get(name)
        if not isinstance(value, dict):
            raise self.error(name, value, "an object")
        return _Fields(f"{self._where}: {name}", value)


def _hello(fields: _Fields) -> Hello:
    version = fields.integer("version", _MAX_SEQ)
    if version != VERSION:
        raise ProtocolError(f"hello: version is {version}, this server expects {VERSION}: reload the page")
    session = "" if fields.absent("session") else fields.text("session", 64)
    return Hello(fields.text("device", 100), fields.choice("kind", KINDS), version, session)


def _pose(fields: _Fields) -> HandPose:
    tracked = fields.boolean("tracked")
    position = orientation = None
    if tracked:
        position = fields.numbers("position", 3, _MAX_POSITION_M)
        orientation = fields.numbers("orientation", 4, 2.0)
        length = math.hypot(*orientation)
        if abs(length - 1.0) > _UNIT_TOLERANCE:
            raise fields.error("orientation", list(orientation), "a unit quaternion x, y, z, w")
        orientation = tuple(item / length for item in orientation)
    buttons = fields.object("buttons")
    return HandPose(
        seq=fields.integer("seq", _MAX_SEQ),
        t=fields.number("t", 0.0, _MAX_MS),
        hand=fields.choice("hand", HANDS),
        tracked=tracked,
        position=position,
        orientation=orientation,
        squeeze=fields.number("squeeze", 0.0, 1.0),
        trigger=fields.number("trigger", 0.0, 1.0),
        a=buttons.boolean("a"),
        b=buttons.boolean("b"),
        stick=buttons.boolean("stick"),
        visible=fields.boolean("visible"),
    )


def _velocity(fields: _Fields) -> DeskVelocity:
    return DeskVelocity(
        seq=fields.integer("seq", _MAX_SEQ),
        t=fields.number("t", 0.0, _MAX_MS),
        held=fields.boolean("held"),
        linear=fields.numbers("linear", 3, 1.0),
        angular=fields.numbers("angular", 3, 1.0),
        gripper=fields.number("gripper", 0.0, 1.0),
        visible=fields.boolean("visible"),
    )


def _round_trip(fields: _Fields) -> RoundTrip:
    sent, received = fields.number("t0", 0.0, _MAX_MS), fields.number("t1", 0.0, _MAX_MS)
    if received < sent:
        raise ProtocolError(f"rtt: t1 is {received:g} ms, earlier than t0 {sent:g} ms")
    return RoundTrip(sent, received, fields.number("host", 0.0, _MAX_MS))


def _episode(fields: _Fields) -> EpisodeAction:
    action = fields.choice("action", EPISODE_ACTIONS)
    absent = fields.absent("instruction")
    if action == "relabel" and absent:
        raise ProtocolError("episode: relabel needs an instruction")
    return EpisodeAction(action, None if absent else fields.text("instruction", MAX_INSTRUCTION))


_READERS = {
    "hello": _hello,
    "pose": _pose,
    "velocity": _velocity,
    "recenter": lambda fields: Recenter(fields.integer("seq", _MAX_SEQ), fields.number("t", 0.0, _MAX_MS)),
    "bye": lambda fields: Bye(),
    "ping": lambda fields: Ping(fields.number("t", 0.0, _MAX_MS)),
    "rtt": _round_trip,
    "probe": lambda fields: Probe(fields.integer("seq", _MAX_SEQ), fields.number("t", 0.0, _MAX_MS)),
    "probes_end": lambda fields: ProbesEnd(
        fields.integer("seq", _MAX_SEQ), fields.number("rtt_ms", 0.0, _MAX_MS)
    ),
    "episode": _episode,
}


def _within(value, low: float, high: float) -> bool:
    # NaN and infinities (1e999 is read as one) fail the comparison; an int compares at any size.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _no_constant(name: str):
    raise ValueError(f"{name} is not a number of JSON")


def _quote(value) -> str:
    """A value for an error message: short and printable, whatever was sent."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, deeply nested lists
        text = f"a {type(value).__name__} that is too large"
    return text if len(text) <= 60 else text[:57] + "..."
