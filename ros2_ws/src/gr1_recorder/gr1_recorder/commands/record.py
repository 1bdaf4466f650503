"""`gr1 record`: begins and ends an episode of a running recorder."""

from __future__ import annotations

import argparse
import sys

from gr1_core.commands.arguments import Parser

HELP = "begin or end an episode of a running recorder: start, success, failure, discard"
ACTIONS = ("start", "success", "failure", "discard")


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 record",
        description="Begin an episode of a running recorder (gr1 up --record), or end it with an outcome. "
        "success, failure and discard without a running episode change the outcome of the last one. Prints "
        "the bag's name. Exit code 1 when the recorder refuses.",
    )
    made.add_argument("action", choices=ACTIONS, help="what to do with the episode")
    made.add_argument("--namespace", default="", help="the stack's ROS namespace")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from gr1_recorder.client import Recorder, RecorderError

    try:
        with Recorder(options.namespace) as recorder:
            print(getattr(recorder, options.action)())
    except RecorderError as error:
        print(f"recorder: {error}", file=sys.stderr)
        return 1
    return 0
