"""What disturbs the arm in a demonstration, so that states beside the expert's path are seen together with the way back.

DART (Laskey et al. 2017): the noisy command is carried out, the label stays the expert's command for the state that was seen. The
reactive expert is right from any state, so every step of such an episode is a good example.
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.expert import Command
from gr1_core.sim.objects.catalogue import Props
from gr1_core.sim.poses import Pose, pointing_down

CLEAN = 0.2  # of the episodes: nothing disturbs them
ELSEWHERE = 0.5  # of the episodes begin somewhere in the upper workspace instead of at home
_START_MIN, _START_MAX = np.array([0.27, -0.34, 0.14]), np.array([0.56, 0.30, 0.36])  # m
_START_YAW = 1.0  # rad to either side
_BESIDE, _ABOVE = 0.06, 0.08  # m that a start keeps from a thing that stands around: to its side, or over it

_DRIFT = np.array(
    [0.030, 0.030, 0.030, 0.04, 0.04, 0.15]
)  # m/s, rad/s: standard deviation of the smooth noise at its strongest
_MEMORY = 0.5  # s after which the smooth noise has forgotten
_SPELL = 2.0  # s, mean of the times with and without it
_PUSHES, _PUSH_SPEED, _PUSH_SECONDS = (
    0.15,
    (0.08, 0.20),
    (0.15, 0.30),
)  # a second, m/s, s: 1 to 3 cm with the ramps before and after
_SLIPS, _SLIP_SECONDS = 0.06, (0.3, 1.0)  # a second, s: the fingers do the opposite of what they are told


class Disturbance:
    """The noise of one episode: call it with a state and the expert's command for what shall be carried out. period: s."""

    def __init__(self, rng: np.random.Generator, period: float):
        self._rng, self._period = rng, period
        self._strength = float(rng.uniform(0.3, 1.0)) if rng.random() >= CLEAN else 0.0
        self._drifts = bool(rng.random() < 0.5)
        self._drift, self._push = np.zeros(6), np.zeros(3)
        self._push_left = self._slip_left = 0.0

    def __call__(self, state, command: Command) -> Command:
        if not self._strength:
            return command
        rng, period = self._rng, self._period
        if rng.random() < period / _SPELL:
            self._drifts = not self._drifts
        keep = np.exp(-period / _MEMORY)
        aim = _DRIFT * self._strength * self._drifts
        self._drift = keep * self._drift + np.sqrt(1 - keep**2) * aim * rng.normal(size=6)
        self._push_left, self._slip_left = self._push_left - period, self._slip_left - period
        if rng.random() < _PUSHES * period:
            direction = rng.normal(size=3)
            self._push = direction / np.linalg.norm(direction) * rng.uniform(*_PUSH_SPEED)
            self._push_left = float(rng.uniform(*_PUSH_SECONDS))
        if rng.random() < _SLIPS * period:
            self._slip_left = float(rng.uniform(*_SLIP_SECONDS))
        push = self._push if self._push_left > 0.0 else 0.0
        closure = 1.0 - command.closure if self._slip_left > 0.0 else command.closure
        return Command(command.linear + self._drift[:3] + push, command.angular + self._drift[3:], closure)


def start(rng: np.random.Generator, props: Props) -> Pose | None:
    """Where an episode begins: the hand somewhere above the table, clear of what stands around, pointing down; None: at home."""
    if rng.random() >= ELSEWHERE:
        return None
    place = rng.uniform(_START_MIN, _START_MAX)
    while _touches(place, props):
        place = rng.uniform(_START_MIN, _START_MAX)
    return Pose(place, pointing_down(float(rng.uniform(-_START_YAW, _START_YAW))).as_quat())


def _touches(place: np.ndarray, props: Props) -> bool:
    return any(
        np.hypot(place[0] - still.x, place[1] - still.y) < still.radius + _BESIDE
        and place[2] < still.height + _ABOVE
        for still in props.distractors
    )
