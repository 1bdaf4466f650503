"""The `gr1` command: finds the command that the words name, in gr1_core or in another installed package, and runs it.

What a command module looks like, and how a package adds one: `gr1_core.commands`. Each command imports what it needs when it
runs, so that `gr1 --help` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import sys
from importlib import metadata

GROUP = "gr1.commands"
OWN = ()
"""The commands of gr1_core. `evaluate sim` is the module gr1_core.commands.evaluate_sim."""
OF_ROS_PACKAGES = (
    "bench record",
    "calibrate",
    "check rig",
    "evaluate rig",
    "faults",
    "health",
    "measure",
    "node arm",
    "node camera",
    "node expert",
    "node policy",
    "node recorder",
    "node teleop",
    "record",
    "teleop",
    "up",
    "video",
)
"""Commands that come with the ROS 2 packages: named here only to say what to install where they are missing."""
INSTALL_ROS = "run `make setup` in the repository, or build ros2_ws with colcon and source its install/setup.bash"
DESCRIPTION = "GR-1 on a real robot, from demonstration to deployed policy."


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Exit codes: the command's own; 1: an error, named on stderr; 2: wrong words; 130: Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        modules = command_modules()
        name = _command(words, modules)
        if name is None:
            if words[:1] and words[0] in ("bags", "collect", "convert", "bench", "evaluate", "import-official", "pretrain", "finetune", "replay"):
                return _former(words)
            return _no_command(words, modules)
        return _run(name, modules[name], words[len(name.split()) :])
    except (ValueError, OSError) as error:
        print(f"gr1: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def command_modules() -> dict[str, str]:
    """Command, e.g. "evaluate sim" -> name of its module, for all installed packages. Raises ValueError where two claim one."""
    modules = {name: f"gr1_core.commands.{name.replace(' ', '_').replace('-', '_')}" for name in OWN}
    for point in metadata.entry_points(group=GROUP):
        name = point.name.replace(".", " ")
        other = modules.setdefault(name, point.value)
        if other != point.value:
            raise ValueError(f"`gr1 {name}` is in {other} and in {point.value}: uninstall one of the two packages")
    return dict(sorted(modules.items()))


def _command(words: list[str], modules: dict[str, str]) -> str | None:
    """The longest command that the words begin with."""
    for length in range(len(words), 0, -1):
        if (name := " ".join(words[:length])) in modules:
            return name
    return None


def _run(name: str, module: str, argv: list[str]) -> int:
    try:
        return importlib.import_module(module).main(argv)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if not missing or importlib.util.find_spec(missing):
            raise
        remedy = INSTALL_ROS if name in OF_ROS_PACKAGES else "run `make setup` in the repository"
        print(f"gr1: `gr1 {name}` needs the Python package {missing}, which is not installed here: {remedy}", file=sys.stderr)
        return 1


def _no_command(words: list[str], modules: dict[str, str]) -> int:
    """Help where it is asked for, else what is wrong with the words."""
    group = [word for word in words if not word.startswith("-")]
    prefix = " ".join(group)
    members = [name for name in modules if not group or name.startswith(f"{prefix} ")]
    asked = bool({"-h", "--help"} & set(words))
    if members and (asked or len(group) == len(words)):
        print(_help(prefix, members, modules), end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    for name in OF_ROS_PACKAGES:
        if f"{prefix} ".startswith(f"{name} ") or f"{name} ".startswith(f"{prefix} "):
            print(f"gr1: `gr1 {name}` comes with the ROS 2 packages, which are not installed here: {INSTALL_ROS}", file=sys.stderr)
            return 1
    print(f"gr1: there is no command `{prefix or words[0]}`{_nearest(group, modules)}; `gr1 --help` lists all", file=sys.stderr)
    return 2


def _nearest(group: list[str], modules: dict[str, str]) -> str:
    for length in range(len(group), 0, -1):
        if near := difflib.get_close_matches(" ".join(group[:length]), modules, 1, 0.6):
            return f", did you mean `gr1 {near[0]}`?"
    members = [name for name in modules if group and name.startswith(f"{group[0]} ")]
    return f"; there are {', '.join(members)}" if members else ""


def _help(prefix: str, names: list[str], modules: dict[str, str]) -> str:
    parser = argparse.ArgumentParser(
        prog=f"gr1 {prefix}".strip(),
        usage="gr1 COMMAND ..., gr1 COMMAND --help",
        description=DESCRIPTION,
        add_help=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28),
    )
    listed = parser.add_subparsers(title="commands", metavar="")
    for name in names:
        listed.add_parser(name, help=_help_line(modules[name]).replace("%", "%%"), add_help=False)
    return parser.format_help()


def _help_line(module: str) -> str:
    try:
        return importlib.import_module(module).HELP
    except ImportError as error:
        return f"cannot be loaded: {error}"


def _former(words: list[str]) -> int:
    """Until all of gr1_core's commands are modules of their own."""
    from gr1_core import commands

    parser = argparse.ArgumentParser(prog="gr1")
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    bench = added.add_parser("bench", help="measure speed").add_subparsers(required=True, metavar="WHAT")
    for module in commands.ALL:
        module.add(added, bench)
    arguments = parser.parse_args(words)
    return arguments.run(arguments)
