"""The paper's real-robot table as test sets in the twin: what an episode of a column is. `gr1 evaluate sim` runs them.

Layouts come from seeds that no demonstration uses. All columns but the swap are the paper's or ask its question; `phrasing` has the very
layouts of `seen`, so that the sentence is all that differs.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gr1_core.sim.appearance import STANDARD, Look
from gr1_core.sim.instructions import said
from gr1_core.sim.objects import catalogue
from gr1_core.sim.objects.catalogue import Props
from gr1_core.sim.tasks import TASKS, Task, find

TRAINING_SEEDS = 100_000
"""Seeds below this belong to demonstrations."""
FIRST = 1_000_000
"""The test sets' first seed, for the final table; who chooses among checkpoints takes others (docs/how-to/evaluate.md)."""

COLUMNS = {
    "seen": "pick, put and take with the things of the demonstrations, in new layouts",
    "instances": "the same with other eggplants, broccolis and bell peppers: shape, size, colour",
    "categories": "the same with things that no demonstration holds",
    "drawer": "open and close the drawer",
    "phrasing": "the layouts of seen, told in held-out sentences",
    "swap": "layouts of seen with the sentence of another task: does it do what is said, or what the scene suggests?",
}
_THINGS = {"instances": catalogue.instances, "categories": catalogue.categories}
_VEGETABLES = tuple(name for name, task in TASKS.items() if task.vegetable)
_DRAWER = tuple(name for name, task in TASKS.items() if not task.vegetable)


class ColumnError(ValueError):
    """A test set that does not exist."""


@dataclass(frozen=True)
class Trial:
    """One episode. task: what the instruction asks for. scene: the task whose layout of `seed` it starts from; in a swap another one."""

    column: str
    task: str
    seed: int
    props: Props
    look: Look
    instruction: str
    scene: str

    @property
    def swapped(self) -> bool:
        return self.scene != self.task


def trials(column: str, episodes: int = 100, seed: int = FIRST, tasks: Sequence[str] = ()) -> list[Trial]:
    """The first `episodes` of a column: its tasks in turn, each round with the next seed. The same on every machine.

    tasks: of its tasks only these (names); of a swap only their layouts. Raises ColumnError for an unknown column, for a column that has
    none of these tasks, and for seeds of demonstrations.
    """
    require(column)
    if seed < TRAINING_SEEDS:
        raise ColumnError(
            f"seed {seed} belongs to the demonstrations, a test needs one from {TRAINING_SEEDS} up (usual: {FIRST})"
        )
    names = [name for name in of(column) if not tasks or name in tasks]
    if not names:
        has = ", ".join(of(column))
        raise ColumnError(
            f"column '{column}' has none of the tasks {', '.join(tasks)}: leave the column out, or name some of {has}"
        )
    return [
        _trial(column, names[number % len(names)], seed + number // len(names), number // len(names))
        for number in range(episodes)
    ]


def of(column: str) -> tuple[str, ...]:
    """The tasks of a column."""
    require(column)
    return _DRAWER if column == "drawer" else _VEGETABLES


def require(column: str) -> None:
    """Refuses an unknown column with the nearest name."""
    if column not in COLUMNS:
        near = difflib.get_close_matches(column, COLUMNS, 1, 0.0)
        raise ColumnError(
            f"unknown column '{column}', did you mean '{near[0]}'? Columns: {', '.join(COLUMNS)}"
        )


def _trial(column: str, scene: str, seed: int, turn: int) -> Trial:
    task = TASKS[scene]
    if column == "swap":
        others = sentences_of_others(task)
        task = others[(turn + _VEGETABLES.index(scene)) % len(others)]
    props = _THINGS[column](seed) if column in _THINGS else catalogue.STANDARD
    noun = props.noun(task.vegetable) if task.vegetable else None
    training, held_out = said(task.kind, noun)
    sentences = held_out if column == "phrasing" else training
    rng = np.random.default_rng([seed, list(TASKS).index(scene), list(COLUMNS).index(column)])
    return Trial(
        column, task.name, seed, props, STANDARD, sentences[int(rng.integers(len(sentences)))], scene
    )


def sentences_of_others(scene: Task) -> list[Task]:
    """The tasks that can be asked for in this task's layout and whose success is none of this task's, not even on the way."""
    return [task for task in TASKS.values() if _possible(task, scene) and not _includes(task, scene)]


def _possible(task: Task, scene: Task) -> bool:
    """Nothing but a scene of `take` has something on its plate, and there is then no room for another; the drawer is closed."""
    return task.kind in ("pick", "open") or task.kind == "put" and scene.kind != "take"


def _includes(task: Task, scene: Task) -> bool:
    """Who puts something on the plate has picked it up."""
    return find(task.name) is find(scene.name) or scene.kind == "pick" and task.vegetable == scene.vegetable
