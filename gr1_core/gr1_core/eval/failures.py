"""Why an episode in the twin failed, derived from its states: the kinds of failure that the paper names."""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.catalogue import SLOTS
from gr1_core.sim.scene import BAR_HEIGHT, BAR_OFFSET
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import find_task

FAILURE_KINDS = (
    "wrong object",
    "missed grasp",
    "dropped",
    "misplaced",
    "drawer not opened",
    "drawer not closed",
    "nothing reached",
)
_MIN_RISE = 0.03  # m that an object must rise in the hand to count as grasped
_MAX_HAND_DISTANCE = 0.07  # m between a held object's origin and the point between the fingertips
_REACH_DISTANCE = 0.08  # m between the hand and the target that it has reached
_MIN_DRAWER_MOTION = 0.01  # m that the drawer must move to count as touched


def failure_kind(task: str, states: np.ndarray) -> str:
    """One of FAILURE_KINDS for a failed episode of the task. states: f64[T, state.SIZE], one per control
    period.

    The grasped object decides: the right one was dropped or misplaced, or it was a wrong one. If nothing was
    grasped, the object that the hand came near to decides.
    """
    wanted, views = find_task(task), [StateView(state) for state in states]
    hand = np.array([view.measured[:3] for view in views])
    closing = np.array([view.closure_target > 0.5 for view in views])
    places = {name: np.array([view.position(name) for view in views]) for name in SLOTS}
    far = {name: np.linalg.norm(place - hand, axis=1) for name, place in places.items()}
    rise = {
        name: np.where(far[name] < _MAX_HAND_DISTANCE, place[:, 2] - place[0, 2], 0.0).max()
        for name, place in places.items()
    }
    grasped = {name for name in SLOTS if rise[name] > _MIN_RISE}
    if wanted.slot in grasped:
        return "dropped" if wanted.kind == "pick" else "misplaced"
    if grasped:
        return "wrong object"
    if wanted.slot is None:
        drawer = np.array([view.drawer for view in views])
        bar = np.array(
            [(view.cabinet[0] - view.drawer - BAR_OFFSET, view.cabinet[1], BAR_HEIGHT) for view in views]
        )
        reached = (
            np.linalg.norm(bar - hand, axis=1).min() < _REACH_DISTANCE or np.ptp(drawer) > _MIN_DRAWER_MOTION
        )
        missed = "drawer not opened" if wanted.kind == "open" else "drawer not closed"
    else:
        reached, missed = far[wanted.slot].min() < _REACH_DISTANCE, "missed grasp"
    if reached:
        return missed
    closed_on = [name for name in SLOTS if np.where(closing, far[name], np.inf).min() < _REACH_DISTANCE]
    return "wrong object" if closed_on else "nothing reached"
