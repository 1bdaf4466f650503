"""The `gr1` command. Each command imports what it needs when it runs, so that `gr1 --help` answers at once."""

from __future__ import annotations

import argparse
import importlib
import sys

from gr1_core import commands

_UP = "start the stack: cameras, arm, policy (see `gr1 up --help`)"
_RIG = "the first minutes with an arm, step by step (see `gr1 check rig --help`)"
_ROS = ("gr1_bringup", "gr1_robot", "gr1_policy", "rclpy")


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["up"]:
        return _bringup("gr1 up", "gr1_bringup.up", argv[1:])
    if argv[:2] == ["check", "rig"]:
        return _bringup("gr1 check rig", "gr1_check.rig_check", argv[2:])
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"gr1: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr1", description="GR-1 on a real robot, from demonstration to deployed policy."
    )
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    added.add_parser("up", help=_UP, add_help=False)
    check = added.add_parser("check", help="accept hardware before a policy drives it").add_subparsers(
        required=True, metavar="WHAT"
    )
    check.add_parser("rig", help=_RIG, add_help=False)
    bench = added.add_parser("bench", help="measure speed, as ratios within one run").add_subparsers(
        required=True, metavar="WHAT"
    )
    for module in commands.ALL:
        module.add(added, bench)
    return parser


def _bringup(command: str, module: str, argv: list[str]) -> int:
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in _ROS:
            raise
        print(
            f"gr1: `{command}` needs the ROS 2 packages, {error.name} is not installed here: run `make setup` in the repository "
            "(or build ros2_ws with colcon and source its install/setup.bash)",
            file=sys.stderr,
        )
        return 1
    return main(argv)
