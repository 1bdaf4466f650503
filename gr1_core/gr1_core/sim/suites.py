"""Test suites in the twin, after the real-robot table of the GR-1 paper. `gr1 evaluate sim` runs them.

Layouts use seeds that no demonstration uses. All suites except `swap` ask a question of the paper. `phrasing`
uses the layouts of `seen`, so that only the instruction differs.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gr1_core.sim.appearance import STANDARD_APPEARANCE, Appearance
from gr1_core.sim.instructions import instructions_for
from gr1_core.sim.objects import catalogue
from gr1_core.sim.objects.catalogue import ObjectSet
from gr1_core.sim.tasks import TASKS, Task, find_task

TRAINING_SEEDS_END = 100_000
"""Seeds below this are for demonstrations."""
FIRST_TEST_SEED = 1_000_000
"""First seed of the reported results. Select checkpoints with other seeds (docs/how-to/evaluate.md)."""

SUITES = {
    "seen": "pick, put and take with the objects of the demonstrations, in new layouts",
    "instances": "the same with other eggplants, broccolis and bell peppers: shape, size, colour",
    "categories": "the same with objects of categories that no demonstration holds",
    "drawer": "open and close the drawer",
    "phrasing": "the layouts of seen with held-out instructions",
    "swap": "layouts of seen with the instruction of another task: does the policy follow it or the scene?",
}
_OBJECTS = {"instances": catalogue.unseen_instances, "categories": catalogue.unseen_categories}
_OBJECT_TASKS = tuple(name for name, task in TASKS.items() if task.slot)
_DRAWER_TASKS = tuple(name for name, task in TASKS.items() if not task.slot)


class SuiteError(ValueError):
    """A suite, or a selection of its tasks or seeds, that does not exist."""


@dataclass(frozen=True)
class Trial:
    """One episode of a suite.

    task: the task of the instruction. scene: the task whose layout of `seed` the episode starts from; it
    differs from `task` in a swap.
    """

    suite: str
    task: str
    seed: int
    objects: ObjectSet
    appearance: Appearance
    instruction: str
    scene: str

    def __str__(self) -> str:
        return f"{self.scene} with seed {self.seed}"

    @property
    def swapped(self) -> bool:
        """Whether the instruction is that of another task than the scene's."""
        return self.scene != self.task


def trials(
    suite: str, episodes: int = 100, seed: int = FIRST_TEST_SEED, tasks: Sequence[str] = ()
) -> list[Trial]:
    """Returns the first `episodes` trials of a suite, the same on every machine.

    The tasks take turns; each round uses the next seed. tasks: names to select; in a swap they select the
    layouts. Raises SuiteError for an unknown suite, a suite without any of these tasks, and seeds of
    demonstrations.
    """
    require_suite(suite)
    if seed < TRAINING_SEEDS_END:
        raise SuiteError(
            f"seed {seed} belongs to the demonstrations, a test needs one from {TRAINING_SEEDS_END} up "
            f"(usual: {FIRST_TEST_SEED})"
        )
    names = [name for name in suite_tasks(suite) if not tasks or name in tasks]
    if not names:
        raise SuiteError(
            f"suite '{suite}' has none of the tasks {', '.join(tasks)}: leave the suite out, or name some of "
            f"{', '.join(suite_tasks(suite))}"
        )
    rounds = (divmod(number, len(names)) for number in range(episodes))
    return [_make_trial(suite, names[index], seed + turn, turn) for turn, index in rounds]


def suite_tasks(suite: str) -> tuple[str, ...]:
    """Names of the tasks of a suite. Raises SuiteError for an unknown suite."""
    require_suite(suite)
    return _DRAWER_TASKS if suite == "drawer" else _OBJECT_TASKS


def require_suite(suite: str) -> None:
    """Raises SuiteError with the nearest name for an unknown suite."""
    if suite not in SUITES:
        near = difflib.get_close_matches(suite, SUITES, 1, 0.0)
        raise SuiteError(f"unknown suite '{suite}', did you mean '{near[0]}'? Suites: {', '.join(SUITES)}")


def _make_trial(suite: str, scene: str, seed: int, turn: int) -> Trial:
    task = TASKS[scene]
    if suite == "swap":
        others = unrelated_tasks(task)
        task = others[(turn + _OBJECT_TASKS.index(scene)) % len(others)]
    objects = _OBJECTS[suite](seed) if suite in _OBJECTS else catalogue.STANDARD_OBJECTS
    training, held_out = instructions_for(task.kind, task.noun(objects))
    instructions = held_out if suite == "phrasing" else training
    rng = np.random.default_rng([seed, list(TASKS).index(scene), list(SUITES).index(suite)])
    instruction = instructions[int(rng.integers(len(instructions)))]
    return Trial(suite, task.name, seed, objects, STANDARD_APPEARANCE, instruction, scene)


def unrelated_tasks(scene: Task) -> list[Task]:
    """Tasks that are feasible in this task's layout and do not include its success, not even on the way."""
    return [task for task in TASKS.values() if _is_feasible(task, scene) and not _includes(task, scene)]


def _is_feasible(task: Task, scene: Task) -> bool:
    """Only layouts of `take` have an object on the plate, which then has no room for another. The drawer is
    closed.
    """
    return task.kind in ("pick", "open") or task.kind == "put" and scene.kind != "take"


def _includes(task: Task, scene: Task) -> bool:
    """Putting an object on the plate includes picking it up."""
    return find_task(task.name) is find_task(scene.name) or scene.kind == "pick" and task.slot == scene.slot
