"""ROS 2 Jazzy's message types without ROS: definitions, hashes, CDR bytes <-> messages, by the type store of
`rosbags`.

A type is named as ROS names it, "sensor_msgs/msg/Image". Sequences and arrays of numbers are numpy arrays.
"""

from __future__ import annotations

import difflib
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

DISTRO = "jazzy"
_HEADER = (Nodetype.NAME, "std_msgs/msg/Header")


class SchemaError(ValueError):
    """An unknown message type, or bytes or fields that do not fit their type."""


@cache
def _store():
    return get_typestore(Stores.ROS2_JAZZY)


@cache
def _fields(type: str) -> dict[str, tuple]:
    known = _store().fielddefs
    if type not in known:
        near = difflib.get_close_matches(type, known, 1)
        raise SchemaError(
            f"no message type '{type}' in ROS 2 {DISTRO.capitalize()}"
            + (f", did you mean '{near[0]}'?" if near else "")
        )
    return dict(known[type][1])


def is_known(type: str) -> bool:
    """Whether ROS 2 itself has this message type; a laboratory's own types are kept in bags, but not read."""
    return type in _store().fielddefs


@cache
def type_definition(type: str) -> str:
    """The type's text in MCAP's `ros2msg` encoding: its own definition, then those of types in it."""
    _fields(type)
    return _store().generate_msgdef(type, ros_version=2)[0]


@cache
def type_hash(type: str) -> str:
    """The type's RIHS01 hash, as ROS 2 compares types across computers."""
    _fields(type)
    return _store().hash_rihs01(type)


def deserialize(type: str, data) -> Any:
    """CDR bytes -> message object with the type's fields as attributes."""
    _fields(type)
    try:
        return _store().deserialize_cdr(data, type)
    except Exception as error:  # rosbags' generated code raises anything on damaged bytes
        raise SchemaError(f"{len(data)} bytes are not a valid {type}: {error}") from error


def serialize(message: Any, type: str) -> bytes:
    """Message object -> little-endian CDR bytes, as a ROS node publishes them."""
    _fields(type)
    try:
        return bytes(_store().serialize_cdr(message, type))
    except Exception as error:  # see deserialize
        raise SchemaError(f"message does not fit {type}: {error}") from error


def make_message(type: str, **fields) -> Any:
    """A message of this type.

    Omitted fields are zero or empty; a nested message may be a dict of its fields.
    """
    known = _fields(type)
    for name in fields:
        if name not in known:
            raise SchemaError(f"{type} has no field '{name}', it has {', '.join(known)}")
    values = {
        name: _value(kind, fields[name]) if name in fields else _default(kind) for name, kind in known.items()
    }
    return _store().types[type](**values)


def header_stamp(type: str, data) -> int | None:
    """The header's stamp in ns, read from the CDR bytes without decoding the rest; None for a type without
    header and for a type that ROS 2 itself does not have.
    """
    if not (is_known(type) and has_header(type)):
        return None
    if len(data) < 12:
        raise SchemaError(f"{len(data)} bytes are too few for the header of {type}")
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds * 1_000_000_000 + nanoseconds


@cache
def has_header(type: str) -> bool:
    """Whether the type begins with a std_msgs/Header."""
    return next(iter(_fields(type).values()), None) == _HEADER


def _value(kind: tuple, value: Any) -> Any:
    node, detail = kind
    if node == Nodetype.NAME:
        return make_message(detail, **value) if isinstance(value, Mapping) else value
    if node == Nodetype.BASE:
        return value
    inner = detail[0]
    if inner[0] == Nodetype.NAME:
        return [_value(inner, item) for item in value]
    if inner[1][0] in ("string", "wstring"):
        return list(value)
    dtype = _dtype(inner[1][0])
    return (
        np.frombuffer(value, dtype)
        if isinstance(value, (bytes, bytearray, memoryview))
        else np.asarray(value, dtype)
    )


def _default(kind: tuple) -> Any:
    node, detail = kind
    if node == Nodetype.NAME:
        return make_message(detail)
    if node == Nodetype.BASE:
        name = detail[0]
        return (
            ""
            if name in ("string", "wstring")
            else False
            if name == "bool"
            else 0.0
            if name.startswith("float")
            else 0
        )
    inner, length = detail
    count = length if node == Nodetype.ARRAY else 0
    if inner[0] == Nodetype.NAME or inner[1][0] in ("string", "wstring"):
        return [_default(inner) for _ in range(count)]
    return np.zeros(count, _dtype(inner[1][0]))


def _dtype(name: str) -> str:
    return {"octet": "uint8", "byte": "uint8", "char": "uint8"}.get(name, name)
