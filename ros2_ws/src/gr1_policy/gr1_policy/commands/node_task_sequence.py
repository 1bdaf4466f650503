"""`gr1 node task_sequence`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run the node that gives a policy one task after another"


def parser() -> argparse.ArgumentParser:
    return node_parser("task_sequence", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_policy.task_sequence_node import main as run

    return run(arguments)
