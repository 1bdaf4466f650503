"""Disturbances of the arm during a demonstration: they show states beside the expert's path and the way back.

DART (Laskey et al. 2017): the noisy command is executed, the label stays the expert's command for the
observed state. The expert is right from any state, so every step of such an episode is a valid example.
"""

from __future__ import annotations

import numpy as np

from gr1_core.pose import Pose
from gr1_core.sim.expert import Command
from gr1_core.sim.objects.catalogue import ObjectSet
from gr1_core.sim.poses import pointing_down

UNDISTURBED_SHARE = 0.2  # share of the episodes without disturbances
RANDOM_START_SHARE = 0.5  # share of the episodes that start in the upper workspace instead of at home
_START_MIN, _START_MAX = np.array([0.27, -0.34, 0.14]), np.array([0.56, 0.30, 0.36])  # m
_START_YAW = 1.0  # rad to either side
_SIDE_CLEARANCE, _TOP_CLEARANCE = 0.06, 0.08  # m between a start and a distractor: beside it, or above it

# Smooth noise: largest standard deviation in m/s and rad/s, correlation time in s, mean time in s with and
# without it
_DRIFT = np.array([0.030, 0.030, 0.030, 0.04, 0.04, 0.15])
_CORRELATION_TIME, _MEAN_SPELL = 0.5, 2.0
# Pushes: per second, speed in m/s, duration in s; 1 to 3 cm with acceleration and deceleration
_PUSH_RATE, _PUSH_SPEED, _PUSH_SECONDS = 0.15, (0.08, 0.20), (0.15, 0.30)
# Gripper slips, during which the fingers do the opposite of the command: per second, duration in s
_SLIP_RATE, _SLIP_SECONDS = 0.06, (0.3, 1.0)


class Disturbance:
    """Noise of one episode. Call it with a state and the expert's command; it returns the command to execute.

    period: control period in seconds.
    """

    def __init__(self, rng: np.random.Generator, period: float):
        self._rng, self._period = rng, period
        self._strength = float(rng.uniform(0.3, 1.0)) if rng.random() >= UNDISTURBED_SHARE else 0.0
        self._drifts = bool(rng.random() < 0.5)
        self._drift, self._push = np.zeros(6), np.zeros(3)
        self._push_left = self._slip_left = 0.0

    def __call__(self, state, command: Command) -> Command:
        if not self._strength:
            return command
        rng, period = self._rng, self._period
        if rng.random() < period / _MEAN_SPELL:
            self._drifts = not self._drifts
        keep = np.exp(-period / _CORRELATION_TIME)
        deviation = _DRIFT * self._strength * self._drifts
        self._drift = keep * self._drift + np.sqrt(1 - keep**2) * deviation * rng.normal(size=6)
        self._push_left, self._slip_left = self._push_left - period, self._slip_left - period
        if rng.random() < _PUSH_RATE * period:
            direction = rng.normal(size=3)
            self._push = direction / np.linalg.norm(direction) * rng.uniform(*_PUSH_SPEED)
            self._push_left = float(rng.uniform(*_PUSH_SECONDS))
        if rng.random() < _SLIP_RATE * period:
            self._slip_left = float(rng.uniform(*_SLIP_SECONDS))
        push = self._push if self._push_left > 0.0 else 0.0
        closure = 1.0 - command.closure if self._slip_left > 0.0 else command.closure
        return Command(command.linear + self._drift[:3] + push, command.angular + self._drift[3:], closure)


def sample_start_pose(rng: np.random.Generator, objects: ObjectSet) -> Pose | None:
    """Samples the initial gripper pose of an episode: above the table, clear of distractors, pointing down.

    None: the home pose.
    """
    if rng.random() >= RANDOM_START_SHARE:
        return None
    position = rng.uniform(_START_MIN, _START_MAX)
    while _is_blocked(position, objects):
        position = rng.uniform(_START_MIN, _START_MAX)
    return Pose(position, pointing_down(float(rng.uniform(-_START_YAW, _START_YAW))).as_quat())


def _is_blocked(position: np.ndarray, objects: ObjectSet) -> bool:
    return any(
        np.hypot(position[0] - item.x, position[1] - item.y) < item.radius + _SIDE_CLEARANCE
        and position[2] < item.height + _TOP_CLEARANCE
        for item in objects.distractors
    )
