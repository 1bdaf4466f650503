"""`gr1 stop`: the emergency stop of every arm on this computer, without ROS."""

from __future__ import annotations

import argparse
import sys

from gr1_core.commands.arguments import Parser

HELP = "emergency stop of every arm on this computer; needs no ROS and no network"
NEEDS_ROS = False
_DESCRIPTION = (
    "Stop every arm of this computer whose arm node runs, through its stop socket: neither ROS nor a network "
    "is needed. The arms stay stopped until a person calls arm/reset. Exit code: 0 all are stopped, 1 none "
    "runs here, or one could not be stopped."
)


def parser() -> argparse.ArgumentParser:
    return Parser(prog="gr1 stop", description=_DESCRIPTION)


def main(argv: list[str]) -> int:
    parser().parse_args(argv)
    from gr1_common import stop_socket

    answers = stop_socket.stop(stop_socket.all_sockets())
    for answer in answers:
        line = f"{answer.arm}: {'stopped, ' if answer.stopped else ''}{answer.state}"
        print(line, file=sys.stdout if answer.stopped else sys.stderr, flush=True)
    if not answers:
        print(
            "gr1 stop: no arm node runs on this computer for this user; from another one: "
            "`ros2 service call /arm/stop std_srvs/srv/Trigger`",
            file=sys.stderr,
        )
    return 0 if answers and all(answer.stopped for answer in answers) else 1
