"""The command line that all `gr1 node NAME` have. No ROS import."""

from __future__ import annotations

import argparse

from gr1_core.commands.arguments import Parser


def node_parser(name: str, help_text: str) -> argparse.ArgumentParser:
    """For `gr1 node <name>`: everything behind the name goes to ROS."""
    made = Parser(
        prog=f"gr1 node {name}",
        description=f"{help_text[0].upper()}{help_text[1:]}. The arguments go to ROS 2.",
        epilog=f"example: gr1 node {name} --ros-args -p rig:=kinova_gen2 -r __ns:=/left; `ros2 param "
        "describe` explains each parameter (docs/reference/interfaces.md)",
        usage=f"gr1 node {name} [-h] [--ros-args -p NAME:=VALUE --params-file FILE ...]",
    )
    return made


def ros_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> list[str]:
    """The words for rclpy; shows the help where it is asked for, and refuses words that are neither."""
    if argv and argv[0] != "--ros-args":
        parser.parse_args(argv)
    return list(argv)
