"""`gr1 measure`: rates, jitter, latencies and the gate's states of a running stack."""

from __future__ import annotations

import argparse

from gr1_core.commands.arguments import Parser

HELP = "measure a running stack: rates, jitter, camera-to-command latency, gate"


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 measure",
        description="Measure a running stack from outside. The last line is one JSON document. Exit code 1 "
        "when a node of the stack is not heard.",
    )
    made.add_argument("--seconds", type=float, default=60.0, help="how long to measure (default: 60)")
    made.add_argument(
        "--rig", default="kinova_gen2", help="the rig that the stack runs with (default: kinova_gen2)"
    )
    made.add_argument("--namespace", default="", help="the stack's ROS namespace")
    made.add_argument(
        "--wait", type=float, default=60.0, help="seconds to wait for the stack to run (default: 60)"
    )
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from gr1_check import measurement

    return measurement.measure(options.seconds, options.rig, options.namespace, options.wait)
