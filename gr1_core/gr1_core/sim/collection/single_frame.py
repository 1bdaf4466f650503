"""Single-frame examples: one image with several instructions, so that only the instruction tells the tasks
apart.

In an episode only the approach depends on which object is named: a sixth of its steps, all in one layout. A
single-frame example is the first state of a scene, labelled by the expert for three tasks. A new layout costs
as much as two steps of an episode.
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.catalogue import SLOTS, UNKNOWN_NOUN, ObjectSet
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import TASKS, Task


def feasible_tasks(task: Task, rng: np.random.Generator) -> list[Task]:
    """Returns the task of the layout and two more that are feasible in it, with other objects."""
    others = [slot for slot in SLOTS if slot != task.slot]
    if len(others) > 2:
        others = rng.permutation(others)[:2].tolist()
    # An object on the plate leaves no room for another one.
    kinds = ("pick",) if task.kind == "take" else ("pick", "put")
    tasks = [task]
    for slot in others:
        kind = kinds[int(rng.integers(len(kinds)))]
        tasks.append(next(each for each in TASKS.values() if (each.kind, each.slot) == (kind, slot)))
    return tasks


def resolve_unknown_noun(task: Task, state: np.ndarray, objects: ObjectSet) -> Task:
    """Returns the task that its instruction asks for in a state of the twin.

    An instruction with the unknown noun asks for the unnamed object that is nearest to the gripper along the
    table; otherwise a policy would learn to hover between several. An object on the plate is distinguished
    from the others.
    """
    if task.slot is None or task.kind == "take" or objects.noun(task.slot) != UNKNOWN_NOUN:
        return task
    view = StateView(state)
    unnamed = [slot for slot in SLOTS if objects.noun(slot) == UNKNOWN_NOUN]
    nearest = min(unnamed, key=lambda slot: float(np.hypot(*(view.position(slot) - view.measured[:3])[:2])))
    return next(each for each in TASKS.values() if (each.kind, each.slot) == (task.kind, nearest))
