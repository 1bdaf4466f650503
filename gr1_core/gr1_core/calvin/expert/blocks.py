"""Handling blocks: which one is in the hand, grasping one wherever it lies, letting go without taking it
along.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.calvin.environment import BLOCKS, State
from gr1_core.calvin.expert.layout import EDGE, TABLE
from gr1_core.calvin.expert.motion import REST, Goal, approach_axis, unwound, wrapped

OPEN = 0.075
"""Metres between the fingers from which on the gripper counts as open."""
TURN = 2.2
"""rad to both sides of REST that the wrist turns."""
CABINET_PITCH, DRAWER_PITCH = -0.8, -0.25


def place_of(position: np.ndarray) -> str:
    """table, drawer or cabinet: what the point is in."""
    if position[1] > 0.03 and position[2] < 0.66:
        return "cabinet"
    return "drawer" if position[1] < EDGE + 0.01 and position[2] < TABLE - 0.01 else "table"


def pitch_at(position: np.ndarray, yaw: float = REST) -> float:
    """The hand's pitch that reaches a point: it leans back from the cabinet's lid and handles and from the
    table's edge.
    """
    place = place_of(position)
    if place == "cabinet":
        return CABINET_PITCH
    lean = DRAWER_PITCH if place == "drawer" else -0.45 * np.clip((position[1] + 0.1) / 0.06, 0, 1)
    return float(lean * max(0.0, np.cos(yaw - REST)))


def held(state: State) -> str:
    """The block that the fingers are closed on, or ""."""
    if state.gripper > 0 or not 0.02 < state.gripper_width < 0.07:
        return ""
    nearest = nearest_block(state)
    return nearest if np.linalg.norm(state.block(nearest)[:3] - state.tcp) < 0.03 else ""


def nearest_block(state: State) -> str:
    return min(BLOCKS, key=lambda name: np.linalg.norm(state.block(name)[:3] - state.tcp))


def grasp_yaw(state: State, name: str, turn: float = 0.0, near: float | None = None) -> float:
    """A yaw at which the fingers close across the block, nearest to `near` (the hand's own) that leaves room
    to turn by `turn`, rad.
    """
    angle = state.block(name)[5]
    period = np.pi / 2 if name == "blue" else np.pi
    if place_of(state.block(name)) == "cabinet":
        yaw = min((unwound(angle + period * k) for k in range(4)), key=lambda yaw: abs(yaw - REST))
        # The closing fingers turn the block; a hand that is turned further meets the walls.
        return REST + float(np.clip(yaw - REST, -0.2, 0.2))
    near = unwound(state.euler[2] if near is None else near)
    choices = [unwound(angle) + period * k for k in range(-4, 5)]
    allowed = [one for one in choices if abs(one - REST) <= TURN and abs(one + turn - REST) <= TURN] or [
        unwound(angle)
    ]

    def strain(yaw: float) -> float:
        return max(0.0, abs(yaw - REST) - 1.5)

    # Across the cabinet's front the hand is narrow.
    front = 3.0 if state.block(name)[1] > -0.1 and place_of(state.block(name)) == "table" else 0.5
    return min(
        allowed,
        key=lambda one: (
            abs(one - near) + front * abs(one + turn / 2 - REST) + 3 * (strain(one) + strain(one + turn))
        ),
    )


def grasp(state: State, name: str, yaw: float, lean_for: np.ndarray | None = None) -> Goal:
    """Goes to a block with open fingers, and closes them where they are around it."""
    block = state.block(name)[:3]
    pitch = min(pitch_at(block, yaw), 0.0 if lean_for is None else pitch_at(lean_for, yaw))
    lift = {"cabinet": 0.006, "drawer": 0.012, "table": 0.004}[place_of(block)]
    goal = Goal(
        block + [0, 0, lift], yaw, pitch, 1.0, clearance=0.12 if pitch == CABINET_PITCH else 0.57 - block[2]
    )
    error = state.tcp - goal.position
    near = np.linalg.norm(error) < 0.009 and abs(wrapped(state.euler[2] - yaw)) < 0.12
    closing = state.gripper < 0 and np.linalg.norm(error) < 0.02
    if near or closing:
        return Goal(goal.position, yaw, pitch, -1.0, approach=False, speed=0.004)
    return goal


def level_pitch(state: State, name: str) -> float:
    """The hand's pitch at which the held block is level: it was grasped lying, with the hand at whatever
    pitch.
    """
    up = Rotation.from_euler("xyz", state.block(name)[3:6]).as_matrix()
    up = up[:, 2] if abs(up[2, 2]) > 0.45 else up[:, np.argmax(np.abs(up[2]))]
    up = up * np.sign(up[2])
    yaw = state.euler[2]
    return float(
        np.clip(
            state.euler[1] - np.arctan2(up @ [np.cos(yaw), np.sin(yaw), 0], up[2]), CABINET_PITCH - 0.1, 0.1
        )
    )


def release(state: State, pitch: float, yaw: float) -> Goal:
    """Opens the fingers on the spot, and backs off along the hand's axis once they are open."""
    is_open = state.gripper > 0 and state.gripper_width > OPEN
    away = state.tcp - 0.06 * approach_axis(pitch, yaw) if is_open and state.tcp[2] < 0.62 else state.tcp
    return Goal(away, yaw, pitch, 1.0, approach=False)


def near_open_fingers(state: State, name: str) -> bool:
    """Whether a block was let go a moment ago: the fingers are still about it and not open yet."""
    return bool(
        np.linalg.norm(state.block(name)[:3] - state.tcp) < 0.03
        and not (state.gripper > 0 and state.gripper_width > OPEN)
    )


def in_the_way(state: State) -> bool:
    """Whether a block is between the fingers or right under them: closing them would grasp it."""
    return bool(np.linalg.norm(state.block(nearest_block(state))[:3] - state.tcp) < 0.045)
