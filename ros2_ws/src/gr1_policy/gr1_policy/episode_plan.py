"""The parameters that say which episodes of the simulated rig a node does."""

from __future__ import annotations

from rclpy.node import Node

from gr1_common.parameters import ParameterError, declare
from gr1_policy.episodes import EpisodePlan


def declare_plan(node: Node, *, seeds: int, timeout: float) -> EpisodePlan:
    """Declares tasks, first_seed, seeds, episodes and timeout. Raises ParameterError for an unknown task."""
    text = "Tasks to do: 'all' or names separated by commas."
    tasks = _tasks(declare(node, "tasks", "all", text, read_only=True))
    text = "Seed of the first round of the tasks; each round takes the next."
    first = declare(node, "first_seed", 1000, text, low=0, read_only=True)
    text = "How many seeds before the first comes again."
    seeds = declare(node, "seeds", seeds, text, low=1, read_only=True)
    text = "How many episodes in all; 0 = endless."
    number = declare(node, "episodes", 0, text, low=0, read_only=True)
    text = "Simulated seconds after which an episode has failed."
    timeout = declare(node, "timeout", timeout, text, low=1.0, read_only=True)
    return EpisodePlan(tasks, first, seeds, number, timeout)


def _tasks(text: str) -> list[str]:
    from gr1_core.sim import TASKS

    names = list(TASKS) if text == "all" else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ParameterError(f"parameter 'tasks': no task '{unknown[0]}': there are {', '.join(TASKS)}")
    return names
