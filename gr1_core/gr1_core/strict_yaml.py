"""Strict YAML -> dataclasses: one parser for recipes, rigs, model configurations and mappings.

Unknown, missing, duplicate and renamed keys and values of a wrong type are refused. The message names the
file, the key, the value and what is expected, with the nearest right name. Callers give the exception class
to raise (`error`).
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from gr1_core.suggestions import did_you_mean


class YamlError(ValueError):
    """A YAML file that cannot be used, where the caller has no exception class of its own."""


@dataclasses.dataclass(frozen=True)
class Above:
    """Lower bound (exclusive) of a number's annotation, e.g. `Annotated[float, Above(0)]`."""

    bound: float


@dataclasses.dataclass(frozen=True)
class MayLack:
    """Annotation of a mapping with fixed keys, e.g. `Annotated[Mapping[Literal["a", "b"], X], MayLack("b")]`:
    keys that may be missing.
    """

    keys: tuple[str, ...]


Positive = Annotated[float, Above(0)]
PositiveInt = Annotated[int, Above(0)]

_NONE: Mapping[str, str] = types.MappingProxyType({})
_EXPECTED = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a text"}


# Files and texts


def read(path: str | Path, error: type[Exception] = YamlError) -> Any:
    """The content of a YAML file. Raises `error` if it cannot be read, is not YAML or has a key twice."""
    try:
        return load(Path(path).read_text(encoding="utf-8"), str(path), error)
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError:
        raise error(f"{path} is not text: expected a YAML file") from None


def load(text: str, where: str, error: type[Exception] = YamlError) -> Any:
    """The content of a YAML text; `where` names it in messages."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise error(f"{where}: not YAML{place}: {problem.problem}") from problem
    except yaml.YAMLError as problem:
        raise error(f"{where}: not YAML: {' '.join(str(problem).split())}") from problem


def scalar(text: str) -> Any:
    """A value as YAML reads it; also numbers like 1e-3, text in YAML 1.1. Raises yaml.YAMLError."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


class _Loader(yaml.SafeLoader):
    """Refuses keys that are there twice: YAML silently takes the last one."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key '{key.value}' is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


# Mappings -> dataclasses


def parse(
    cls,
    raw: Any,
    where: str,
    error: type[Exception] = YamlError,
    *,
    prefix: str = "",
    optional: Sequence[str] | None = None,
    renamed: Mapping[str, str] = _NONE,
):
    """A dataclass from a mapping of its fields.

    where: names the file in messages. prefix: the mapping's own dotted key and a dot. optional: fields that
    may be missing, default: those with a default. renamed: old dotted key -> new one, for the message about
    an old file. Fields may be: a dataclass, bool, int, float, str, Literal of texts, tuple of floats,
    Mapping, Mapping[Literal, dataclass], Mapping[str, dataclass] with any names, each also `| None` and `|
    Literal`, numbers also Annotated with
    `Above`.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if optional is None:
        optional = [
            name
            for name, field in fields.items()
            if not (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)
        ]
    required = [name for name in fields if name not in optional]
    raw = check_keys(raw, required, optional, where, error, prefix=prefix, renamed=renamed)
    hints = typing.get_type_hints(cls, include_extras=True)
    parser = _Parser(where, error, renamed)
    return cls(
        **{name: parser.value(hints[name], raw[name], prefix + name) for name in fields if name in raw}
    )


def check_keys(
    raw: Any,
    required: Sequence[str],
    optional: Sequence[str],
    where: str,
    error: type[Exception] = YamlError,
    *,
    prefix: str = "",
    renamed: Mapping[str, str] = _NONE,
) -> dict:
    """A copy of the mapping `raw`, which must have all required keys and no others than the optional ones."""
    known = [*required, *optional]
    if not isinstance(raw, Mapping):
        label = f" {prefix.rstrip('.')} is" if prefix else ""
        raise error(f"{where}:{label} {raw!r}, expected keys and values ({', '.join(known) or 'none'})")
    for key in raw:
        check_key(key, known, where, error, prefix=prefix, renamed=renamed)
    if missing := [prefix + name for name in required if name not in raw]:
        raise error(f"{where}: missing {', '.join(missing)}")
    return dict(raw)


def check_key(
    key: Any,
    known: Sequence[str],
    where: str,
    error: type[Exception] = YamlError,
    *,
    prefix: str = "",
    renamed: Mapping[str, str] = _NONE,
) -> None:
    """Raises `error` unless the key is known."""
    if key in known:
        return
    if new := renamed.get(f"{prefix}{key}"):
        raise error(f"{where}: {prefix}{key} is now called {new}: rename it in this file")
    hint = did_you_mean(str(key), known) or f"; known: {', '.join(known) or 'none'}"
    raise error(f"{where}: {prefix}{key} is unknown{hint}")


class _Parser:
    def __init__(self, where: str, error: type[Exception], renamed: Mapping[str, str]):
        self._where, self._error, self._renamed = where, error, renamed

    def value(self, kind, value, name: str):
        """The value as the annotation `kind` wants it."""
        bound, or_null = None, ""
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            kinds = [each for each in typing.get_args(kind) if each is not type(None)]
            if len(kinds) < len(typing.get_args(kind)):
                if value is None:
                    return None
                or_null = " or null"
            # Beside one other kind there may be a few words, e.g. int | Literal["auto"].
            words = [
                word for each in kinds if typing.get_origin(each) is Literal for word in typing.get_args(each)
            ]
            if len(kinds) > 1:
                if value in words:
                    return value
                or_null = "".join(f" or {word}" for word in words) + or_null
                kinds = [each for each in kinds if typing.get_origin(each) is not Literal]
            kind = kinds[0]
        lacking: tuple[str, ...] = ()
        if typing.get_origin(kind) is Annotated:
            kind, limit = typing.get_args(kind)
            if isinstance(limit, MayLack):
                lacking = limit.keys
            else:
                bound = limit.bound
        if dataclasses.is_dataclass(kind):
            return parse(kind, value, self._where, self._error, prefix=f"{name}.", renamed=self._renamed)
        origin = typing.get_origin(kind)
        if origin is Literal:
            return self._choice(typing.get_args(kind), value, name, or_null)
        if origin is tuple:
            whole = typing.get_args(kind)[0] is int
            return self._numbers(len(typing.get_args(kind)), value, name, whole, or_null)
        if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping):
            return self._mapping(kind, value, name, lacking)
        if kind is float and isinstance(value, str):
            value = _number_or_text(value)
        fits = {
            float: is_number(value),
            int: isinstance(value, int) and not isinstance(value, bool),
            bool: isinstance(value, bool),
            str: isinstance(value, (str, int, float)) and not isinstance(value, bool),
        }[kind]
        if not fits or (bound is not None and value <= bound):
            limit = "" if bound is None else f" above {bound:g}"
            raise self._refused(name, value, _EXPECTED[kind] + limit + or_null)
        return kind(value)

    def _choice(self, choices: Sequence[str], value, name: str, or_null: str):
        if isinstance(value, bool) and "off" in choices:
            # YAML 1.1 takes on and off for truth values.
            value = "on" if value else "off"
        if value in choices:
            return value
        hint = did_you_mean(str(value), choices)
        raise self._refused(name, value, " or ".join(choices) + or_null + hint)

    def _numbers(self, count: int, value, name: str, whole: bool, or_words: str) -> tuple[float, ...]:
        if isinstance(value, (list, tuple)) and len(value) == count and all(map(is_number, value)):
            if not whole:
                return tuple(float(item) for item in value)
            if all(isinstance(item, int) for item in value):
                return tuple(value)
        kind = "whole" if whole else "finite"
        raise self._refused(name, value, f"{count} {kind} numbers in brackets{or_words}")

    def _mapping(self, kind, value, name: str, lacking: tuple[str, ...] = ()) -> Mapping:
        arguments = typing.get_args(kind)
        if len(arguments) == 2 and dataclasses.is_dataclass(arguments[1]):
            if arguments[0] is str:
                if not isinstance(value, Mapping):
                    raise self._refused(name, value, "names, each with keys and values")
                return {
                    str(key): self.value(arguments[1], item, f"{name}.{key}") for key, item in value.items()
                }
            keys = typing.get_args(arguments[0])
            needed = [key for key in keys if key not in lacking]
            raw = check_keys(
                value, needed, lacking, self._where, self._error, prefix=f"{name}.", renamed=self._renamed
            )
            return {key: self.value(arguments[1], raw[key], f"{name}.{key}") for key in keys if key in raw}
        if not isinstance(value, Mapping):
            raise self._refused(name, value, "keys and values")
        return value

    def _refused(self, name: str, value, expected: str) -> Exception:
        return self._error(f"{self._where}: {name} is {value!r}, expected {expected}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number (a truth value is none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


# Dataclasses -> mappings


def to_plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as dictionaries and lists, as YAML and JSON have them."""
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, tuple) else value


def flatten(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one with dotted keys."""
    flat = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
