"""`gr1 bench record`."""

from __future__ import annotations

import os
from pathlib import Path


def add(commands, bench) -> None:
    record = bench.add_parser(
        "record",
        help="the recorder at 2 x 640x480 at 30 Hz and an arm's topics at 100 Hz: lost messages, CPU, MB/s",
    )
    record.add_argument("--seconds", type=float, default=60.0, help="of each kind of image (default: 60)")
    record.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="disk to record to; emptied again (default: the system's for temporary files)",
    )
    record.set_defaults(run=_bench)


def _bench(arguments) -> int:
    if not arguments.seconds > 0:
        raise ValueError(f"--seconds: {arguments.seconds:g} is not above 0")
    if arguments.folder and not arguments.folder.is_dir():
        raise ValueError(
            f"--folder {arguments.folder}: there is no such folder: give one on the disk to measure"
        )
    if arguments.folder and not os.access(arguments.folder, os.W_OK | os.X_OK):
        raise ValueError(f"--folder {arguments.folder} cannot be written to: choose another")
    try:
        from gr1_bringup import stack
    except ModuleNotFoundError as error:
        raise ValueError(
            f"`gr1 bench record` needs the ROS 2 packages, {error.name} is not installed here: run `make setup`"
        ) from error

    # Before rclpy reads them: this machine only, and a domain beside any stack that runs.
    os.environ.update(
        stack.environment()
        | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(1 + os.getpid() % 100)}
    )
    from gr1_recorder import bench

    bench.run(arguments.seconds, arguments.folder)
    return 0
