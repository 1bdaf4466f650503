"""Names and figures that nodes agree on beyond message types. ROS-free.

docs/reference/interfaces.md lists the topics; docs/explanation/safety.md explains the gate's states.
"""

BASE_FRAME = "base_link"
"""frame_id of every pose, twist and marker: the arm's base (REP 103: x forward, z up)."""

TICK = 0.01
"""s: period of the arm's motion loop."""

MOVING, HOLDING, STOPPED = "moving", "holding", "stopped"
"""States of the gate, as `state` of `arm: gate` on /diagnostics: moving; may move but has no motion; stopped
until a reset.
"""
