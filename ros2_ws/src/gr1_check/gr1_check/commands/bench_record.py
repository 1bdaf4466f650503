"""`gr1 bench record`: what recording two cameras and an arm costs, and that no message is lost."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "the recorder at 2 x 640x480 at 30 Hz and an arm's topics at 100 Hz: lost messages, CPU, MB/s"


def parser() -> argparse.ArgumentParser:
    made = Parser(prog="gr1 bench record", description=HELP)
    made.add_argument("--seconds", type=float, default=60.0, help="of each kind of image (default: 60)")
    made.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="disk to record to; emptied again (default: the system's for temporary files)",
    )
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if not options.seconds > 0:
        raise ValueError(f"--seconds: {options.seconds:g} is not above 0")
    if options.folder and not options.folder.is_dir():
        raise ValueError(
            f"--folder {options.folder}: there is no such folder: give one on the disk to measure"
        )
    if options.folder and not os.access(options.folder, os.W_OK | os.X_OK):
        raise ValueError(f"--folder {options.folder} cannot be written to: choose another")
    from gr1_bringup import stack

    # Before rclpy reads them: this machine only, and a domain beside any stack that runs.
    os.environ.update(
        stack.environment()
        | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)}
    )
    from gr1_recorder import bench

    bench.run(options.seconds, options.folder)
    return 0
