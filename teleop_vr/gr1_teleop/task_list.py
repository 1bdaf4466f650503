"""The list of instructions to demonstrate, with how many episodes of each; a YAML file of the user:

order: given            # given: each in turn until it is complete; random: another one after each success
tasks:
  - instruction: open the drawer
    episodes: 20
  - instruction: put the eggplant on the plate
    episodes: 20
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from gr1_teleop.protocol import MAX_INSTRUCTION

ORDERS = ("given", "random")
_MAX_TASKS = 500


class TaskListError(ValueError):
    """The file cannot be used; the text names the entry and the remedy."""


@dataclass(frozen=True)
class Task:
    """instruction: as it is recorded. episodes: wanted number of successes; 0: no end."""

    instruction: str
    episodes: int


class TaskList:
    """order: one of ORDERS. choice: random numbers for order "random"."""

    def __init__(self, tasks: tuple[Task, ...], order: str = "given", choice: random.Random | None = None):
        self.tasks, self.order = tasks, order
        self._random = choice or random.Random()

    @classmethod
    def load(cls, path: str | Path) -> TaskList:
        """Raises TaskListError."""
        try:
            raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise TaskListError(f"task list '{path}' cannot be read: {error}") from error
        except yaml.YAMLError as error:
            raise TaskListError(f"task list '{path}' is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(raw, dict) or not isinstance(raw.get("tasks"), list) or not raw["tasks"]:
            raise TaskListError(f"task list '{path}' has no tasks: write 'tasks:' and a list of instructions")
        if unknown := set(raw) - {"tasks", "order"}:
            raise TaskListError(
                f"task list '{path}': unknown key '{sorted(unknown)[0]}', expected order, tasks"
            )
        order = raw.get("order", "given")
        if order not in ORDERS:
            raise TaskListError(f"task list '{path}': order is {order!r}, expected {' or '.join(ORDERS)}")
        if len(raw["tasks"]) > _MAX_TASKS:
            raise TaskListError(f"task list '{path}' has {len(raw['tasks'])} tasks, at most {_MAX_TASKS}")
        tasks = tuple(
            _task(entry, f"task list '{path}', entry {n}") for n, entry in enumerate(raw["tasks"], 1)
        )
        texts = [task.instruction for task in tasks]
        if double := next((text for text in texts if texts.count(text) > 1), None):
            raise TaskListError(
                f"task list '{path}' has '{double}' twice: write it once, with the sum of episodes"
            )
        return cls(tasks, order)

    def progress(self, successes: Mapping[str, int]) -> list[dict]:
        """[{instruction, done, episodes}] in the order of the file. successes: per instruction."""
        return [
            {
                "instruction": task.instruction,
                "done": successes.get(task.instruction, 0),
                "episodes": task.episodes,
            }
            for task in self.tasks
        ]

    def first(self, successes: Mapping[str, int]) -> str:
        """The instruction to begin with: the first or any incomplete one; the first of all if none is."""
        open_tasks = self._open(successes) or self.tasks
        return (self._random.choice(open_tasks) if self.order == "random" else open_tasks[0]).instruction

    def after_success(self, instruction: str, successes: Mapping[str, int]) -> str:
        """The instruction of the next episode. One that is not in the list, or a complete list: unchanged."""
        open_tasks = self._open(successes)
        texts = [task.instruction for task in self.tasks]
        if not open_tasks or instruction not in texts:
            return instruction
        if self.order == "random":
            others = [task for task in open_tasks if task.instruction != instruction] or open_tasks
            return self._random.choice(others).instruction
        at = texts.index(instruction)
        later = [task for task in open_tasks if texts.index(task.instruction) >= at]
        return (later or open_tasks)[0].instruction

    def step(self, instruction: str, by: int) -> str:
        """The instruction `by` entries on, around the end; from outside of the list, its first or last."""
        texts = [task.instruction for task in self.tasks]
        at = texts.index(instruction) + by if instruction in texts else (0 if by > 0 else -1)
        return texts[at % len(texts)]

    def _open(self, successes: Mapping[str, int]) -> list[Task]:
        return [
            task
            for task in self.tasks
            if not task.episodes or successes.get(task.instruction, 0) < task.episodes
        ]


def _task(entry, where: str) -> Task:
    entry = {"instruction": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or not isinstance(entry.get("instruction"), str):
        raise TaskListError(f"{where} has no instruction: write 'instruction: open the drawer'")
    if unknown := set(entry) - {"instruction", "episodes"}:
        raise TaskListError(
            f"{where}: unknown key '{sorted(map(str, unknown))[0]}', expected instruction, episodes"
        )
    text, episodes = entry["instruction"].strip(), entry.get("episodes", 0)
    if not text or len(text) > MAX_INSTRUCTION or not text.isprintable():
        raise TaskListError(f"{where}: the instruction must be one line of 1 to {MAX_INSTRUCTION} characters")
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 0:
        raise TaskListError(
            f"{where}: episodes is {episodes!r}, expected a whole number from 0 on (0: no end)"
        )
    return Task(text, episodes)
