"""docs/reference: the tables hold every field, code and key of the program, with its value, and no other."""

import ast
import dataclasses
import re
import typing
from pathlib import Path

import pytest
import yaml

from gr1_core import strict_yaml
from gr1_core.model.config import GR1Config
from gr1_core.rig import Rig
from gr1_core.train import recipe as recipes
from gr1_core.train.recipe import RESUMABLE, Recipe
from gr1_robot.arm import gate

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"
RECIPES = Path(recipes.__file__).parent / "recipes"
CODE = re.compile(r"`([^`]+)`")


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of all table rows below a heading, up to the next heading of its level."""
    text = (REFERENCE / page).read_text(encoding="utf8")
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.M | re.S)[1]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line][1:]


def fields(kind) -> list[str]:
    """Dotted names of a dataclass's fields, dataclasses within it included."""
    names = []
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        nested = hints[field.name] if dataclasses.is_dataclass(hints[field.name]) else None
        names += [f"{field.name}.{name}" for name in fields(nested)] if nested else [field.name]
    return names


def as_text(value) -> str:
    return yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("\n...")


def test_every_field_of_a_rig_is_there_with_the_value_of_the_built_in_rig():
    table = {CODE.match(cells[0])[1]: cells[2] for cells in rows("rig_yaml.md", "Fields")}
    rig = strict_yaml.flatten(Rig.load("kinova_gen2").to_dict())
    assert table == {key: as_text(value) for key, value in rig.items()}


def test_every_reason_code_of_the_gate_is_there_in_its_section():
    sections = {
        "The command is carried out": {"none", *gate.REDUCTIONS},
        "The arm holds its pose": set(gate.HOLDS),
        "A command is refused": set(gate.REFUSALS),
        "The arm is stopped (latched)": set(gate.LATCHES),
    }
    for heading, codes in sections.items():
        found = [code for cells in rows("reason_codes.md", heading) for code in CODE.findall(cells[0])]
        assert sorted(found) == sorted(codes), heading


def test_every_recipe_is_there():
    named = [name for cells in rows("recipes.md", "Built-in recipes") for name in CODE.findall(cells[0])]
    assert sorted(named) == recipes.built_in()


def test_every_key_of_a_recipe_is_there_with_its_default_and_whether_it_may_change():
    base = yaml.safe_load((RECIPES / "_base.yaml").read_text())
    defaults = strict_yaml.flatten(base)
    table = {CODE.match(cells[0])[1]: cells for cells in rows("recipes.md", "Keys")}
    assert list(table) == fields(Recipe)
    for key, (_, default, change, _) in table.items():
        assert (change == "yes") == (key.split(".")[0] in RESUMABLE), key
        if key == "model":
            assert default == f"size: {base['model']['size']}"
        elif key != "name":
            assert default == (as_text(defaults[key]) if key in defaults else "-"), key


@pytest.mark.parametrize("column, size", list(enumerate(("paper", "demo", "small"), start=1)))
def test_every_field_of_the_model_is_there_with_the_values_of_the_named_sizes(column, size):
    table = {CODE.match(cells[0])[1]: cells[column] for cells in rows("recipes.md", "Model")}
    sizes = getattr(GR1Config, size)().to_dict()
    assert table == {f"model.{key}": as_text(value) for key, value in sizes.items()}


def declared_parameters() -> set[str]:
    """The names in the `declare` calls of all nodes, and of the policy's table of options."""
    names = set()
    for file in (
        *(ROOT / "ros2_ws/src").glob("gr1_*/gr1_*/**/*.py"),
        *(ROOT / "teleop_vr").glob("gr1_*/*.py"),
    ):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
            function = getattr(node, "func", None)
            if getattr(function, "id", "") == "declare" and isinstance(node.args[1], ast.Constant):
                names.add(node.args[1].value)
            elif getattr(function, "id", "") == "Option" and file.stem == "policy_parameters":
                names.add(node.args[0].value)
    return names


def test_every_parameter_of_a_node_is_there():
    named = [name for cells in rows("interfaces.md", "Parameters") for name in CODE.findall(cells[1])]
    assert sorted(declared_parameters() - set(named)) == []
