"""One picture, several sentences: which tasks a scene leaves open, so that what is said is all that tells them apart.

Of an episode only the approach asks which thing is meant, a sixth of its steps, and all of it in one layout. A glimpse is the first state
of a scene alone, labelled by the expert for three tasks: a new layout costs as much as two steps of an episode.
"""

from __future__ import annotations

import numpy as np

from .tasks import TASKS, Task
from .things import SLOTS


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
