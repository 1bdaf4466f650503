"""`gr1 health`: whether the nodes of a running stack publish on /diagnostics."""

from __future__ import annotations

import argparse
import os
import sys
import time

from gr1_core.commands.arguments import Parser

HELP = "whether the nodes of a running stack are alive; exit code 0 or 1"
NODES = ("arm", "camera_static", "camera_wrist")


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 health",
        description="Listen on /diagnostics. Exit code 0 when every node has published, 1 when one has "
        "not. A camera without frames and a stopped arm are alive: they publish a fault. A node that has "
        "died or hangs is not.",
    )
    made.add_argument("nodes", nargs="*", default=NODES, help=f"the nodes (default: {' '.join(NODES)})")
    made.add_argument(
        "--wait",
        type=float,
        default=5.0,
        help="seconds to listen at most; a node publishes once a second (default: 5)",
    )
    made.add_argument("--namespace", default="", help="the stack's ROS namespace")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    # Where `gr1 up` puts the nodes unless the user has set another range.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    from gr1_common.stack_monitor import StackMonitor

    monitor, until = (
        StackMonitor(f"gr1_health_{os.getpid()}", options.namespace),
        time.monotonic() + options.wait,
    )
    monitor.start()
    try:
        while missing := _missing(options.nodes, monitor):
            if time.monotonic() > until:
                print(f"no status within {options.wait:g} s of: {', '.join(missing)}", file=sys.stderr)
                return 1
            time.sleep(0.05)
    finally:
        monitor.close()
    print(f"alive: {', '.join(options.nodes)}")
    return 0


def _missing(nodes: list[str], monitor) -> list[str]:
    statuses = monitor.snapshot().statuses
    return [node for node in nodes if not any(name.startswith(f"{node}: ") for name in statuses)]
