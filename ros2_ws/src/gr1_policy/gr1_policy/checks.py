"""Refuses impossible values of pose and gripper before they reach the model. ROS-free."""

from __future__ import annotations

import math

import numpy as np

from gr1_core.rig import Limits

OUTSIDE = 0.5
"""m that a measured position may lie outside of the workspace: an arm may be led there by hand, but not
further.
"""
_NORM = 0.01


def check_pose(position, quaternion, limits: Limits) -> str:
    """xyz in m and quaternion xyzw in the arm's base frame -> why it cannot be the arm's pose, or ""."""
    position, quaternion = np.asarray(position, np.float64), np.asarray(quaternion, np.float64)
    if not np.isfinite(position).all():
        return f"the position {_shown(position)} is not finite"
    if not np.isfinite(quaternion).all():
        return f"the orientation {_shown(quaternion)} is not finite"
    if abs(np.linalg.norm(quaternion) - 1.0) > _NORM:
        return f"the orientation {_shown(quaternion)} is not a unit quaternion (xyzw)"
    low, high = np.array(limits.workspace_min) - OUTSIDE, np.array(limits.workspace_max) + OUTSIDE
    if np.any(position < low) or np.any(position > high):
        return (
            f"the position {_shown(position)} m is more than {OUTSIDE:g} m outside of the workspace: wrong "
            "units or another base frame"
        )
    return ""


def check_closure(value: float) -> str:
    """A gripper's last command -> why it cannot be one, or "". NaN says that none was given yet, which
    counts as open, as in a bag.
    """
    if math.isnan(value) or -0.01 <= value <= 1.01:
        return ""
    return f"closure_command is {value:g}, expected 0 (open) .. 1 (closed)"


def _shown(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values) + ")"
