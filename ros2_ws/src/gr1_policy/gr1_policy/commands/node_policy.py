"""`gr1 node policy`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run the policy node alone: frames in, commands out"


def parser() -> argparse.ArgumentParser:
    return node_parser("policy", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_policy.policy_node import main as run

    return run(arguments)
