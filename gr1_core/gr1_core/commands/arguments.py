"""What the commands' parsers share: errors of one line with the nearest right word, types of arguments, and
the check of all arguments before the heavy libraries are imported.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from gr1_core import pretrained
from gr1_core.hub import reference as hub
from gr1_core.suggestions import did_you_mean, neighbours

LONGEST_LINE = 100
INSTALL_ROS = (
    "run `make setup` in the repository, or build ros2_ws with colcon and source its install/setup.bash"
)


class Mistake(ValueError):
    """A mistake in what was typed: a word, an option, a value, a file that is not there. Exit code 2."""


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """Turns a ValueError of the checks inside into a Mistake. A command checks all its arguments in here,
    before it imports torch, mujoco or rclpy.
    """
    try:
        yield
    except Mistake:
        raise
    except ValueError as error:
        raise Mistake(str(error)) from error


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, with the nearest right word, and ends with exit code 2."""

    def __init__(self, *words, **options):
        options.setdefault("formatter_class", _Help)
        super().__init__(*words, **options)

    def error(self, message: str):
        more = "" if "did you mean" in message else f"; `{self.prog} --help` lists the options"
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}{more}\n")

    def parse_known_args(self, args=None, namespace=None):
        # argparse names what is missing before what is mistyped.
        for word in args or []:
            if word == "--":
                break
            if word.startswith("--") and not self._is_option(word.partition("=")[0]):
                option = word.partition("=")[0]
                self.error(f"no option '{option}'{did_you_mean(option, self._shown_options())}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action, value) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = list(map(str, action.choices))
        hint = did_you_mean(str(value), choices)
        raise argparse.ArgumentError(action, f"'{value}' is not one of {', '.join(choices)}{hint}")

    def _is_option(self, option: str) -> bool:
        """Whether this is an option or an unambiguous beginning of one, which argparse accepts."""
        known = self._option_string_actions
        return option in known or sum(name.startswith(option) for name in known) > 0

    def _shown_options(self) -> list[str]:
        return [
            name
            for name, action in self._option_string_actions.items()
            if name.startswith("--") and action.help != argparse.SUPPRESS
        ]


class _Help(argparse.RawDescriptionHelpFormatter):
    """At most as wide as the terminal and as LONGEST_LINE; the description is wrapped, too."""

    def __init__(self, prog: str, **options):
        width = min(shutil.get_terminal_size((80, 24)).columns, LONGEST_LINE) - 2
        super().__init__(prog, max_help_position=28, width=width, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


# Types of arguments. Without torch.


def count(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def checkpoint(text: str) -> Path:
    """The folder of a checkpoint's name or path, which must hold a configuration and weights."""
    try:
        return pretrained.require(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def dataset(text: str) -> Path:
    """A folder with a dataset."""
    try:
        return require_dataset(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def require_dataset(folder: str) -> Path:
    """The folder of a dataset, also of an hf:// reference, which is fetched.

    Raises Mistake: why it is none, and what makes one; or HubError.
    """
    path = hub.folder(folder, hub.DATASET)
    if (path / "meta" / "info.json").is_file():
        return path
    made = f"; make one with `gr1 convert bags BAGS --out {path}`"
    if path.is_dir():
        raise Mistake(f"'{path}' is no dataset: meta/info.json is missing{made}")
    raise Mistake(f"no dataset '{path}'{did_you_mean(folder, neighbours(path)) or made}")


def bags(text: str) -> Path:
    """A bag, or a folder with bags."""
    path = Path(text)
    if not path.exists():
        hint = did_you_mean(text, neighbours(path)) or "; record bags with `gr1 up --record`"
        raise argparse.ArgumentTypeError(f"no folder '{path}'{hint}")
    return path


def rig(text: str) -> str:
    """The name of a built-in rig, or a YAML file that is a rig."""
    from gr1_core.rig import Rig, RigError

    try:
        Rig.load(text)
    except RigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def tasks(text: str) -> str:
    """Names of the twin's tasks separated by commas, or all; returned as they are."""
    from gr1_core.sim.tasks import parse_task_names

    try:
        parse_task_names(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--tasks ")) from error
    return text


def suites(text: str) -> str:
    """Names of the twin's suites separated by commas, or all; returned as they are."""
    from gr1_core.sim.suites import SuiteError, parse_suites

    try:
        parse_suites(text)
    except SuiteError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def outcomes(text: str) -> list[str]:
    """Outcomes of episodes, separated by commas."""
    from gr1_core.data.metadata import OUTCOMES

    for name in text.split(","):
        if name not in OUTCOMES:
            hint = did_you_mean(name, OUTCOMES)
            raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(OUTCOMES)}{hint}")
    return text.split(",")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def refuse_renamed_options(parser: argparse.ArgumentParser, names: Mapping[str, str]) -> None:
    """Refuses old options (old name -> new one) with their new names. They are not shown in the help."""
    for old, new in names.items():
        _renamed(parser, old, new)


def _renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Refuses the option `old` (of any value, or none) with its new name. It is not shown in the help."""
    parser.add_argument(old, nargs="?", action=_Renamed, new=new, help=argparse.SUPPRESS)


class _Renamed(argparse.Action):
    def __init__(self, new: str, **options):
        super().__init__(default=argparse.SUPPRESS, **options)
        self.new = new

    def __call__(self, parser, namespace, values, option_string=None):
        parser.error(f"{option_string} is now {self.new}")
