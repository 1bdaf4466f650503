"""The ROS side of a policy that watches: the commands of the demonstrator."""

from __future__ import annotations

import time
from collections.abc import Callable

from geometry_msgs.msg import TwistStamped
from std_msgs.msg import Float32

from gr1_common import messages, qos
from gr1_core import Rig
from gr1_policy import loading
from gr1_policy.demonstrator import Demonstrator
from gr1_policy.policy_source import PolicySource

STATUS = "distance from the person's actions in standard deviations of the action"


def watch(subscribe: Callable, rig: Rig, source: PolicySource) -> Demonstrator:
    """subscribe(type, topic, callback, profile). Returns what the controller compares its actions with."""
    known = not (source.remote or source.name == loading.UNTRAINED)
    watched = Demonstrator(rig, loading.action_std(source.name) if known else None)

    def on_twist(message: TwistStamped) -> None:
        watched.on_twist(time.monotonic(), *messages.from_twist(message.twist))

    def on_gripper(message: Float32) -> None:
        watched.on_gripper(message.data)

    subscribe(TwistStamped, "command/teleop/twist", on_twist, qos.COMMAND)
    subscribe(Float32, "command/teleop/gripper", on_gripper, qos.COMMAND)
    return watched
