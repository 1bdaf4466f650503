"""What the clutch is told once, and what it gives: settings, commands, events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gr1_teleop.filters import Smoothing


@dataclass(frozen=True)
class Settings:
    """m, m/s, rad, rad/s, s. Raises ValueError for what cannot be.

    scale: metres of the arm for one of the hand. rotation: whether the hand turns the arm.
    max_linear, max_angular: speeds, never above the rig's limits whatever they are here.
    position, orientation: how the hand's tremor is taken out.
    jump, jump_angle: more than this between two samples is no hand's motion. silence_s: a hand that says nothing for so long has gone.
    stale_s: samples that are older on arrival are not followed; it bounds how late an opened hand is noticed.
    press, open: squeeze 0..1 from which it counts as pressed, and below which as open again.
    lead, lead_angle: how far the goal may be ahead of the arm, which is how far the arm may go on after the hand has stopped.
    gain: share of the way to the goal that is made in one period. lag_s: age of the commanded pose when a command takes effect.
    """

    scale: float = 0.8
    rotation: bool = True
    max_linear: float = math.inf
    max_angular: float = math.inf
    position: Smoothing = Smoothing(rest=2.0, slope=40.0, speed=5.0)
    orientation: Smoothing = Smoothing(rest=2.0, slope=6.0, speed=5.0)
    jump: float = 0.05
    jump_angle: float = math.radians(35.0)
    silence_s: float = 0.15
    stale_s: float = 0.25
    press: float = 0.7
    open: float = 0.4
    lead: float = 0.15
    lead_angle: float = 0.6
    # With these a hand that stops is not overshot as long as commands take effect within 40 ms (2 mm at 60 ms), at 10 Hz and behind the
    # Gen2's ramp; the arm is 0.17 s behind a hand that moves. More gain or a lag that is not there makes the speed ring.
    gain: float = 0.6
    lag_s: float = 0.03

    def __post_init__(self):
        if not 0.5 <= self.scale <= 1.0:
            raise ValueError(f"scale is {self.scale}: give 0.5 .. 1 metres of the arm for one of the hand")
        for name in (
            "max_linear",
            "max_angular",
            "jump",
            "jump_angle",
            "silence_s",
            "stale_s",
            "lead",
            "lead_angle",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a number above zero")
        if not 0 < self.open < self.press <= 1:
            raise ValueError(f"open is {self.open}, press is {self.press}: give 0 < open < press <= 1")
        if not 0 < self.gain <= 1:
            raise ValueError(f"gain is {self.gain}: give a share above 0, at most 1")
        if not 0 <= self.lag_s < math.inf:
            raise ValueError(f"lag_s is {self.lag_s}: give 0 or more seconds")
        if self.lead_angle >= math.pi:
            raise ValueError(
                f"lead_angle is {self.lead_angle}: give less than half a turn, {math.pi:.2f} rad"
            )


class Event(NamedTuple):
    """kind: engaged, released, refused (a press or a stick that has no effect) or forward (it has been set); why: in words."""

    kind: str
    why: str


class Command(NamedTuple):
    """One period's command: linear f64[3] m/s, angular f64[3] rad/s in the base frame, closure 0 open .. 1 closed.

    engaged: False for the one zero twist after an engagement; then the fingers are not to be told anything.
    events: engagements that began or ended with this command.
    """

    linear: np.ndarray
    angular: np.ndarray
    closure: float
    engaged: bool
    events: tuple[Event, ...]
