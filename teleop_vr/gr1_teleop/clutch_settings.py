"""The clutch's settings, and what it returns: commands and events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_teleop.filters import OneEuroSettings

_POSITIVE = (
    "max_linear", "max_angular", "max_jump", "max_jump_angle",
    "timeout_s", "max_sample_age_s", "max_lead", "max_lead_angle",
)  # fmt: skip


@dataclass(frozen=True)
class ClutchSettings:
    """Units: m, m/s, rad, rad/s, s. Raises ValueError for values out of range.

    scale: arm motion per hand motion, m/m. rotation: whether the hand turns the arm.
    max_linear, max_angular: speed limits; the rig's limits hold too.
    position, orientation: one-euro filters against tremor.
    max_jump, max_jump_angle: a larger change between two samples is a tracking error and opens the clutch.
    timeout_s: time without a sample after which the clutch opens.
    max_sample_age_s: an older sample opens the clutch; this bounds the delay until a release is noticed.
    press_threshold, release_threshold: squeeze (0..1) from which a grip is pressed, up to which it is open.
    max_lead, max_lead_angle: how far the goal may be ahead of the arm, and so how far the arm may move after
        the hand has stopped.
    gain: share of the distance to the goal that is covered in one period.
    lag_s: age of the commanded pose when a command takes effect.
    """

    scale: float = 0.8
    rotation: bool = True
    max_linear: float = math.inf
    max_angular: float = math.inf
    position: OneEuroSettings = OneEuroSettings(min_cutoff=2.0, beta=40.0, derivative_cutoff=5.0)
    orientation: OneEuroSettings = OneEuroSettings(min_cutoff=2.0, beta=6.0, derivative_cutoff=5.0)
    max_jump: float = 0.05
    max_jump_angle: float = math.radians(35.0)
    timeout_s: float = 0.15
    max_sample_age_s: float = 0.25
    press_threshold: float = 0.7
    release_threshold: float = 0.4
    max_lead: float = 0.15
    max_lead_angle: float = 0.6
    # At 10 Hz and with the Gen2's ramp, the arm does not overshoot a hand that stops if commands take effect
    # within 40 ms (2 mm at 60 ms). The arm is 0.17 s behind a moving hand. A higher gain or a wrong lag makes
    # the speed oscillate.
    gain: float = 0.6
    lag_s: float = 0.03

    def __post_init__(self):
        if not 0.5 <= self.scale <= 1.0:
            raise ValueError(f"scale is {self.scale}: expected 0.5 .. 1 (arm motion per hand motion)")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number above 0")
        if not 0 < self.release_threshold < self.press_threshold <= 1:
            raise ValueError(
                f"release_threshold is {self.release_threshold}, press_threshold is {self.press_threshold}: "
                "expected 0 < release_threshold < press_threshold <= 1"
            )
        if not 0 < self.gain <= 1:
            raise ValueError(f"gain is {self.gain}: expected above 0, at most 1")
        if not 0 <= self.lag_s < math.inf:
            raise ValueError(f"lag_s is {self.lag_s}: expected 0 or more seconds")
        if self.max_lead_angle >= math.pi:
            raise ValueError(
                f"max_lead_angle is {self.max_lead_angle}: expected less than half a turn, {math.pi:.2f} rad"
            )


class ClutchEvent(NamedTuple):
    """kind: engaged, released, refused (a press without effect) or forward (the forward direction was set).
    why: text for the operator."""

    kind: str
    why: str


class TeleopCommand(NamedTuple):
    """The command of one period: linear f64[3] m/s and angular f64[3] rad/s in the base frame, closure 0 open
    .. 1 closed.

    engaged: False for the single zero twist after an engagement; no gripper command belongs to it.
    events: engagements that began or ended with this command.
    """

    linear: np.ndarray
    angular: np.ndarray
    closure: float
    engaged: bool
    events: tuple[ClutchEvent, ...]
