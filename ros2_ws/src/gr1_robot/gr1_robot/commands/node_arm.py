"""`gr1 node arm`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run the arm node alone: driver, gate, and in simulation the physics"


def parser() -> argparse.ArgumentParser:
    return node_parser("arm", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_robot.arm.node import main as run

    return run(arguments)
