"""The strict parser: what is read, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from gr1_core import strict_yaml
from gr1_core.strict_yaml import Positive, YamlError


@dataclass(frozen=True)
class Part:
    size: Positive
    mode: Literal["fast", "on", "off"] = "fast"


@dataclass(frozen=True)
class Whole:
    name: str
    count: int | Literal["auto"] | None
    range: tuple[float, float]
    part: Part
    parts: Mapping[Literal["left", "right"], Part]
    free: Mapping


TEXT = """
name: a
count: null
range: [0, 1.5]
part: {size: 1e-3}
parts: {left: {size: 1, mode: on}, right: {size: 2}}
free: {anything: [1]}
"""


def parsed(text: str, **options):
    return strict_yaml.parse(Whole, strict_yaml.load(text, "file.yaml"), "file.yaml", **options)


def test_reads_nested_dataclasses_and_yaml_1_1_oddities():
    whole = parsed(TEXT)
    assert whole == Whole(
        "a", None, (0.0, 1.5), Part(1e-3), {"left": Part(1.0, "on"), "right": Part(2.0)}, {"anything": [1]}
    )
    assert strict_yaml.parse(Whole, strict_yaml.to_plain(whole), "again") == whole
    assert parsed(TEXT.replace("count: null", "count: auto")).count == "auto"


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("count: null", "cuont: 1", "file.yaml: cuont is unknown, did you mean 'count'"),
        ("count: null", "", "file.yaml: missing count"),
        ("count: null", "count: true", "count is True, expected a whole number or auto or null"),
        ("size: 1e-3", "size: 0", "part.size is 0, expected a finite number above 0"),
        ("size: 1e-3", "size: .inf", "part.size is inf, expected a finite number"),
        ("size: 1e-3", "size: 1, soze: 2", "part.soze is unknown, did you mean 'size'"),
        (
            "mode: on",
            "mode: fats",
            "parts.left.mode is 'fats', expected fast or on or off, did you mean 'fast'",
        ),
        ("right: {size: 2}", "up: {size: 2}", "parts.up is unknown; known: left, right"),
        ("[0, 1.5]", "[0]", r"range is \[0\], expected 2 finite numbers"),
        ("{size: 1e-3}", "3", "part is 3, expected keys and values"),
        ("{anything: [1]}", "[1]", r"free is \[1\], expected keys and values"),
        ("count: null", "count: 1\ncount: 2", "key 'count' is there twice"),
        ("name: a", "name: [", r"file.yaml: not YAML \(line"),
        ("count: null", "number: 3", "number is now called count: rename it in this file"),
        ("size: 1e-3", "width: 1", "part.width is now called part.size"),
    ],
)
def test_a_wrong_file_is_refused_with_its_remedy(old, new, said):
    with pytest.raises(YamlError, match=said):
        parsed(TEXT.replace(old, new), renamed={"number": "count", "part.width": "part.size"})


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(YamlError, match="a.yaml is not text"):
        strict_yaml.read(tmp_path / "a.yaml")
    with pytest.raises(YamlError, match="none.yaml cannot be read"):
        strict_yaml.read(tmp_path / "none.yaml")
