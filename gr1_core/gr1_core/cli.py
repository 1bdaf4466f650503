"""The `gr1` command: finds the command that the words name, in gr1_core or in another installed package, and
runs it.

What a command module looks like, and how a package adds one: `gr1_core.commands`. Each command imports what
it needs when it runs, so that `gr1 --help` answers at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
import textwrap
from importlib import metadata
from itertools import takewhile

from gr1_core.commands.arguments import INSTALL_ROS, Mistake
from gr1_core.suggestions import nearest

GROUP = "gr1.commands"
OWN = (
    "bags exclude",
    "bags keep",
    "bags list",
    "bags marks",
    "bags outliers",
    "bags recover",
    "bags relabel",
    "bags show",
    "bags trim",
    "bags verify",
    "bags video",
    "bench data",
    "bench policy",
    "bench sim",
    "bench train",
    "collect calvin",
    "collect hands",
    "collect sim",
    "convert bags",
    "convert calvin",
    "convert ego4d",
    "convert lerobot",
    "convert merge",
    "evaluate calvin",
    "evaluate data",
    "evaluate sim",
    "finetune",
    "gallery hands",
    "gallery twin",
    "import-official",
    "improve",
    "list",
    "pretrain",
    "pull",
    "push",
    "replay",
    "rig check",
    "rig new",
    "serve",
    "view",
)
"""The commands of gr1_core. `evaluate sim` is the module gr1_core.commands.evaluate_sim."""
OF_ROS_PACKAGES = (
    "bench motion",
    "bench record",
    "calibrate",
    "check rig",
    "confirm",
    "evaluate rig",
    "faults",
    "health",
    "measure",
    "node arm",
    "node camera",
    "node expert",
    "node policy",
    "node recorder",
    "node task_sequence",
    "node teleop",
    "record",
    "stop",
    "teleop",
    "up",
    "video",
)
"""Commands that come with the ROS 2 packages: named here only to say what to install where they are missing.
"""
DESCRIPTION = "GR-1 on a real robot, from demonstration to deployed policy."


def main(argv: list[str] | None = None) -> int:
    """Runs one command.

    Exit codes: the command's own; 1: an error, named on stderr; 2: a mistake in the words, such as an unknown
    command, option or task, or a file that is not there; 130: Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        print(f"gr1 {metadata.version('gr1_core')}")
        return 0
    try:
        modules = command_modules()
        name = _command(words, modules)
        if name is None:
            return _no_command(words, modules)
        return _run(name, modules[name], words[len(name.split()) :])
    except SystemExit as ended:  # of argparse: 0 after --help, 2 after a mistake
        return int(ended.code or 0)
    except (ValueError, OSError) as error:
        print(f"gr1: {error}", file=sys.stderr)
        return 2 if isinstance(error, Mistake) else 1
    except KeyboardInterrupt:
        return 130


def command_modules() -> dict[str, str]:
    """Command, e.g.

    "evaluate sim" -> name of its module, for all installed packages. Raises ValueError where two claim one.
    """
    modules = {name: f"gr1_core.commands.{name.replace(' ', '_').replace('-', '_')}" for name in OWN}
    for point in metadata.entry_points(group=GROUP):
        name = point.name.replace(".", " ")
        other = modules.setdefault(name, point.value)
        if other != point.value:
            raise ValueError(
                f"`gr1 {name}` is in {other} and in {point.value}: uninstall one of the two packages"
            )
    return dict(sorted(modules.items()))


def _command(words: list[str], modules: dict[str, str]) -> str | None:
    """The longest command that the words begin with."""
    for length in range(len(words), 0, -1):
        if (name := " ".join(words[:length])) in modules:
            return name
    return None


def _run(name: str, module: str, argv: list[str]) -> int:
    try:
        command = importlib.import_module(module)
        package = importlib.import_module(module.rpartition(".")[0] or module)
        if not {"-h", "--help"} & set(argv) and getattr(command, "NEEDS_ROS", True):
            if problem := getattr(package, "problem", str)():
                print(f"gr1: {problem}", file=sys.stderr)
                return 1
        return command.main(argv)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if not missing or importlib.util.find_spec(missing):
            raise
        remedy = INSTALL_ROS if name in OF_ROS_PACKAGES else "run `make setup` in the repository"
        problem = f"needs the Python package {missing}, which is not installed here"
        print(f"gr1: `gr1 {name}` {problem}: {remedy}", file=sys.stderr)
        return 1


def _no_command(words: list[str], modules: dict[str, str]) -> int:
    """Help where it is asked for, else what is wrong with the words."""
    group = list(takewhile(lambda word: not word.startswith("-"), words))
    prefix = " ".join(group)
    members = [name for name in modules if not group or name.startswith(f"{prefix} ")]
    asked = bool({"-h", "--help"} & set(words))
    if members and (asked or len(group) == len(words)):
        print(_help(members, modules), end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    for name in OF_ROS_PACKAGES:
        if f"{prefix} ".startswith(f"{name} ") or f"{name} ".startswith(f"{prefix} "):
            problem = "comes with the ROS 2 packages, which are not installed here"
            print(f"gr1: `gr1 {name}` {problem}: {INSTALL_ROS}", file=sys.stderr)
            return 1
    hint = _nearest(group, modules)
    print(f"gr1: there is no command `{prefix or words[0]}`{hint} `gr1 --help` lists all", file=sys.stderr)
    return 2


def _nearest(group: list[str], modules: dict[str, str]) -> str:
    """The nearest command, or the commands that begin with the first of the words."""
    members = [name for name in modules if group and name.startswith(f"{group[0]} ")]
    for length in range(min(2, len(group)), 0, -1):
        words = " ".join(group[:length])
        names = (
            {name.split(" ", 1)[1]: name for name in members} if members else {name: name for name in modules}
        )
        if near := nearest(group[1] if members else words, names):
            return f", did you mean `gr1 {names[near]}`?"
    return f"; there are {', '.join(members)};" if members else ";"


def _help(names: list[str], modules: dict[str, str]) -> str:
    """The commands with one line each; a line longer than the terminal is wrapped."""
    indent = max(map(len, names)) + 4
    width = max(shutil.get_terminal_size((80, 24)).columns, indent + 40)
    lines = ["usage: gr1 COMMAND ...   (gr1 COMMAND --help: its options)", "", DESCRIPTION, "", "commands:"]
    for name in names:
        text = textwrap.wrap(_help_line(modules[name]), width - indent)
        lines += [f"  {name}".ljust(indent) + text[0], *(" " * indent + more for more in text[1:])]
    return "\n".join(lines) + "\n"


def _help_line(module: str) -> str:
    try:
        return importlib.import_module(module).HELP
    except ImportError as error:
        return f"cannot be loaded: {error}"
