"""Skills on the table's fixtures: button, switch, sliding door and drawer.

Each maps the state now to a goal for the hand.
"""

from __future__ import annotations

import numpy as np

from gr1_core.calvin.environment import BLOCKS, State
from gr1_core.calvin.expert.layout import SLOPE, Layout
from gr1_core.calvin.expert.motion import DOWN, REST, Goal, wrapped

_INTO_CABINET = np.array([0.0, 1.0, 0.0])
_PRESSED = 0.004  # m that the button is in when it is no longer let go


def press_button(state: State, layout: Layout) -> Goal:
    """Presses with the closed fingers from above."""
    beside = np.linalg.norm((state.tcp - layout.button)[:2])
    position = layout.button + [0, 0, 0.0 if beside < 0.015 else 0.05]
    return Goal(
        position, REST, gripper=-1.0, clearance=0.08, tolerance=0.012, speed=0.01 if beside < 0.015 else 0.016
    )


def release_button(state: State, layout: Layout) -> Goal:
    """Off the button, which must come up before it can be pressed again."""
    return Goal(layout.button + [0, 0, 0.07], REST, gripper=-1.0, approach=False)


def push_switch(state: State, layout: Layout, up: bool) -> Goal:
    """Pushes the switch's bar along the cabinet's front: up from before it, down from above it.

    The hand leans back to the robot, since the switch is at the end of its reach.
    """
    bar, yaw, pitch = layout.handle_of_switch(state), 0.9, -0.5
    if up:
        # The bar gives way only along the slope: the fingers stay before it and follow.
        if (
            abs(state.tcp[0] - bar[0]) < 0.035
            and bar[1] - state.tcp[1] < 0.05
            and -0.04 < state.tcp[2] - bar[2] < 0.02
        ):
            return Goal(
                state.tcp + 0.04 * SLOPE + [0, 0.012, 0], yaw, pitch, -1.0, approach=False, speed=0.012
            )
        return Goal(bar + [0, -0.012, 0.0], yaw, pitch, gripper=-1.0, axis=_INTO_CABINET, clearance=0.1)
    if np.linalg.norm((state.tcp - bar)[:2]) < 0.03 and state.tcp[2] - bar[2] < 0.06:
        return Goal(state.tcp - 0.04 * SLOPE - [0, 0, 0.012], yaw, pitch, -1.0, approach=False, speed=0.012)
    return Goal(bar + [0, 0.002, 0.045], yaw, pitch, gripper=-1.0, axis=DOWN, clearance=0.08, tolerance=0.012)


def push_slider(state: State, layout: Layout, left: bool) -> Goal:
    """Pushes the sliding door's handle from its side with the closed fingers."""
    handle, way = layout.handle_of_slider(state), -1.0 if left else 1.0
    start = handle - [way * 0.065, -0.01, 0]
    behind = (handle[0] - state.tcp[0]) * way
    if 0.02 < behind < 0.085 and abs(state.tcp[1] - start[1]) < 0.02 and abs(state.tcp[2] - start[2]) < 0.03:
        return Goal(
            np.array([state.tcp[0] + way * 0.05, start[1], start[2]]),
            REST,
            gripper=-1.0,
            approach=False,
            speed=0.013,
        )
    return Goal(start, REST, gripper=-1.0, axis=_INTO_CABINET, clearance=0.11, tolerance=0.012)


def open_drawer(state: State, layout: Layout) -> Goal:
    """Closes the fingers over the handle's bar and pulls."""
    handle = layout.handle_of_drawer(state) + [0, 0, 0.022]
    handle[0] = _clear_of_blocks(state, handle[0])
    yaw = 0.0
    error = state.tcp - handle
    around = (
        np.linalg.norm(error[1:]) < 0.014 and abs(error[0]) < 0.1 and abs(wrapped(state.euler[2] - yaw)) < 0.2
    )
    closed = state.gripper < 0 and state.gripper_width < 0.045
    if around:
        handle[0] = state.tcp[0]
    if around and closed:
        return Goal(handle - [0, 0.05, 0], yaw, gripper=-1.0, approach=False, speed=0.013)
    if around:
        return Goal(handle, yaw, gripper=-1.0, approach=False, speed=0.004)
    return Goal(handle, yaw, clearance=0.16)


def _clear_of_blocks(state: State, middle: float) -> float:
    """x on the handle's bar at which the hand, which reaches over the table's edge, meets no block."""
    near = [state.block(name)[0] for name in BLOCKS if -0.3 < state.block(name)[1] < -0.07]
    return min(
        np.linspace(middle - 0.07, middle + 0.07, 15),
        key=lambda x: abs(x - middle) + 10 * sum(max(0.0, 0.1 - abs(x - one)) for one in near),
    )


def close_drawer(state: State, layout: Layout) -> Goal:
    """Pushes the handle's bar from before it with the closed fingers."""
    handle = layout.handle_of_drawer(state)
    start = handle + [0, -0.06, 0.02]
    before = handle[1] - state.tcp[1]
    if 0.0 < before < 0.075 and abs(state.tcp[2] - start[2]) < 0.03 and abs(state.tcp[0] - handle[0]) < 0.09:
        return Goal(
            np.array([state.tcp[0], state.tcp[1] + 0.05, start[2]]),
            REST,
            gripper=-1.0,
            approach=False,
            speed=0.013,
        )
    return Goal(start, REST, gripper=-1.0, clearance=0.19, tolerance=0.015)
