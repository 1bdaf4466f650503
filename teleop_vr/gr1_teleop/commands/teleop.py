"""`gr1 teleop`."""

from __future__ import annotations

import argparse
import json

from gr1_core.commands.arguments import Parser

HELP = "teleoperation for a running stack: serves the pages for headset, phone and desk"
_PARAMETERS = ("rig", "host", "port", "token", "bags", "instruction", "task_list")


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 teleop",
        description="Run the teleoperation node next to a running stack. `gr1 up --driver teleop`, "
        "--takeover and --record start it with the stack. Prints the pairing address and its QR code.",
    )
    add = made.add_argument
    add("--rig", default="kinova_gen2", help="the stack's rig: name or YAML file (default: %(default)s)")
    add("--host", default="0.0.0.0", help="address to serve on (default: %(default)s: all addresses)")
    add("--port", type=int, default=8443, help="HTTPS port, 0: any free one (default: %(default)s)")
    add("--token", default="", help="pairing token of 16 or more characters (default: a random one)")
    add("--bags", default="bags", help="the recorder's folder, for the list (default: %(default)s)")
    add("--instruction", default="", help="instruction to publish at the start")
    add("--task-list", default="", help="YAML file with instructions and numbers of episodes to demonstrate")
    add("--namespace", default="", help="the stack's ROS namespace")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from gr1_teleop.teleop_node import main as run

    arguments = ["--ros-args"]
    for name in _PARAMETERS:
        arguments += ["-p", f"{name}:={json.dumps(getattr(options, name))}"]
    if options.namespace:
        arguments += ["-r", f"__ns:=/{options.namespace.strip('/')}"]
    return run(arguments)
