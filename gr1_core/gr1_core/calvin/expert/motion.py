"""From a goal for the hand to a relative action: an approach along an axis, wide at its far end and narrow at
the goal, and a smooth servo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core.calvin.environment import State

TRANSLATION, ROTATION = 0.02, 0.05  # m and rad of an action of 1
ROLL = 3.1
"""Of a hand that points down, as at the start of a chain; pi would let the measured angle jump between +pi
and -pi.
"""
REST = np.pi / 2
"""The hand's yaw at the start of a chain, in the middle of what the wrist can turn."""
DOWN = np.array([0.0, 0.0, -1.0])
TRAVEL = 0.57
"""Height of the hand at which it, and a block in it, pass over everything on the table, m."""
_GAIN, _TURN_GAIN = 0.3, 0.3
_SPEED, _TURN = 0.016, 0.045  # m and rad a control period, at most
_LEASH, _TURN_LEASH = 0.03, 0.2  # m and rad that the simulator's target may be away from the hand


@dataclass(frozen=True)
class Goal:
    """Where the hand shall be. position: m; pitch, yaw: rad, roll is ROLL; gripper: +1 open or -1 closed.

    approach: whether to come along the hand's axis from afar; without it the hand goes straight. clearance:
    how far up the axis the approach begins, m. tolerance: how far beside the axis the last centimetres may
    begin, m. speed: m a control period, at most.
    """

    position: np.ndarray
    yaw: float
    pitch: float = 0.0
    gripper: float = 1.0
    approach: bool = True
    axis: np.ndarray | None = None
    clearance: float = 0.12
    tolerance: float = 0.008
    speed: float = _SPEED

    def along(self) -> np.ndarray:
        """f64[3]: unit vector of the approach."""
        return approach_axis(self.pitch, self.yaw) if self.axis is None else self.axis


@dataclass(frozen=True)
class Command:
    """delta: f64[6], relative action. gripper: +1 open or -1 closed."""

    delta: np.ndarray
    gripper: float


def approach_axis(pitch: float, yaw: float) -> np.ndarray:
    """Where a hand points; pitch 0 is down, a negative pitch points the fingers ahead (+y at the yaw of pi /
    2).
    """
    return np.array([-np.sin(pitch) * np.cos(yaw), -np.sin(pitch) * np.sin(yaw), -np.cos(pitch)])


def wrapped(angle):
    """The same angle in -pi .. pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def unwound(yaw: float) -> float:
    """The same yaw within pi of REST: the wrist's way from one yaw to another never leads over REST + pi."""
    return REST + float(wrapped(yaw - REST))


def command(goal: Goal, state: State, target: np.ndarray) -> Command:
    """The action that goes to a goal from anywhere.

    target: f64[6], the simulator's own target pose, kept within reach of the hand.
    """
    error = goal.position - state.tcp
    turn = wrapped(np.array([ROLL, goal.pitch, goal.yaw]) - state.euler)
    turn[2] = unwound(goal.yaw) - unwound(state.euler[2])
    if goal.approach:
        error = _approach(goal, state, error, turn)
    step = _shorten(_GAIN * error, goal.speed)
    step = state.tcp + _shorten(target[:3] + step - state.tcp, _LEASH) - target[:3]
    rotation = np.clip(_TURN_GAIN * turn, -_TURN, _TURN)
    drift = wrapped(target[3:] - state.euler)
    rotation = np.clip(drift + rotation, -_TURN_LEASH, _TURN_LEASH) - drift
    delta = np.concatenate([step / TRANSLATION, rotation / ROTATION])
    return Command(np.clip(delta, -1, 1), goal.gripper)


def _approach(goal: Goal, state: State, error: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The error that leads through the funnel: sideways far from the goal, and along the axis once beside it
    by little.

    A goal that is not come to from above is passed to above the blocks as well.
    """
    axis = goal.along()
    ahead = float(error @ axis)
    sideways = error - ahead * axis
    # An angle counts like the distance that it makes at the fingers.
    beside = np.hypot(np.linalg.norm(sideways), 0.04 * np.linalg.norm(turn[1:]))
    offset = float(np.clip(2.0 * (beside - goal.tolerance), 0, goal.clearance))
    too_deep = offset - ahead
    gate = np.clip(1 - too_deep / 0.05, 0, 1)
    wanted = gate * sideways + (ahead - offset) * axis
    if axis[2] > -0.9:
        height = goal.position[2] + np.clip(
            1.5 * (abs(error[0]) - 0.03), 0, max(0.0, TRAVEL - goal.position[2])
        )
        too_low = height - state.tcp[2]
        if too_low > 0:
            wanted[:2] *= np.clip(1 - too_low / 0.04, 0, 1)
            wanted[2] = max(wanted[2], too_low)
    return wanted


def _shorten(vector: np.ndarray, length: float) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector if norm <= length else vector * (length / norm)
