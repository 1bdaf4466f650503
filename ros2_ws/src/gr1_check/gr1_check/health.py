"""Is the stack alive? `python -m gr1_check.health` hears what the nodes say on /diagnostics; exit code 0 when all speak, 1 when not.

A camera without frames or an arm that is stopped is alive: it says so. What is looked for is a node that has died or hangs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

NODES = ("arm", "camera_static", "camera_wrist")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gr1_check.health", description=__doc__.split("\n")[0])
    parser.add_argument(
        "nodes", nargs="*", default=NODES, help=f"who must speak (default: {' '.join(NODES)})"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=5.0,
        help="for how many seconds to listen at most; each node speaks once a second",
    )
    parser.add_argument("--namespace", default="", help="the stack's ROS namespace")
    options = parser.parse_args(argv)
    # Where `gr1 up` puts the nodes unless the user has said otherwise.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    from gr1_common.stack_monitor import Monitor

    monitor, until = Monitor(f"gr1_health_{os.getpid()}", options.namespace), time.monotonic() + options.wait
    monitor.start()
    try:
        while missing := [
            name
            for name in options.nodes
            if not any(said.startswith(f"{name}: ") for said in monitor.seen().statuses)
        ]:
            if time.monotonic() > until:
                print(f"not heard within {options.wait:g} s: {', '.join(missing)}", file=sys.stderr)
                return 1
            time.sleep(0.05)
    finally:
        monitor.close()
    print(f"alive: {', '.join(options.nodes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
