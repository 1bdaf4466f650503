"""The three QoS profiles of the stack (docs/reference/interfaces.md)."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _keep_newest(
    reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability, durability=durability
    )


RELIABILITIES = ("best_effort", "reliable")

SENSOR = _keep_newest(ReliabilityPolicy.BEST_EFFORT)
"""Streams of which only the newest message matters: images, poses, states."""

COMMAND = _keep_newest(ReliabilityPolicy.RELIABLE)
"""Commands and results: the newest one, delivered reliably."""

LATCHED = _keep_newest(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
"""Facts that a late subscriber needs too: the instruction, the simulated task."""


def sensor_profile(reliability: str) -> QoSProfile:
    """SENSOR with the reliability of a parameter: "best_effort" or "reliable"."""
    return COMMAND if reliability == "reliable" else SENSOR
