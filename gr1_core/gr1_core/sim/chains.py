"""Chains of instructions on one table, after CALVIN's protocol (Mees et al. 2022): each continues where the
last ended.

A symbolic state of the table decides which tasks are feasible. The order of the tasks follows from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gr1_core.sim.objects.catalogue import SLOTS, STANDARD_OBJECTS, ObjectSet
from gr1_core.sim.tasks import TASKS, Task, is_set_down_free, sample_layout

CHAIN_LENGTH = 5
_SCENE_KINDS = ("put", "take", "close")  # plate empty, an object on the plate, drawer open
# Relative frequency among the feasible tasks, so that the drawer, which is always feasible, does not prevail
_WEIGHTS = {"pick": 2, "put": 3, "take": 4, "open": 1, "close": 1}


@dataclass(frozen=True)
class TableState:
    """What the tasks before have left.

    on_plate, held: the slot whose object is on the plate or in the gripper. set_down: the slot whose object
    is where `take` puts one; can_set_down: whether the layout leaves room there.
    """

    on_plate: str | None = None
    held: str | None = None
    drawer_open: bool = False
    set_down: str | None = None
    can_set_down: bool = True

    def is_feasible(self, task: Task, last: bool = False) -> bool:
        """Whether the task can be done now. last: no task follows, so the object may stay in the gripper."""
        if task.kind == "put":
            return self.held in (None, task.slot) and self.on_plate is None
        if self.held is not None:
            return False
        if task.kind == "pick":
            # An object in the gripper has to go to the plate next.
            return self.on_plate != task.slot and (self.on_plate is None or last)
        if task.kind == "take":
            return self.on_plate == task.slot and self.set_down is None and self.can_set_down
        return self.drawer_open == (task.kind == "close")

    def after(self, task: Task) -> TableState:
        """The state once the task has succeeded."""
        if task.kind in ("open", "close"):
            return replace(self, drawer_open=task.kind == "open")
        set_down = None if self.set_down == task.slot else self.set_down
        if task.kind == "pick":
            return replace(self, held=task.slot, set_down=set_down)
        if task.kind == "put":
            return replace(self, held=None, on_plate=task.slot, set_down=set_down)
        return replace(self, on_plate=None, set_down=task.slot)


def initial_state(scene: Task, seed: int, objects: ObjectSet = STANDARD_OBJECTS) -> TableState:
    """State of the table in the layout of (scene, seed)."""
    layout = sample_layout(scene, seed, objects)
    return TableState(
        on_plate=layout.on_plate,
        drawer_open=layout.drawer > 0.0,
        can_set_down=is_set_down_free(layout, objects),
    )


def sample_chain(seed: int, length: int = CHAIN_LENGTH) -> tuple[str, tuple[str, ...]]:
    """Returns (scene, tasks): names of the task whose layout of `seed` is the start, and of the chain's
    tasks.

    Every task occurs at most once and is feasible after those before it. The same on every machine.
    """
    rng = np.random.default_rng([seed, 11])
    while True:
        kind, slot = rng.choice(_SCENE_KINDS), rng.choice(SLOTS)
        scene = next(task for task in TASKS.values() if task.kind == kind and task.slot in (slot, None))
        state, chain = initial_state(scene, seed), []
        while len(chain) < length:
            last = len(chain) == length - 1
            feasible = [
                task for task in TASKS.values() if task not in chain and state.is_feasible(task, last)
            ]
            if not feasible:
                break
            weights = np.array([_WEIGHTS[task.kind] for task in feasible], np.float64)
            chain.append(feasible[int(rng.choice(len(feasible), p=weights / weights.sum()))])
            state = state.after(chain[-1])
        else:
            return scene.name, tuple(task.name for task in chain)
