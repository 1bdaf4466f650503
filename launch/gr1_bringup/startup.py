"""When a stack may be started, and when it is up. ROS-free."""

from __future__ import annotations

import os

from gr1_common.shell import other_users

START_LIMIT = 120.0
"""s until all nodes must have published on /diagnostics."""
DISCOVERY = 1.5
"""s that the ROS graph needs to show what is running already."""
GHOST_LIMIT = 25.0
"""s to wait for another stack to end: a process that was killed stays in the ROS graph for the 20 s of its
lease.
"""
NODES = ("arm", "camera_static", "camera_wrist", "policy", "expert", "task_sequence", "recorder", "teleop")
FIRST_STATUS = {
    "arm": "arm: gate",
    "camera_static": "camera_static: stream",
    "camera_wrist": "camera_wrist: stream",
    "policy": "policy: step",
    "recorder": "recorder: episode",
    "teleop": "teleop: operator",
}
"""The subject on /diagnostics that shows that a node is up."""


def another_stack() -> str:
    """Why nothing is started: another stack runs."""
    return (
        f"another stack runs in ROS_DOMAIN_ID {domain()}: end it, or set that variable to another "
        "number (0 to 101)"
    )


def why_silent() -> str:
    """What may keep nodes that run from being heard, to end a message with; "" if nothing is known."""
    users = other_users()
    return f"; {users}" if users else ""


def domain() -> str:
    return os.environ.get("ROS_DOMAIN_ID", "0")
