"""`gr1 node expert`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run the scripted expert's node alone, for a simulated rig"


def parser() -> argparse.ArgumentParser:
    return node_parser("expert", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_policy.expert_node import main as run

    return run(arguments)
