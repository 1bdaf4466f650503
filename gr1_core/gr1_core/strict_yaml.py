"""Plain YAML values -> frozen dataclasses, every wrong key and type named with the nearest right one."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Literal

import yaml


class RecipeError(ValueError):
    """A recipe that cannot be followed."""


def scalar(text: str):
    """A value as YAML reads it, and numbers like 1e-3 too, which YAML 1.1 takes for words. Raises yaml.YAMLError."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def known(key: str, names: Sequence[str], where: str) -> None:
    """Raises RecipeError unless the key is one of the names."""
    if key not in names:
        near = difflib.get_close_matches(str(key), names, 1, 0.5)
        raise RecipeError(
            f"{where}{key} is unknown"
            + (f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(names)}")
        )


def build(cls, raw, where: str, prefix: str = ""):
    """A dataclass from a mapping that has exactly its fields. prefix: of the fields' names in messages. Raises RecipeError."""
    if not isinstance(raw, Mapping):
        raise RecipeError(f"{where}: {prefix.rstrip('.')} is {raw!r}, expected keys and values")
    hints = typing.get_type_hints(cls)
    for key in raw:
        known(key, list(hints), f"{where}: {prefix}")
    if missing := [prefix + name for name in hints if name not in raw]:
        raise RecipeError(f"{where}: missing {', '.join(missing)}")
    return cls(**{name: _typed(kind, raw[name], where, prefix + name) for name, kind in hints.items()})


def _typed(kind, value, where: str, name: str):
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where, f"{name}.")
    optional = isinstance(kind, types.UnionType)
    if optional and value is None:
        return None
    plain = typing.get_args(kind)[0] if optional else kind
    if typing.get_origin(plain) is Literal:
        choices = typing.get_args(plain)
        if isinstance(value, bool) and "off" in choices:
            # YAML 1.1 takes on and off for truth values.
            value = "on" if value else "off"
        if value in choices:
            return value
        near = difflib.get_close_matches(str(value), choices, 1, 0.5)
        hint = f", did you mean '{near[0]}'?" if near else ""
        raise RecipeError(f"{where}: {name} is {value!r}, expected {' or '.join(choices)}{hint}")
    if typing.get_origin(plain) is tuple:
        if isinstance(value, (list, tuple)) and len(value) == 2 and all(_number(item) for item in value):
            return tuple(float(item) for item in value)
        raise RecipeError(f"{where}: {name} is {value!r}, expected two numbers, e.g. [0.9, 0.999]")
    if plain is float and isinstance(value, str):
        value = scalar(value)
    fits = {
        float: _number(value),
        int: isinstance(value, int) and not isinstance(value, bool),
        bool: isinstance(value, bool),
        str: isinstance(value, (str, int, float)) and not isinstance(value, bool),
    }.get(plain, isinstance(value, Mapping))
    if not fits:
        words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}.get(
            plain, "keys and values"
        )
        raise RecipeError(
            f"{where}: {name} is {value!r}, expected {words}" + (" or null" if optional else "")
        )
    return plain(value) if plain in (float, str) else value


def _number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
