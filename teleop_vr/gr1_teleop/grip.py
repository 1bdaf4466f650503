"""One thing that an operator can squeeze: a hand, or the dead man's switch of a desk device."""

from __future__ import annotations

import math

import numpy as np

from gr1_teleop import quaternion
from gr1_teleop.filters import PositionFilter, RotationFilter
from gr1_teleop.protocol import DeskVelocity, HandPose
from gr1_teleop.settings import Settings

HIDDEN, UNTRACKED = "the page is hidden", "the hand is out of sight"
UNTIMED = "how long messages take is not known yet"


class Grip:
    """The newest of what one hand has said, smoothed.

    pressed: with hysteresis; True until it has been seen open. position f64[3] m and orientation f64[4] in local-floor, None for none.
    velocity: a desk device's (linear, angular), each f64[3] in -1..1, base frame; None for a hand. seen: s, when the newest sample came.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._smooth = PositionFilter(settings.position), RotationFilter(settings.orientation)
        self.known, self.seen, self.closure = False, -math.inf, 0.0
        self.forget()

    def forget(self) -> None:
        """Nothing has come for long: what was pressed then says nothing of now."""
        self.pressed = self.stick = True
        self.lose()

    def lose(self) -> None:
        """The next position is a first one."""
        self._raw = None
        self.position = self.orientation = self.velocity = None
        for smooth in self._smooth:
            smooth.reset()

    def take(self, sample: HandPose | DeskVelocity, now: float, age: float) -> str:
        """Keeps a sample; returns why the hand cannot be followed, or ""."""
        self.known, self.seen = True, now
        if isinstance(sample, DeskVelocity):
            self.pressed, self.closure = sample.held, sample.gripper
            self.velocity = np.array(sample.linear), np.array(sample.angular)
            trouble = ""
        else:
            self.pressed = (
                sample.squeeze > self._settings.open
                if self.pressed
                else sample.squeeze >= self._settings.press
            )
            self.closure, self.stick = sample.trigger, sample.stick
            trouble = self._place(sample)
        if not sample.visible:
            return HIDDEN
        if age == math.inf:
            return UNTIMED
        if age > self._settings.stale_s:
            return f"what the hand says is {1e3 * age:.0f} ms old: the network is too slow"
        return trouble

    def _place(self, sample: HandPose) -> str:
        if not sample.tracked:
            self.lose()
            return UNTRACKED
        raw = np.array(sample.position), np.array(sample.orientation)
        trouble = self._jump(raw)
        if trouble:
            self.lose()
        self._raw = raw
        self.position, self.orientation = (
            smooth(value, 1e-3 * sample.t) for smooth, value in zip(self._smooth, raw)
        )
        return trouble

    def _jump(self, raw) -> str:
        """Why this cannot be the hand of the sample before, or ""; the raw values are compared, since a smoothed jump is a ride."""
        if self._raw is None:
            return ""
        distance = math.dist(raw[0], self._raw[0])
        angle = math.hypot(*quaternion.between(self._raw[1], raw[1]))
        if distance <= self._settings.jump and angle <= self._settings.jump_angle:
            return ""
        return f"the hand jumped by {1e2 * distance:.0f} cm and {math.degrees(angle):.0f} degrees"
