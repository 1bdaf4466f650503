"""A scripted operator: sees the simulator's state, as a person sees the table, and says where the hand must be for the arm to do the task.

It moves nothing but the hand: clutch, node, gate and arm are between. The expert says the twist that is wanted of the arm; the hand is
held as far ahead of the arm as makes the clutch command that twist. No ROS.
"""

from __future__ import annotations

import math

import numpy as np

from gr1_core.rig import Rig
from gr1_core.sim import Expert
from gr1_robot.arm.backend import Pose
from gr1_teleop import quaternion
from gr1_teleop.settings import Settings

TO_FLOOR = np.array([-0.5, 0.5, 0.5, 0.5])
"""The base's axes in local-floor's: the inverse of the clutch's default."""
FASTEST, FASTEST_TURN = 0.6, 2.5  # m/s, rad/s of the hand


class Pilot:
    """grip, anchor: where hand (local-floor) and arm (base frame) are when the clutch, with its usual settings, engages."""

    def __init__(self, task: str, rig: Rig, grip: Pose, anchor: Pose):
        settings = Settings()
        self._expert, self._period = Expert(task, rig.control_hz), rig.period
        self._grip, self._anchor, self._scale = grip, anchor, settings.scale
        self._ahead = rig.period / settings.gain + settings.lag_s
        self._hand, self._at, self._next = grip, None, -math.inf
        self._command = None

    def look(self, state: np.ndarray, now: float) -> None:
        """Twin.state() at `now` s; once a control period the expert is asked."""
        if now >= self._next:
            self._next = max(self._next + self._period, now + 0.5 * self._period)
            self._command = self._expert.act(state)

    def hand(self, commanded: Pose, now: float) -> tuple[Pose, float]:
        """Where the hand is to be at `now` s, in local-floor, and its trigger 0..1."""
        if self._command is None:
            return self._hand, 0.0
        moved = commanded.position + self._ahead * self._command.linear - self._anchor.position
        turned = quaternion.times(
            quaternion.from_vector(self._ahead * self._command.angular), commanded.quaternion
        )
        turn = quaternion.rotated(TO_FLOOR, quaternion.between(self._anchor.quaternion, turned))
        position = self._grip.position + quaternion.rotated(TO_FLOOR, moved) / self._scale
        orientation = quaternion.times(quaternion.from_vector(turn), self._grip.quaternion)
        dt = 0.0 if self._at is None else now - self._at
        self._at = now
        way, turn = position - self._hand.position, quaternion.between(self._hand.quaternion, orientation)
        way, turn = _limit(way, FASTEST * dt), _limit(turn, FASTEST_TURN * dt)
        self._hand = Pose(
            self._hand.position + way, quaternion.times(quaternion.from_vector(turn), self._hand.quaternion)
        )
        return self._hand, self._command.closure


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    norm = math.hypot(*vector)
    return vector * (length / norm) if norm > length else vector
