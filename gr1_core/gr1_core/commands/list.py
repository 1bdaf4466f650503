"""`gr1 list`."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from pathlib import Path

from gr1_core.commands.arguments import LONGEST_LINE, Parser

HELP = "what there is to choose from: tasks, suites, recipes, rigs, checkpoints"
KINDS = ("tasks", "suites", "recipes", "rigs", "checkpoints")


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 list", description=HELP)
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    rows = {
        "tasks": _tasks,
        "suites": _suites,
        "recipes": _recipes,
        "rigs": _rigs,
        "checkpoints": _checkpoints,
    }[arguments.kind]()
    columns = min(shutil.get_terminal_size((80, 24)).columns, LONGEST_LINE)
    indent = max(map(len, rows)) + 2
    for name, text in rows.items():
        # In a file a row stays one line, so that it can be searched.
        lines = textwrap.wrap(text, max(columns - indent, 30)) if sys.stdout.isatty() else [text]
        print(f"{name.ljust(indent)}{lines[0] if lines else ''}".rstrip())
        for line in lines[1:]:
            print(" " * indent + line)
    return 0


def _tasks() -> dict[str, str]:
    from gr1_core.sim.tasks import TASKS

    return {name: task.instructions[0] for name, task in TASKS.items()}


def _suites() -> dict[str, str]:
    from gr1_core.sim.suites import SUITES

    return SUITES


def _recipes() -> dict[str, str]:
    from gr1_core.train import recipe

    files = (recipe.path(name) for name in recipe.built_in())
    return {file.stem: file.read_text().partition("\n")[0].lstrip("# ") for file in files}


def _rigs() -> dict[str, str]:
    from gr1_core.rig import Rig, built_in

    rows = {}
    for name in built_in():
        rig = Rig.load(name)
        cameras = ", ".join(f"{role} {one.width}x{one.height}" for role, one in rig.cameras.items())
        rows[name] = f"{rig.control_hz:g} Hz, cameras {cameras}"
    return rows


def _checkpoints() -> dict[str, str]:
    """The shipped ones, and those at most three folders below the current one."""
    from gr1_core import pretrained

    rows = {name: "comes with the package" for name in pretrained.names()}
    for depth in range(1, 4):
        for file in sorted(Path().glob("*/" * depth + "model.safetensors")):
            if (file.parent / "config.json").is_file():
                rows[str(file.parent)] = f"{file.stat().st_size / 1e6:.0f} MB"
    return rows
