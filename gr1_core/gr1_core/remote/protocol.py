"""The messages between a policy's server and its clients: msgpack maps over a websocket.

    client -> server   Step, FutureRequest
    server -> client   Hello (once, first), Answer, FutureAnswer, Refusal

Every answer carries the number of its request. Nothing is ever evaluated: a message is a map of texts,
numbers, lists and bytes, each checked against its field. A message that is not as described is refused, and
its connection closed.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field

import msgpack
import numpy as np

from gr1_core import images
from gr1_core.rig import ROLES, Camera, Rig

SUBPROTOCOL = "gr1-policy-1"
"""Name and version of this protocol, in the websocket's handshake."""
OTHER_BYTES = 64 * 1024
"""Of a message beside its images."""
LARGEST_ANSWER = 32 * 1024 * 1024
"""Bytes of a server's message; predicted frames with their patches are the largest."""
RAW, JPEG = "raw", "jpeg"
_INT64 = 2**63 - 1


class ProtocolError(ValueError):
    """A message that this protocol does not have."""


@dataclass(frozen=True)
class Hello:
    """What is served. rig, config: as `to_dict` has them. weights: their SHA-256, or empty. records: JSON
    records about the checkpoint, by file name (`eval.checkpoint_records`).
    """

    rig: dict
    config: dict
    checkpoint: str
    weights: str
    precision: str
    records: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One control period. instruction: starts a new rollout; text, or CLIP's 77 token ids.

    static, wrist: the camera's view (`Camera.view`), encoded as `encoding` says. arm [6]: xyz and Euler
    angles. gripper: +1 or -1. future: send the predicted frames, too.
    """

    number: int
    encoding: str
    static: bytes
    wrist: bytes
    arm: list
    gripper: float
    instruction: str | list | None = None
    future: bool = False


@dataclass(frozen=True)
class FutureRequest:
    """The predicted frames of the step `number`, which must be the newest. patches: also the decoder's raw
    output.
    """

    number: int
    patches: bool = False


@dataclass(frozen=True)
class Answer:
    """An action. delta [6]: the model's units. later: `Action.later`, f64[chunk - 1, 7]. Seconds: decoding
    the images, waiting for other clients' steps, computing.
    """

    number: int
    delta: list
    gripper_logit: float
    later: bytes
    decode_s: float
    wait_s: float
    inference_s: float


@dataclass(frozen=True)
class FutureAnswer:
    """static, wrist: u8[S, S, 3] RGB. *_patches: f32[patches, patch_dim], or empty."""

    number: int
    static: bytes
    wrist: bytes
    static_patches: bytes = b""
    wrist_patches: bytes = b""


@dataclass(frozen=True)
class Refusal:
    """Why there is no action. cause: `policy` or `rig`, whose exception it was on the server."""

    number: int
    cause: str
    text: str


Message = Hello | Step | FutureRequest | Answer | FutureAnswer | Refusal
_KINDS = {kind.__name__: kind for kind in typing.get_args(Message)}
_HINTS = {kind: typing.get_type_hints(kind) for kind in _KINDS.values()}


def pack(message: Message) -> bytes:
    """A message as bytes."""
    fields = {item.name: getattr(message, item.name) for item in dataclasses.fields(message)}
    return msgpack.packb({"kind": type(message).__name__} | fields)


def unpack(data: bytes | str, *expected: type) -> Message:
    """Bytes as one of the expected messages. Raises ProtocolError."""
    if not isinstance(data, bytes):
        raise ProtocolError("a text message; this protocol has binary messages only")
    try:
        raw = msgpack.unpackb(data, strict_map_key=True, ext_hook=_refuse_extension)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"{len(data)} bytes are no msgpack map ({error})") from error
    kind = _KINDS.get(raw.pop("kind", None)) if isinstance(raw, dict) else None
    if kind not in expected:
        names = ", ".join(one.__name__ for one in expected)
        raise ProtocolError(f"expected {names}, received {kind.__name__ if kind else 'something else'}")
    hints = _HINTS[kind]
    required = {item.name for item in dataclasses.fields(kind) if _is_required(item)}
    if unknown := sorted(set(raw) - set(hints)):
        raise ProtocolError(f"{kind.__name__} has no field '{str(unknown[0])[:40]}'")
    if missing := sorted(required - set(raw)):
        raise ProtocolError(f"{kind.__name__} without its field '{missing[0]}'")
    for name, value in raw.items():
        if not _fits(value, hints[name]):
            raise ProtocolError(f"{kind.__name__}.{name} is {type(value).__name__} of an unexpected form")
    return kind(**raw)


def numbers(values: list, count: int, name: str) -> np.ndarray:
    """A list of a message as f64[count]. Raises ProtocolError."""
    if len(values) != count or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    ):
        raise ProtocolError(f"{name} is {str(values)[:80]}, expected {count} numbers")
    return np.array(values, np.float64)


# Frames


def largest_request(rig: Rig) -> int:
    """Bytes of the largest message that a client of this rig may send: raw views, with a margin, since a JPEG
    of noise is larger.
    """
    return OTHER_BYTES + sum(4 * math.prod(view_size(camera)) for camera in rig.cameras.values())


def view_size(camera: Camera) -> tuple[int, int]:
    """(height, width) of the part of a frame that the model sees."""
    return camera.view(np.broadcast_to(np.uint8(0), (camera.height, camera.width, 3))).shape[:2]


def encode_view(image: np.ndarray, camera: Camera, quality: int) -> bytes:
    """A rig's frame u8[H, W, 3] -> its view as JPEG of this quality; 0: raw bytes. Raises RigError."""
    view = camera.view(image)
    return images.encode_jpeg(view, quality) if quality else np.ascontiguousarray(view).tobytes()


def decode_view(data: bytes, encoding: str, camera: Camera, frame: np.ndarray) -> None:
    """Writes a view into the rig's frame u8[H, W, 3], whose other pixels the model does not see.

    Raises ProtocolError for an image of another size, before it is decoded.
    """
    height, width = view_size(camera)
    view = camera.view(frame)
    if encoding == RAW:
        if len(data) != 3 * height * width:
            raise ProtocolError(f"{len(data)} bytes are no raw image of {width}x{height}")
        view[...] = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        return
    if encoding != JPEG:
        raise ProtocolError(f"encoding '{encoding[:20]}' is not {RAW} or {JPEG}")
    try:
        size = images.size(data)
        if size != (height, width):
            raise ProtocolError(f"an image of {size[1]}x{size[0]}, expected {width}x{height}")
        view[...] = images.decode(data)
    except images.ImageError as error:
        raise ProtocolError(str(error)) from error


def new_frames(rig: Rig) -> dict[str, np.ndarray]:
    """Black frames of the rig's sizes, for `decode_view`."""
    return {
        role: np.zeros((rig.cameras[role].height, rig.cameras[role].width, 3), np.uint8) for role in ROLES
    }


def _is_required(item: dataclasses.Field) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _fits(value, hint) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if hint is int:
        return type(value) is int and 0 <= value <= _INT64
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _refuse_extension(code: int, data: bytes):
    raise ValueError(f"extension type {code}")
