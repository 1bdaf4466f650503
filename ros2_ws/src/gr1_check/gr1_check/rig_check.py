"""`gr1 check rig`: walks a person through the first minutes with an arm and writes down what was measured.

Steps that only look come first; if any of them FAILs, nothing is moved. Whatever happens, Ctrl-C included, the arm is stopped before
its node is ended. Exit code 0: no step FAILed, 1: one did, or the check was cut short, 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from gr1_bringup import processes, stack
from gr1_check import rig_processes as rigs
from gr1_check.operator_prompt import Person, Quit
from gr1_check.report import COLOURS, FAIL, LEFT_OUT, OK, Report, Result
from gr1_core import Rig

PATIENCE = 8.0
FILES = "report.json, report.md, transcript.txt, pictures, logs"


class Step(NamedTuple):
    """module.name(check) carries it out; needed: it is not left out by --only when the arm is to move."""

    name: str
    module: str
    what: str
    needed: bool = False


STEPS = (
    Step("devices", "still", "who is there", needed=True),
    Step("rates", "still", "how often cameras and arm speak, measured over 5 s"),
    Step(
        "stamps",
        "still",
        "how old their messages are, whether the stamps go forward, how far the cameras are apart",
    ),
    Step("pictures", "still", "what the cameras see, saved for the person to look at"),
    Step("pose", "still", "where the arm says it is, against its joints and the workspace", needed=True),
    Step("wrench", "still", "the force at rest"),
    Step("arming", "moving", "a person releases the arm", needed=True),
    Step("stop", "moving", "the emergency stop in a slow motion, refusal, release", needed=True),
    Step("moves", "moving", "1 cm along each axis, each way"),
    Step("turns", "moving", "a few degrees about each axis, each way"),
    Step("expiry", "moving", "commands stop coming"),
    Step("gripper", "moving", "the hand closes and opens"),
    Step("home", "moving", "the arm goes home"),
)
_BY_NAME = {step.name: step for step in STEPS}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAKEN = ("robot", "rig", "static", "wrist", "hardware")


class Interrupted(BaseException):
    """A signal ended the check."""


def main(argv: list[str] | None = None) -> int:
    """Exit codes: see the module's text."""
    options = _parse(sys.argv[1:] if argv is None else argv)
    console = Console(highlight=False, record=True, width=None if sys.stdout.isatty() else 150)
    try:
        if options.yes and options.robot != "sim":
            raise stack.SettingError(
                f"--yes: robot '{options.robot}' moves only when a person beside it says so; leave --yes out"
            )
        chosen = rigs.settings(**{name: getattr(options, name) for name in _TAKEN})
        rigs.nodes(chosen)
        wanted = _wanted(options.only)
        folder = Path(options.out or f"out/check-{datetime.now():%Y%m%d-%H%M%S}").absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (stack.SettingError, OSError) as error:
        console.print(f"gr1 check rig: {error}", style="red", markup=False, soft_wrap=True)
        return 2
    return Check(chosen, folder, console, Person(console, options.yes)).run(wanted)


class Check:
    """What the steps share: the rig's description, ear, mover, person, and `add` for what they find."""

    def __init__(self, chosen: dict[str, str], folder: Path, console: Console, person: Person):
        self.chosen, self.folder, self.console, self.person = chosen, folder, console, person
        self.rig = Rig.load(chosen["rig"])
        self.patience = PATIENCE
        cameras, computer = (
            f"{chosen['static']}, {chosen['wrist']}",
            f"{platform.node()}, {os.cpu_count()} cores",
        )
        when = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        self.report = Report(
            {
                "robot": chosen["robot"],
                "rig": self.rig.name,
                "cameras": cameras,
                "computer": computer,
                "when": when,
            }
        )
        self.rig_nodes = self.ear = self.mover = None
        self.absent: set[str] = set()
        self._step, self._since = "", None

    # For the steps

    def add(self, subject: str, level: str, text: str, remedy: str = "", **figures) -> None:
        result = Result(self._step, subject, level, text, remedy, figures)
        self.report.add(result)
        self.console.print(f"  {level:8}", style=COLOURS[level], end="", markup=False)
        self.console.print(f" {subject:14} {text}", markup=False, soft_wrap=True)
        if remedy and level not in (OK, LEFT_OUT):
            self.console.print(f"           {'':14} -> {remedy}", markup=False, soft_wrap=True)

    def leave_out(self, why: str) -> None:
        self.add("", LEFT_OUT, why)

    def listened(self, seconds: float) -> float:
        """Since when samples have been kept for the still steps: the same seconds serve them all."""
        if self._since is None:
            self._since = self.ear.listen(seconds)
        return self._since

    def roles(self) -> list[str]:
        """The cameras that are there."""
        return [role for role in self.rig.cameras if f"camera_{role}" not in self.absent]

    def simulated(self, role: str) -> bool:
        return self.chosen[role] == "sim"

    # The whole

    def run(self, wanted: list[Step]) -> int:
        whole, before = False, {number: signal.signal(number, _interrupt) for number in _SIGNALS}
        try:
            self._start()
            whole = self._walk(wanted)
        except Interrupted as interruption:
            self._say(str(interruption), "yellow")
        except (Quit, stack.SettingError) as error:
            self._say(str(error), "yellow")
        except rigs.Gone as error:
            self.add(
                "stack", FAIL, str(error), f"mend what it names; the nodes' logs are in {_short(self.folder)}"
            )
        finally:
            # From here on nothing interrupts the way to rest.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        self.console.print(self.report.table())
        if not whole:
            self._say("the check was not completed", "yellow")
        self.report.facts["completed"] = "yes" if whole else "no"
        self.report.save(self.folder)
        self._say(f"{FILES}: in {_short(self.folder)}")
        self.console.save_text(str(self.folder / "transcript.txt"))
        return 0 if whole and not self.report.failed else 1

    def _start(self) -> None:
        environment = processes.environment(self.folder)
        # The ear must be where the nodes will be: on this machine only, unless the user has said otherwise.
        os.environ.update(environment)
        from gr1_check.rig_client import Ear
        from gr1_check.test_motion import Mover

        robot = "the simulated rig" if self.chosen["robot"] == "sim" else self.chosen["robot"]
        self._say(
            f"checking {robot}, rig '{self.rig.name}'; logs in {_short(self.folder)}; Ctrl-C stops the arm and ends the check"
        )
        self.rig_nodes = rigs.Rig(self.chosen, self.folder, environment, lambda line: self._say(line, "dim"))
        self.ear = Ear(alive=self.rig_nodes.alive)
        self.mover = Mover(self.ear, self.rig)
        self.rig_nodes.start(self.ear)

    def _walk(self, wanted: list[Step]) -> bool:
        from gr1_check import motion_steps, static_steps
        from gr1_check.test_motion import Astray

        for step in wanted:
            self._step = step.name
            self.console.print(f"\n{step.name}: {step.what}", style="bold", markup=False)
            if self.report.failed and step.module == "moving":
                self.leave_out("something before FAILED: nothing is moved")
                continue
            try:
                getattr(motion_steps if step.module == "moving" else static_steps, step.name)(self)
            except Astray as error:
                self.add("arm", FAIL, str(error), "look at the arm; see docs/how-to/hardware_acceptance.md")
        return True

    def _end(self) -> None:
        if self.ear and self.ear.listened_to():
            stopped, said, _ = self.ear.call("stop", timeout=2.0)
            self._say(
                "\nthe arm is stopped" if stopped else f"{said}: USE THE ARM'S OWN STOP",
                None if stopped else "bold red",
            )
        if self.rig_nodes:
            self.rig_nodes.stop()
        if self.ear:
            self.ear.close()

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)


def _interrupt(number: int, frame) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def _wanted(only: str) -> list[Step]:
    """The chosen steps in their order, with those that motion needs."""
    names = [name for name in only.split(",") if name]
    unknown = [name for name in names if name not in _BY_NAME]
    if unknown:
        raise stack.SettingError(f"--only: no step '{unknown[0]}'; there are {', '.join(_BY_NAME)}")
    chosen = [_BY_NAME[name] for name in names] or list(STEPS)
    moving = any(step.module == "moving" for step in chosen)
    return [step for step in STEPS if step in chosen or step.name == "devices" or (step.needed and moving)]


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gr1 check rig",
        description="Walks through the first minutes with an arm: docs/how-to/hardware_acceptance.md.",
    )
    given = {argument.name: argument for argument in stack.ARGUMENTS}
    for name in _TAKEN:
        one: Callable = given[name]
        parser.add_argument(
            f"--{name}", default=one.default, choices=one.choices or None, help=one.description
        )
    parser.add_argument(
        "--out",
        default="",
        help="folder for report, transcript, pictures and logs (default: out/check-<time>)",
    )
    parser.add_argument("--yes", action="store_true", help="answer every question with Enter; robot sim only")
    parser.add_argument(
        "--only",
        default="",
        help=f"these steps, as a,b: {', '.join(_BY_NAME)}; motion brings the steps that it needs",
    )
    return parser.parse_args(argv)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
