"""A scripted operator: computes the hand pose from which the arm does the task. No ROS.

It reads the simulator's state and moves only the hand; clutch, node, gate and arm lie in between. The expert
gives the arm's twist. The hand is held so far ahead of the arm that the clutch commands this twist.
"""

from __future__ import annotations

import math

import numpy as np

from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_core.sim import Expert
from gr1_teleop import quaternion
from gr1_teleop.clutch_settings import ClutchSettings

TO_FLOOR = np.array([-0.5, 0.5, 0.5, 0.5])
"""Rotation from the base frame to local-floor: the inverse of the clutch's default."""
FASTEST, FASTEST_TURN = 0.6, 2.5  # m/s, rad/s of the hand


class ScriptedHand:
    """grip, anchor: poses of the hand (local-floor) and the arm (base frame) at the engagement. Default
    clutch settings."""

    def __init__(self, task: str, rig: Rig, grip: Pose, anchor: Pose):
        settings = ClutchSettings()
        self._expert, self._period = Expert(task, rig.control_hz), rig.period
        self._grip, self._anchor, self._scale = grip, anchor, settings.scale
        self._ahead = rig.period / settings.gain + settings.lag_s
        self._hand, self._at, self._next = grip, None, -math.inf
        self._command = None

    def look(self, state: np.ndarray, now: float) -> None:
        """state: Twin.state() at `now` s. Calls the expert once per control period."""
        if now >= self._next:
            self._next = max(self._next + self._period, now + 0.5 * self._period)
            self._command = self._expert.act(state)

    def hand(self, commanded: Pose, now: float) -> tuple[Pose, float]:
        """The hand's pose at `now` s in local-floor, and its trigger 0..1."""
        if self._command is None:
            return self._hand, 0.0
        moved = commanded.position + self._ahead * self._command.linear - self._anchor.position
        turned = quaternion.multiply(
            quaternion.from_rotation_vector(self._ahead * self._command.angular), commanded.quaternion
        )
        turn = quaternion.rotate(TO_FLOOR, quaternion.rotation_between(self._anchor.quaternion, turned))
        position = self._grip.position + quaternion.rotate(TO_FLOOR, moved) / self._scale
        orientation = quaternion.multiply(quaternion.from_rotation_vector(turn), self._grip.quaternion)
        dt = 0.0 if self._at is None else now - self._at
        self._at = now
        way, turn = (
            position - self._hand.position,
            quaternion.rotation_between(self._hand.quaternion, orientation),
        )
        way, turn = _limit(way, FASTEST * dt), _limit(turn, FASTEST_TURN * dt)
        self._hand = Pose(
            self._hand.position + way,
            quaternion.multiply(quaternion.from_rotation_vector(turn), self._hand.quaternion),
        )
        return self._hand, self._command.closure


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    norm = math.hypot(*vector)
    return vector * (length / norm) if norm > length else vector
