"""The state of one input: a hand, or a desk device with its dead-man switch."""

from __future__ import annotations

import math

import numpy as np

from gr1_teleop import quaternion
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.filters import PositionFilter, RotationFilter
from gr1_teleop.protocol import DeskVelocity, HandPose

HIDDEN, UNTRACKED = "the page is hidden", "the hand is out of sight"
UNTIMED = "the message delay is not known yet"


class HandInput:
    """The newest sample of one hand, filtered.

    pressed: whether the clutch is held, with hysteresis; True until the hand has been seen open.
    position: f64[3] m and orientation: f64[4] xyzw, in local-floor; None if unknown.
    velocity: (linear, angular) of a desk device, each f64[3] in -1..1, base frame; None for a hand.
    seen: arrival of the newest sample, s. known: whether a sample has arrived.
    """

    def __init__(self, settings: ClutchSettings):
        self._settings = settings
        self._smooth = PositionFilter(settings.position), RotationFilter(settings.orientation)
        self.known, self.seen, self.closure = False, -math.inf, 0.0
        self.reset()

    def reset(self) -> None:
        """No sample for long: the old button states are void."""
        self.pressed = self.stick = True
        self.lose_pose()

    def lose_pose(self) -> None:
        """Forgets the pose: the next one is not compared with it."""
        self._raw = None
        self.position = self.orientation = self.velocity = None
        for smooth in self._smooth:
            smooth.reset()

    def update(self, sample: HandPose | DeskVelocity, now: float, age: float) -> str:
        """Stores a sample. Returns why the hand cannot be followed, or "". age: s."""
        self.known, self.seen = True, now
        if isinstance(sample, DeskVelocity):
            self.pressed, self.closure = sample.held, sample.gripper
            self.velocity = np.array(sample.linear), np.array(sample.angular)
            problem = ""
        else:
            self.pressed = (
                sample.squeeze > self._settings.release_threshold
                if self.pressed
                else sample.squeeze >= self._settings.press_threshold
            )
            self.closure, self.stick = sample.trigger, sample.stick
            problem = self._update_pose(sample)
        if not sample.visible:
            return HIDDEN
        if age == math.inf:
            return UNTIMED
        if age > self._settings.max_sample_age_s:
            return f"the hand's sample is {1e3 * age:.0f} ms old: the network is too slow"
        return problem

    def _update_pose(self, sample: HandPose) -> str:
        if not sample.tracked:
            self.lose_pose()
            return UNTRACKED
        raw = np.array(sample.position), np.array(sample.orientation)
        problem = self._check_jump(raw)
        if problem:
            self.lose_pose()
        self._raw = raw
        self.position, self.orientation = (
            smooth(value, 1e-3 * sample.t) for smooth, value in zip(self._smooth, raw)
        )
        return problem

    def _check_jump(self, raw) -> str:
        """Why this pose cannot follow the one before, or "". Compares raw values: the filter would turn a
        jump into a motion."""
        if self._raw is None:
            return ""
        distance = math.dist(raw[0], self._raw[0])
        angle = math.hypot(*quaternion.rotation_between(self._raw[1], raw[1]))
        if distance <= self._settings.max_jump and angle <= self._settings.max_jump_angle:
            return ""
        return f"the hand jumped by {1e2 * distance:.0f} cm and {math.degrees(angle):.0f} degrees"
