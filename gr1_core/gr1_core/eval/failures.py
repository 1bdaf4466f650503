"""Why an episode in the twin failed, judged from what happened: the kinds of failure that the paper names."""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.catalogue import SLOTS
from gr1_core.sim.scene import BAR_HEIGHT, BAR_OFFSET
from gr1_core.sim.state import View
from gr1_core.sim.tasks import find

KINDS = (
    "wrong object",
    "missed grasp",
    "dropped",
    "misplaced",
    "drawer not opened",
    "drawer not closed",
    "nothing reached",
)
_RAISED = 0.03  # m that a thing must rise in the hand to count as grasped
_IN_HAND = 0.07  # m between a thing's origin and the point between the fingertips
_REACHED = 0.08  # m between the hand and what it was sent to
_TOUCHED = 0.01  # m that the drawer must move


def why(task: str, states: np.ndarray) -> str:
    """One of KINDS for a failed episode of the task: states f64[T, state.SIZE], one a control period.

    What was grasped decides: the right thing (then it was dropped, or put down in the wrong place), or another. Where nothing was,
    it is what the hand reached for.
    """
    wanted, views = find(task), [View(state) for state in states]
    hand = np.array([view.measured[:3] for view in views])
    closing = np.array([view.closure_target > 0.5 for view in views])
    places = {name: np.array([view.place(name) for view in views]) for name in SLOTS}
    far = {name: np.linalg.norm(place - hand, axis=1) for name, place in places.items()}
    rise = {
        name: np.where(far[name] < _IN_HAND, place[:, 2] - place[0, 2], 0.0).max()
        for name, place in places.items()
    }
    grasped = {name for name in SLOTS if rise[name] > _RAISED}
    if wanted.vegetable in grasped:
        return "dropped" if wanted.kind == "pick" else "misplaced"
    if grasped:
        return "wrong object"
    if wanted.vegetable is None:
        drawer = np.array([view.drawer for view in views])
        bar = np.array(
            [(view.cabinet[0] - view.drawer - BAR_OFFSET, view.cabinet[1], BAR_HEIGHT) for view in views]
        )
        reached = np.linalg.norm(bar - hand, axis=1).min() < _REACHED or np.ptp(drawer) > _TOUCHED
        missed = "drawer not opened" if wanted.kind == "open" else "drawer not closed"
    else:
        reached, missed = far[wanted.vegetable].min() < _REACHED, "missed grasp"
    if reached:
        return missed
    closed_on = [name for name in SLOTS if np.where(closing, far[name], np.inf).min() < _REACHED]
    return "wrong object" if closed_on else "nothing reached"
