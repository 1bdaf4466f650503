"""The gate's reasons in words, for /diagnostics and the log. ROS-free."""

from __future__ import annotations

from gr1_common.conventions import BASE_FRAME

WARNING_REASONS = (
    "expired",
    "operator_lost",
    "not_finite",
    "jump",
    "no_pose",
    "following_error",
    "joint_limit",
    "tilt",
    "table",
    "obstacle",
    "self_collision",
    "contact",
    "prediction",
)
REFUSAL_MESSAGES = {
    "frame": f"its header's frame_id is not {BASE_FRAME}",
    "not_finite": "it is not finite",
    "jump": "it is far beyond the speed limit",
    "old": "its stamp is too old: a slow network, a replay, no stamp at all, or clocks that differ",
    "out_of_order": "a newer command, or the same one, has been received already",
}
REASON_MESSAGES = {
    "none": "following commands",
    "speed": "following commands, limited to the maximum speed",
    "workspace": "kept inside the workspace",
    "following_error": "the arm does not follow: something holds it, or it is at the end of its reach",
    "joint_limit": "slowed near the end of a joint's range",
    "joint_speed": "slowed to the speed limit of a joint",
    "tilt": "slowed near the greatest tilt of the hand",
    "table": "slowed near the table: a part of the arm is close to it",
    "obstacle": "slowed near an obstacle",
    "self_collision": "slowed: two parts of the arm are close to each other",
    "prediction": "at half speed: the prediction monitor calls the operator",
    "contact": "the hand presses too hard: only teleoperation or homing may move it, away from the contact",
    "no_command": "waiting for the first command",
    "zero_command": "commanded to rest",
    "expired": "no new commands: the last one has expired",
    "operator_lost": "the person at teleoperation was lost: take the clutch again, or call arm/reset",
    "not_finite": "the last command was not finite",
    "jump": "the last command was far beyond the speed limit",
    "no_pose": "the arm reports no pose",
    "emergency_stop": "emergency stop: call arm/reset when it is safe",
    "force": "the force on the hand was too high: call arm/reset when the hand is free",
    "stuck": "the arm does not follow: free it, then call arm/reset",
    "ignored": "the arm does not carry out what it is sent: look after it, then call arm/reset",
    "homing_timeout": "homing took too long: free the arm, then call arm/reset",
    "loop_stalled": "the computer or this program stalled: call arm/reset when it is safe",
    "not_armed": "not armed: call arm/reset when it is safe",
    "backend_fault": "the arm reports a fault: fix it, then call arm/reset",
    "shutting_down": "shutting down",
}
