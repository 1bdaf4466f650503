"""`gr1 node recorder`."""

from __future__ import annotations

import argparse

from gr1_common.node_command import node_parser, ros_arguments

HELP = "run the recorder node alone: one bag per episode"


def parser() -> argparse.ArgumentParser:
    return node_parser("recorder", HELP)


def main(argv: list[str]) -> int:
    arguments = ros_arguments(parser(), argv)
    from gr1_recorder.recorder_node import main as run

    return run(arguments)
