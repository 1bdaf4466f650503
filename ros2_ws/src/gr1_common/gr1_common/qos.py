"""The three qualities of service that the stack uses (docs/reference/interfaces.md)."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _newest(
    reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability, durability=durability
    )


RELIABILITIES = ("best_effort", "reliable")

SENSOR = _newest(ReliabilityPolicy.BEST_EFFORT)
"""Streams where only the newest message matters: images, poses, states."""

COMMAND = _newest(ReliabilityPolicy.RELIABLE)
"""Commands and results: the newest one, and it must arrive."""

LATCHED = _newest(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
"""Facts that a late subscriber must learn too: the instruction, the simulated task."""


def sensor(reliability: str) -> QoSProfile:
    """SENSOR with the reliability that a parameter names: "best_effort" or "reliable"."""
    return COMMAND if reliability == "reliable" else SENSOR
