"""`gr1 check rig`: hardware acceptance, step by step, with a person beside the arm."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "hardware acceptance: the first minutes with an arm, step by step"


def parser() -> argparse.ArgumentParser:
    from gr1_bringup.arguments import BY_NAME
    from gr1_check.steps import STEPS

    made = Parser(
        prog="gr1 check rig",
        description="Measure cameras and arm step by step, with a person beside the arm "
        "(docs/how-to/hardware_acceptance.md). Steps without motion come first; if one FAILs, nothing is "
        "moved. Whatever happens, the arm is stopped before its node ends. Exit code 0: no step FAILed, 1: "
        "one did or the check was cut short, 2: wrong options.",
    )
    for name in ("robot", "rig", "static", "wrist", "hardware"):
        one = BY_NAME[name]
        choices = f" ({', '.join(filter(None, one.choices))})" if one.choices else ""
        made.add_argument(
            f"--{name}", default=one.default, metavar=name.upper(), help=f"{one.description}{choices}"
        )
    made.add_argument(
        "--out",
        default="",
        help="folder for report, transcript, images and logs (default: out/check-<time>)",
    )
    made.add_argument("--yes", action="store_true", help="answer every question with Enter; robot sim only")
    names = ", ".join(step.name for step in STEPS)
    made.add_argument(
        "--only", default="", help=f"these steps, as a,b: {names}; motion brings the steps that it needs"
    )
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from rich.console import Console

    from gr1_bringup.arguments import SettingError
    from gr1_check import rig_processes
    from gr1_check.operator_prompt import OperatorPrompt
    from gr1_check.rig_check import RigCheck
    from gr1_check.steps import choose_steps

    console = Console(highlight=False, record=True, width=None if sys.stdout.isatty() else 150)
    try:
        if options.yes and options.robot != "sim":
            raise SettingError(
                f"--yes: robot '{options.robot}' moves only when a person beside it agrees; leave --yes out"
            )
        names = ("robot", "rig", "static", "wrist", "hardware")
        chosen = rig_processes.settings(**{name: getattr(options, name) for name in names})
        rig_processes.nodes(chosen)
        wanted = choose_steps(options.only)
        folder = Path(options.out or f"out/check-{datetime.now():%Y%m%d-%H%M%S}").absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (SettingError, OSError) as error:
        console.print(f"gr1 check rig: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    return RigCheck(chosen, folder, console, OperatorPrompt(console, options.yes)).run(wanted)
