"""A scripted expert: the right action from any state of the twin, for demonstrations, DAgger and as the stack's reference policy.

It sees the poses of things and says twists. There is no script with a clock: a funnel over each goal turns the distance that is left
into a height, so that the labels change smoothly with the scene, and whether the hand holds something is read off the state. The one
thing it remembers is the last measured closure, to notice that the fingers have stopped on something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gr1_core.sim import tasks
from gr1_core.sim.objects.catalogue import STANDARD, Props
from gr1_core.sim.poses import pointing_down, yaw_of
from gr1_core.sim.scene import BAR_HEIGHT, BAR_OFFSET, PLATE_FLOOR
from gr1_core.sim.state import View

SPEED, TURN = 0.20, 0.80  # m/s, rad/s
_GAIN, _TURN_GAIN = 2.5, 2.5  # 1/s: with the loop's delay of 0.15 s just without overshoot
_LOWEST = 0.030  # m: the fingertips swing 3 cm below the point between them while they close
_LIFT, _CARRY, _RELEASE = (
    0.16,
    0.10,
    0.006,
)  # m: after a pick, above the goal while carrying, above the rest when letting go
_HOOK = 0.038  # m in front of the bar, so that the thumb comes down behind it
_PULLED = 0.145  # m


@dataclass(frozen=True)
class Command:
    """linear f64[3] m/s, angular f64[3] rad/s, both in the base frame; closure 0 open .. 1 closed."""

    linear: np.ndarray
    angular: np.ndarray
    closure: float


class Expert:
    """Solves one task with these props. `act` is called every control period with the latest state."""

    def __init__(self, task: str, control_hz: float = 10.0, props: Props = STANDARD):
        self.task = tasks.find(task)
        self._thing = props[self.task.vegetable] if self.task.vegetable else None
        self._period = 1.0 / control_hz
        self._solve = {"open": self._open, "close": self._close}.get(self.task.kind, self._vegetable)
        self._last_closure: float | None = None
        self._still = 0.0

    def act(self, state) -> Command:
        """State vector (Twin.state()) -> the command for the next control period."""
        view = View(state)
        moved = math.inf if self._last_closure is None else abs(view.closure - self._last_closure)
        self._still = self._still + self._period if moved < 0.12 * self._period else 0.0
        self._last_closure = view.closure
        return self._solve(view)

    # Vegetables

    def _vegetable(self, view: View) -> Command:
        kind, name = self.task.kind, self.task.vegetable
        hand, thing, rest = view.measured[:3], view.place(name), self._thing.rest
        grasp = thing + [0.0, 0.0, self._thing.grasp]
        grasp[2] = max(grasp[2], _LOWEST)
        if kind != "pick":
            goal = view.place("plate") + (
                [0.0, 0.0, PLATE_FLOOR + rest] if kind == "put" else [*tasks.ASIDE, rest]
            )
            off = thing - goal
            if np.hypot(*off[:2]) < (0.018 if view.closure_target > 0.5 else 0.05) and abs(off[2]) < 0.012:
                return self._leave(view, grasp)
        closing = view.closure_target > 0.5
        in_hand = np.linalg.norm(hand - grasp) < (0.040 if closing else 0.013)
        turn = self._yaw(view) if self._thing.long else 0.0
        aligned = closing or abs(_wrap(turn - yaw_of(view.measured[3:]))) < 0.12
        if not (in_hand and aligned):
            return self._move(view, grasp, turn, closure=0.0)
        lifted = hand[2] - grasp[2] > -0.02 and thing[2] > rest + PLATE_FLOOR + 0.02
        if not (closing and (lifted or self._holds(view))):
            return self._move(view, grasp, turn, closure=1.0)
        if kind == "pick":
            return self._move(view, np.array([*view.commanded[:2], rest + _LIFT]), None, closure=1.0)
        # Where the hand must be for the vegetable, as it lies in the hand, to be just above its goal.
        return self._move(
            view,
            goal + view.commanded[:3] - thing + [0.0, 0.0, _RELEASE],
            None,
            closure=1.0,
            height=_CARRY,
            slack=0.012,
        )

    def _leave(self, view: View, grasp: np.ndarray) -> Command:
        """Lets go, then rises out of the way."""
        opened = np.clip((0.30 - view.closure) / 0.20, 0.0, 1.0)
        above = np.array([*view.commanded[:2], grasp[2] + 0.13])
        command = self._move(view, above, None, closure=0.0)
        return Command(command.linear * opened, command.angular, 0.0)

    def _yaw(self, view: View) -> float:
        """The heading nearest to the hand's own that puts the fingers across the thing's length."""
        x, y, _ = view.axis(self.task.vegetable)
        along, now = math.atan2(-x, y), yaw_of(view.commanded[3:])
        return now + _wrap(2 * (along - now)) / 2

    # Drawer

    def _open(self, view: View) -> Command:
        bar = self._bar(view)
        closing = view.closure_target > 0.5
        hook = bar - [_HOOK, 0.0, 0.0]
        off = np.abs(view.measured[:3] - hook)
        around = (
            off[0] < 0.045 and off[1] < 0.03 and off[2] < 0.03 if closing else np.linalg.norm(off) < 0.012
        )
        if not around:
            return self._move(view, hook, 0.0, closure=0.0)
        goal = np.array([view.commanded[0], bar[1], bar[2]])
        if closing and (self._holds(view) or view.drawer > 0.02):
            goal[0] -= max(0.0, _PULLED - view.drawer)
        return self._move(view, goal, 0.0, closure=1.0, height=0.0)

    def _close(self, view: View) -> Command:
        bar = self._bar(view)
        off = view.commanded[:3] - bar
        beside = np.clip(1.2 - max(abs(off[1]), abs(off[2])) / 0.012, 0.0, 1.0) * (off[0] < 0.0)
        goal = bar - [0.065 - beside * (0.075 + min(0.05, view.drawer)), 0.0, 0.0]
        if view.drawer < 0.5 * tasks.CLOSED:
            goal = view.commanded[:3]
        return self._move(view, goal, 0.0, closure=1.0, height=0.0 if beside else 0.13)

    def _bar(self, view: View) -> np.ndarray:
        return np.array([view.cabinet[0] - view.drawer - BAR_OFFSET, view.cabinet[1], BAR_HEIGHT])

    # Motion

    def _holds(self, view: View) -> bool:
        return view.closure > 0.12 and self._still >= 0.15

    def _move(
        self, view: View, goal, yaw: float | None, closure: float, height: float = 0.13, slack: float = 0.006
    ) -> Command:
        """Towards `goal` along a funnel: as high above it as three times what is left sideways, at most `height`.

        Below the funnel the hand rises before it travels. yaw None keeps the heading. Distances in metres.
        """
        here = view.commanded[:3]
        aside = goal[:2] - here[:2]
        far = float(np.hypot(*aside))
        level = goal[2] + np.clip(3.0 * (far - slack), 0.0, height)
        below = np.clip((level - here[2]) / 0.04 - 0.25, 0.0, 1.0)
        velocity = _GAIN * np.array([*(aside * (1.0 - below)), level - here[2]])
        velocity *= min(1.0, SPEED / max(np.linalg.norm(velocity), 1e-9))
        rotation = view.pose("commanded").rotation
        heading = pointing_down(yaw_of(view.commanded[3:]) if yaw is None else yaw)
        turn = _TURN_GAIN * (heading * rotation.inv()).as_rotvec()
        turn *= min(1.0, TURN / max(np.linalg.norm(turn), 1e-9))
        return Command(velocity, turn, closure)


def _wrap(angle: float) -> float:
    """Into [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def main(argv: list[str] | None = None) -> None:
    """`python -m gr1_core.sim.expert`: the success table over unseen layouts."""
    from gr1_core.sim.rollout import evaluate

    evaluate(argv)


if __name__ == "__main__":
    main()
