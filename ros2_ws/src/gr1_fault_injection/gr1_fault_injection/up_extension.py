"""`gr1 up --fault`: faults of the simulated rig at chosen times. ROS-free."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gr1_bringup.extension import Extension, RunContext, RunningExtension
from gr1_fault_injection import fault_injector
from gr1_fault_injection.fault_injector import Fault, FaultInjector

_HELP = (
    "inject a fault into the simulated rig AT seconds after all nodes are up, FOR seconds; may be given "
    "again (docs/how-to/inject_faults.md)"
)


class FaultExtension(Extension):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        form = fault_injector.FORM.partition(",")[0]
        parser.add_argument("--fault", action="append", default=[], metavar=form, help=_HELP)

    def prepare(self, options: argparse.Namespace, chosen: dict[str, str]) -> RunningExtension | None:
        if not options.fault:
            return None
        from gr1_bringup import stack

        possible = fault_injector.possible_faults(stack.nodes(chosen))
        return RunningFaults(fault_injector.parse(options.fault, possible))


class RunningFaults(RunningExtension):
    """Injects the faults while the stack runs."""

    def __init__(self, faults: Sequence[Fault]):
        self._faults, self._injector = faults, None

    def attach(self, context: RunContext, monitor) -> None:
        self._injector = FaultInjector(self._faults, monitor.node, lambda text: context.say(text, "bold red"))

    def poll(self, seconds: float) -> bool:
        self._injector.inject_due(seconds)
        return False

    def next_poll_in(self, seconds: float) -> float:
        return self._injector.due_in(seconds)

    def title(self) -> str:
        return self._injector.title()


EXTENSION = FaultExtension()
