"""`gr1 node teleop`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run the teleoperation node alone: pages for headset, phone and desk"


def parser() -> argparse.ArgumentParser:
    return node_parser("teleop", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_teleop.teleop_node import main as run

    return run(arguments)
