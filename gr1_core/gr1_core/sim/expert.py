"""Scripted expert: maps object poses to twist and gripper commands, from any state of the twin.

It provides demonstrations, DAgger labels and the reference policy of the stack. It has no time script: a
funnel over each goal turns the remaining horizontal distance into a height, so that the labels change
smoothly with the scene, and a grasp is recognised from the state. Its only memory is the last measured
closure, to detect that the fingers have stopped on an object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gr1_core.sim import tasks
from gr1_core.sim.objects.catalogue import STANDARD_OBJECTS, ObjectSet
from gr1_core.sim.poses import pointing_down, yaw_of
from gr1_core.sim.scene import BAR_HEIGHT, BAR_OFFSET, PLATE_FLOOR
from gr1_core.sim.state import StateView

MAX_LINEAR_SPEED, MAX_ANGULAR_SPEED = 0.20, 0.80  # m/s, rad/s
_LINEAR_GAIN, _ANGULAR_GAIN = 2.5, 2.5  # 1/s: just below overshoot with the loop's delay of 0.15 s
_MIN_GRASP_HEIGHT = 0.030  # m: the fingertips swing 3 cm below the point between them while they close
_HOVER_HEIGHT = 0.13  # m above a goal during the approach
_LIFT_HEIGHT = 0.16  # m above rest after a pick
_CARRY_HEIGHT = 0.10  # m above the goal while carrying
_RELEASE_HEIGHT = 0.006  # m above rest when the gripper opens
_HANDLE_STANDOFF = 0.038  # m in front of the bar, so that the thumb comes down behind it
_PULLED = 0.145  # m: opening at which pulling stops


@dataclass(frozen=True)
class Command:
    """Twist and gripper command: linear f64[3] m/s, angular f64[3] rad/s, base frame; closure 0 open .. 1
    closed.
    """

    linear: np.ndarray
    angular: np.ndarray
    closure: float


class Expert:
    """Solves one task with these objects. Call `act` every control period with the latest state.

    Raises ValueError for an unknown task.
    """

    def __init__(self, task: str, control_hz: float = 10.0, objects: ObjectSet = STANDARD_OBJECTS):
        self.task = tasks.find_task(task)
        self._object = objects[self.task.slot] if self.task.slot else None
        self._period = 1.0 / control_hz
        drawer_skills = {"open": self._open_drawer, "close": self._close_drawer}
        self._skill = drawer_skills.get(self.task.kind, self._move_object)
        self._last_closure: float | None = None
        self._still_seconds = 0.0

    def act(self, state) -> Command:
        """State vector (Twin.state()) -> the command for the next control period."""
        view = StateView(state)
        moved = math.inf if self._last_closure is None else abs(view.closure - self._last_closure)
        self._still_seconds = self._still_seconds + self._period if moved < 0.12 * self._period else 0.0
        self._last_closure = view.closure
        return self._skill(view)

    # Objects

    def _move_object(self, view: StateView) -> Command:
        kind, slot = self.task.kind, self.task.slot
        gripper, position, rest = view.measured[:3], view.position(slot), self._object.rest_height
        grasp = position + [0.0, 0.0, self._object.grasp_height]
        grasp[2] = max(grasp[2], _MIN_GRASP_HEIGHT)
        if kind != "pick":
            goal = view.position("plate") + (
                [0.0, 0.0, PLATE_FLOOR + rest] if kind == "put" else [*tasks.SET_DOWN_OFFSET, rest]
            )
            off = position - goal
            if np.hypot(*off[:2]) < (0.018 if view.closure_target > 0.5 else 0.05) and abs(off[2]) < 0.012:
                return self._release(view, grasp)
        closing = view.closure_target > 0.5
        at_grasp = np.linalg.norm(gripper - grasp) < (0.040 if closing else 0.013)
        yaw = self._grasp_yaw(view) if self._object.elongated else 0.0
        aligned = closing or abs(_wrap(yaw - yaw_of(view.measured[3:]))) < 0.12
        if not (at_grasp and aligned):
            return self._move_to(view, grasp, yaw, closure=0.0)
        lifted = gripper[2] - grasp[2] > -0.02 and position[2] > rest + PLATE_FLOOR + 0.02
        if not (closing and (lifted or self._is_grasping(view))):
            return self._move_to(view, grasp, yaw, closure=1.0)
        if kind == "pick":
            return self._move_to(
                view, np.array([*view.commanded[:2], rest + _LIFT_HEIGHT]), None, closure=1.0
            )
        # The gripper position at which the object, as it lies in the gripper, is just above its goal
        above_goal = goal + view.commanded[:3] - position + [0.0, 0.0, _RELEASE_HEIGHT]
        return self._move_to(view, above_goal, None, closure=1.0, height=_CARRY_HEIGHT, slack=0.012)

    def _release(self, view: StateView, grasp: np.ndarray) -> Command:
        """Opens the gripper, then rises."""
        opened = np.clip((0.30 - view.closure) / 0.20, 0.0, 1.0)
        above = np.array([*view.commanded[:2], grasp[2] + _HOVER_HEIGHT])
        command = self._move_to(view, above, None, closure=0.0)
        return Command(command.linear * opened, command.angular, 0.0)

    def _grasp_yaw(self, view: StateView) -> float:
        """The yaw nearest to the gripper's that puts the fingers across the object's long axis."""
        x, y, _ = view.y_axis(self.task.slot)
        along, now = math.atan2(-x, y), yaw_of(view.commanded[3:])
        return now + _wrap(2 * (along - now)) / 2

    # Drawer

    def _open_drawer(self, view: StateView) -> Command:
        bar = self._bar_position(view)
        closing = view.closure_target > 0.5
        grasp = bar - [_HANDLE_STANDOFF, 0.0, 0.0]
        off = np.abs(view.measured[:3] - grasp)
        if closing:
            at_bar = off[0] < 0.045 and off[1] < 0.03 and off[2] < 0.03
        else:
            at_bar = np.linalg.norm(off) < 0.012
        if not at_bar:
            return self._move_to(view, grasp, 0.0, closure=0.0)
        goal = np.array([view.commanded[0], bar[1], bar[2]])
        if closing and (self._is_grasping(view) or view.drawer > 0.02):
            goal[0] -= max(0.0, _PULLED - view.drawer)
        return self._move_to(view, goal, 0.0, closure=1.0, height=0.0)

    def _close_drawer(self, view: StateView) -> Command:
        bar = self._bar_position(view)
        off = view.commanded[:3] - bar
        beside = np.clip(1.2 - max(abs(off[1]), abs(off[2])) / 0.012, 0.0, 1.0) * (off[0] < 0.0)
        goal = bar - [0.065 - beside * (0.075 + min(0.05, view.drawer)), 0.0, 0.0]
        if view.drawer < 0.5 * tasks.DRAWER_CLOSED:
            goal = view.commanded[:3]
        return self._move_to(view, goal, 0.0, closure=1.0, height=0.0 if beside else _HOVER_HEIGHT)

    def _bar_position(self, view: StateView) -> np.ndarray:
        return np.array([view.cabinet[0] - view.drawer - BAR_OFFSET, view.cabinet[1], BAR_HEIGHT])

    # Motion

    def _is_grasping(self, view: StateView) -> bool:
        return view.closure > 0.12 and self._still_seconds >= 0.15

    def _move_to(
        self,
        view: StateView,
        goal,
        yaw: float | None,
        closure: float,
        height: float = _HOVER_HEIGHT,
        slack: float = 0.006,
    ) -> Command:
        """Moves towards `goal` along a funnel: its height is three times the horizontal distance, at most
        `height`.

        Below the funnel the gripper rises before it travels. slack: horizontal distance at which the funnel
        ends. yaw: None keeps the current one. Distances in metres.
        """
        position = view.commanded[:3]
        horizontal = goal[:2] - position[:2]
        distance = float(np.hypot(*horizontal))
        level = goal[2] + np.clip(3.0 * (distance - slack), 0.0, height)
        below = np.clip((level - position[2]) / 0.04 - 0.25, 0.0, 1.0)
        velocity = _LINEAR_GAIN * np.array([*(horizontal * (1.0 - below)), level - position[2]])
        velocity *= min(1.0, MAX_LINEAR_SPEED / max(np.linalg.norm(velocity), 1e-9))
        rotation = view.pose("commanded").rotation
        target = pointing_down(yaw_of(view.commanded[3:]) if yaw is None else yaw)
        turn = _ANGULAR_GAIN * (target * rotation.inv()).as_rotvec()
        turn *= min(1.0, MAX_ANGULAR_SPEED / max(np.linalg.norm(turn), 1e-9))
        return Command(velocity, turn, closure)


def _wrap(angle: float) -> float:
    """Wraps an angle into [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
