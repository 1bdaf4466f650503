"""Test suites in the twin, after the real-robot table of the GR-1 paper. `gr1 evaluate sim` runs them.

Layouts use seeds that no demonstration uses. All suites except `swap` ask a question of the paper. `phrasing`
uses the layouts of `seen`, so that only the instruction differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gr1_core.sim.appearance import STANDARD_APPEARANCE, Appearance
from gr1_core.sim.chains import sample_chain
from gr1_core.sim.instructions import instructions_for
from gr1_core.sim.objects import catalogue
from gr1_core.sim.objects.catalogue import ObjectSet
from gr1_core.sim.tasks import TASKS, Task, find_task
from gr1_core.suggestions import did_you_mean

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
    "chains": "five instructions one after the other on one table; a chain ends with the first failure",
    "moved": "seen, but the object is displaced by 5 to 10 cm during the approach",
    "occluded": "seen, but the static camera is covered for a second during the approach",
}
_OBJECTS = {"instances": catalogue.unseen_instances, "categories": catalogue.unseen_categories}
_EVENTS = {"moved": "displacement", "occluded": "occlusion"}
_OBJECT_TASKS = tuple(name for name, task in TASKS.items() if task.slot)
_DRAWER_TASKS = tuple(name for name, task in TASKS.items() if not task.slot)


class SuiteError(ValueError):
    """A suite, or a selection of its tasks or seeds, that does not exist."""


@dataclass(frozen=True)
class Trial:
    """One episode of a suite.

    task: the task of the instruction. scene: the task whose layout of `seed` the episode starts from; it
    differs from `task` in a swap and in a chain. event: "displacement", "occlusion" or "" (events.py).
    following: (task, instruction) of each further instruction of a chain.
    """

    suite: str
    task: str
    seed: int
    objects: ObjectSet
    appearance: Appearance
    instruction: str
    scene: str
    event: str = ""
    following: tuple[tuple[str, str], ...] = ()

    def stages(self) -> list[Trial]:
        """One trial per instruction: of a chain its parts, else the trial itself."""
        rest = [replace(self, task=task, instruction=text, following=()) for task, text in self.following]
        return [replace(self, following=()), *rest]

    def __str__(self) -> str:
        return f"{self.scene} with seed {self.seed}"

    @property
    def swapped(self) -> bool:
        """Whether the instruction is that of another task than the scene's."""
        return self.suite == "swap"


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
    if suite == "chains":
        return _chains(episodes, seed, tasks)
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
    return {"drawer": _DRAWER_TASKS, "chains": tuple(TASKS)}.get(suite, _OBJECT_TASKS)


def suites_with(tasks: Sequence[str]) -> list[str]:
    """Names of the suites that can be restricted to these tasks. Chains need all tasks."""
    wanted = set(tasks)
    return [
        suite
        for suite in SUITES
        if (wanted >= set(TASKS) if suite == "chains" else wanted & set(suite_tasks(suite)))
    ]


def parse_suites(text: str, tasks: Sequence[str] = ()) -> list[str]:
    """The option --suites: names separated by commas, or "all": those that have one of the tasks. Raises
    SuiteError.
    """
    if text == "all":
        return suites_with(tasks or tuple(TASKS))
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        require_suite(name)
    return names


def require_suite(suite: str) -> None:
    """Raises SuiteError with the nearest name for an unknown suite."""
    if suite not in SUITES:
        hint = did_you_mean(suite, SUITES) or f"; there are {', '.join(SUITES)}"
        raise SuiteError(f"unknown suite '{suite}'{hint}")


def _make_trial(suite: str, scene: str, seed: int, turn: int) -> Trial:
    task = TASKS[scene]
    if suite == "swap":
        others = unrelated_tasks(task)
        task = others[(turn + _OBJECT_TASKS.index(scene)) % len(others)]
    objects = _OBJECTS[suite](seed) if suite in _OBJECTS else catalogue.STANDARD_OBJECTS
    training, held_out = instructions_for(task.kind, task.noun(objects))
    instructions = held_out if suite == "phrasing" else training
    # The suites with an event repeat the trials of `seen`.
    source = "seen" if suite in _EVENTS else suite
    rng = np.random.default_rng([seed, list(TASKS).index(scene), list(SUITES).index(source)])
    instruction = instructions[int(rng.integers(len(instructions)))]
    event = _EVENTS.get(suite, "")
    return Trial(suite, task.name, seed, objects, STANDARD_APPEARANCE, instruction, scene, event)


def _chains(number: int, seed: int, tasks: Sequence[str]) -> list[Trial]:
    """One chain per seed."""
    if tasks and not set(tasks) >= set(TASKS):
        raise SuiteError("suite 'chains' needs all tasks: leave the suite out, or do not select tasks")
    return [_make_chain(each) for each in range(seed, seed + number)]


def _make_chain(seed: int) -> Trial:
    scene, names = sample_chain(seed)
    rng = np.random.default_rng([seed, list(SUITES).index("chains")])
    texts = [TASKS[name].instructions for name in names]
    parts = [(name, group[int(rng.integers(len(group)))]) for name, group in zip(names, texts)]
    (task, instruction), *following = parts
    return Trial(
        "chains",
        task,
        seed,
        catalogue.STANDARD_OBJECTS,
        STANDARD_APPEARANCE,
        instruction,
        scene,
        following=tuple(following),
    )


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
