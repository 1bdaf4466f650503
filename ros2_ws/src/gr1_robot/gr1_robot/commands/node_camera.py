"""`gr1 node camera`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run one camera node alone"


def parser() -> argparse.ArgumentParser:
    return node_parser("camera", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_robot.cameras.node import main as run

    return run(arguments)
