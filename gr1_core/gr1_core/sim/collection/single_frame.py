"""One picture, several sentences: which tasks a scene leaves open, so that what is said is all that tells them apart.

Of an episode only the approach asks which thing is meant, a sixth of its steps, and all of it in one layout. A glimpse is the first state
of a scene alone, labelled by the expert for three tasks: a new layout costs as much as two steps of an episode.
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.catalogue import SLOTS, UNKNOWN, Props
from gr1_core.sim.state import View
from gr1_core.sim.tasks import TASKS, Task


def open_to(task: Task, rng: np.random.Generator) -> list[Task]:
    """The task that the scene was laid for, and two more that can be begun in it, with other things."""
    others = [slot for slot in SLOTS if slot != task.vegetable]
    if len(others) > 2:
        others = rng.permutation(others)[:2].tolist()
    # A thing on the plate leaves no room for another one.
    kinds = ("pick",) if task.kind == "take" else ("pick", "put")
    found = [task]
    for slot in others:
        kind = kinds[int(rng.integers(len(kinds)))]
        found.append(next(each for each in TASKS.values() if (each.kind, each.vegetable) == (kind, slot)))
    return found


def meant(task: Task, state: np.ndarray, props: Props) -> Task:
    """The task that its sentence asks for in a state of the twin: who hears of an unknown thing and sees several goes for the nearest.

    Nearest to the hand, along the table; else a policy would learn to hover between them. What lies on the plate is told from the others.
    """
    if task.vegetable is None or task.kind == "take" or props.noun(task.vegetable) != UNKNOWN:
        return task
    view = View(state)
    unknown = [slot for slot in SLOTS if props.noun(slot) == UNKNOWN]
    nearest = min(unknown, key=lambda slot: float(np.hypot(*(view.place(slot) - view.measured[:3])[:2])))
    return next(each for each in TASKS.values() if (each.kind, each.vegetable) == (task.kind, nearest))
