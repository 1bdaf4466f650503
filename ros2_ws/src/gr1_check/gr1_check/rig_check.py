"""The rig check: runs the steps, prints and saves their results, stops the arm at its end in any case."""

from __future__ import annotations

import os
import platform
import signal
from datetime import datetime
from pathlib import Path

from rich.console import Console

from gr1_bringup import processes
from gr1_bringup.arguments import SettingError
from gr1_bringup.run import short_path
from gr1_check import rig_processes as rigs
from gr1_check.operator_prompt import OperatorPrompt, Quit
from gr1_check.report import COLOURS, FAIL, LEFT_OUT, OK, Report, Result
from gr1_check.steps import Step
from gr1_core import Rig
from gr1_core.plural import plural

TIMEOUT_S = 8.0
FILES = "report.json, report.md, transcript.txt, images, logs"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal ended the check."""


class RigCheck:
    """What the steps share: the rig's description, client, motion, prompt, and `add` for their results."""

    def __init__(self, chosen: dict[str, str], folder: Path, console: Console, prompt: OperatorPrompt):
        self.chosen, self.folder, self.console, self.prompt = chosen, folder, console, prompt
        self.rig = Rig.load(chosen["rig"])
        self.patience = TIMEOUT_S
        cameras, computer = (
            f"{chosen['static']}, {chosen['wrist']}",
            f"{platform.node()}, {plural(os.cpu_count() or 0, 'core')}",
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
        self.rig_nodes = self.client = self.motion = None
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

    def sampled_since(self, seconds: float) -> float:
        """When the samples for the steps without motion begin: the same seconds serve them all."""
        if self._since is None:
            self._since = self.client.collect(seconds)
        return self._since

    def roles(self) -> list[str]:
        """The cameras that answer."""
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
        except (Quit, SettingError) as error:
            self._say(str(error), "yellow")
        except rigs.RigGone as error:
            self.add(
                "stack",
                FAIL,
                str(error),
                f"mend what it names; the nodes' logs are in {short_path(self.folder)}",
            )
        finally:
            # From here on nothing interrupts the stop.
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
        self._say(f"{FILES}: in {short_path(self.folder)}")
        self.console.save_text(str(self.folder / "transcript.txt"))
        return 0 if whole and not self.report.failed else 1

    def _start(self) -> None:
        environment = processes.environment(self.folder)
        # The client must look for the nodes where they will be.
        os.environ.update(environment)
        from gr1_check.rig_client import RigClient
        from gr1_check.test_motion import TestMotion

        robot = "the simulated rig" if self.chosen["robot"] == "sim" else self.chosen["robot"]
        self._say(
            f"checking {robot}, rig '{self.rig.name}'; logs in {short_path(self.folder)}; Ctrl-C stops the "
            "arm and ends the check"
        )
        self.rig_nodes = rigs.RigProcesses(
            self.chosen, self.folder, environment, lambda line: self._say(line, "dim")
        )
        self.client = RigClient(alive=self.rig_nodes.alive)
        self.motion = TestMotion(self.client, self.rig)
        self.rig_nodes.start(self.client)

    def _walk(self, wanted: list[Step]) -> bool:
        from gr1_check import motion_steps, static_steps
        from gr1_check.test_motion import MotionDeviation

        for step in wanted:
            self._step = step.name
            self.console.print(f"\n{step.name}: {step.what}", style="bold", markup=False)
            if self.report.failed and step.moves:
                self.leave_out("something before FAILED: nothing is moved")
                continue
            try:
                getattr(motion_steps if step.moves else static_steps, step.name)(self)
            except MotionDeviation as error:
                self.add("arm", FAIL, str(error), "look at the arm; see docs/how-to/hardware_acceptance.md")
        return True

    def _end(self) -> None:
        if self.client and self.client.is_connected():
            stopped, said, _ = self.client.call_service("stop", timeout=2.0)
            self._say(
                "\nthe arm is stopped" if stopped else f"{said}: USE THE ARM'S OWN STOP",
                None if stopped else "bold red",
            )
        if self.rig_nodes:
            self.rig_nodes.stop()
        if self.client:
            self.client.close()

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)


def _interrupt(number: int, frame) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")
