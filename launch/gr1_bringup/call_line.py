"""The policy's calls in the terminal of `gr1 up`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

_ANSWERS = {
    "confirmed": "confirmed: the policy goes on at full speed",
    "taken_over": "a person has taken over",
    "latched": "nobody answered: the arm is stopped until arm/reset is called",
    "ended": "ended by a new instruction or by the end of the policy",
}


def call_line(call: Mapping, known: int) -> str:
    """The line for a message of policy/call; "" where nothing is new. known: number of the last call."""
    if call["state"] != "calling":
        return f"call {call['number']}: {_ANSWERS.get(call['state'], call['state'])}"
    if call["number"] == known:
        return ""  # it is repeated once a second
    return (
        f"\aTHE POLICY CALLS: {call['reason']}. It moves at half speed: grip to take over, or confirm with "
        f"`gr1 confirm` or at the desk, within {call['timeout_s']:g} s; else the arm stops"
    )


def announce(node, say: Callable[[str, str], None]) -> None:
    """say(text, style): prints a line. Subscribes on `node`; call it before the node is spun."""
    from rclpy.qos import QoSProfile
    from std_msgs.msg import String

    known = 0

    def on_call(message: String) -> None:
        nonlocal known
        call = json.loads(message.data)
        if text := call_line(call, known):
            say(text, "bold yellow" if call["state"] == "calling" else "yellow")
        known = call["number"]

    node.create_subscription(String, "policy/call", on_call, QoSProfile(depth=10))
