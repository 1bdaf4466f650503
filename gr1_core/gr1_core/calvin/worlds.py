"""What the official chains say in words about the scene, and random chains of tasks that are possible one
after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core.calvin.checkout import Checkout
from gr1_core.calvin.environment import BLOCKS

LENGTH = 5
_SURFACES = ("table", "slider_right", "slider_left")
# Where a block lies on the table (metres): the range in which the checkout's scene D puts it.
_TABLE_LOW, _TABLE_HIGH = np.array([0.0, -0.15]), np.array([0.35, -0.03])
_APART = 0.1


@dataclass(frozen=True)
class ChainSpec:
    """robot f64[15], scene f64[24]: the state at the start.

    tasks: names, each possible after the one before. possible: for each task, the names that were possible in
    its place.
    """

    number: int
    robot: np.ndarray
    scene: np.ndarray
    tasks: tuple[str, ...]
    possible: tuple[tuple[str, ...], ...]


class ChainSampler:
    """Chains by number and seed, with the checkout's own rules of which task may follow which; not those of
    the official list.
    """

    def __init__(self, checkout: Checkout, tasks: tuple[str, ...], seed: int = 0):
        """tasks: those that are wanted; others come in between only where they make one possible."""
        self._module, self._initial, self._wanted, self._seed = (
            checkout.sequences_module(),
            checkout.initial_state_function(),
            frozenset(tasks),
            seed,
        )

    def sample(self, number: int) -> ChainSpec:
        rng = np.random.default_rng([self._seed, number])
        while True:
            condition = _condition(rng)
            tasks, possible = self._walk(condition, rng)
            if any(task in self._wanted for task in tasks):
                break
        robot, scene = self._initial(condition)
        return ChainSpec(number, robot, _varied(scene, condition, rng), tasks, possible)

    def _walk(self, condition: dict, rng: np.random.Generator) -> tuple[tuple[str, ...], tuple]:
        """Every task that is possible next has the same chance, a wanted one ten times that of another."""
        valid, definitions, state = self._module["valid_task"], self._module["tasks"], condition
        chosen, possible = [], []
        for _ in range(LENGTH):
            following = {
                name: valid(state, rules) for name, rules in definitions.items() if name not in chosen
            }
            names = [name for name, states in following.items() if states]
            if not names:
                break
            weights = np.array([10.0 if name in self._wanted else 1.0 for name in names])
            name = names[rng.choice(len(names), p=weights / weights.sum())]
            chosen.append(name)
            possible.append(tuple(names))
            state = following[name][0]
        return tuple(chosen), tuple(possible)


def _condition(rng: np.random.Generator) -> dict:
    """A scene in the words of the official list: one or two blocks on the table, at most one in each side of
    the cabinet.
    """
    while True:
        places = [str(rng.choice(_SURFACES)) for _ in BLOCKS]
        if (
            1 <= places.count("table") <= 2
            and places.count("slider_right") < 2
            and places.count("slider_left") < 2
        ):
            break
    condition = {"led": int(rng.integers(2)), "lightbulb": int(rng.integers(2))}
    condition |= {"slider": str(rng.choice(["right", "left"])), "drawer": str(rng.choice(["closed", "open"]))}
    return condition | {f"{name}_block": place for name, place in zip(BLOCKS, places)} | {"grasped": 0}


def _varied(scene: np.ndarray, condition: dict, rng: np.random.Generator) -> np.ndarray:
    """Blocks on the table anywhere on it in half of the chains, else near the official places; those in the
    cabinet moved a little.
    """
    scene, anywhere, taken = scene.copy(), rng.random() < 0.5, []
    for index, name in enumerate(BLOCKS):
        pose = scene[6 + 6 * index : 12 + 6 * index]
        if condition[f"{name}_block"] != "table":
            pose[:2] += rng.uniform(-0.012, 0.012, 2)
            continue
        for _ in range(100):
            place = (
                rng.uniform(_TABLE_LOW, _TABLE_HIGH) if anywhere else pose[:2] + rng.uniform(-0.02, 0.02, 2)
            )
            if all(np.linalg.norm(place - other) > _APART for other in taken):
                break
        taken.append(place)
        pose[:2] = place
        if anywhere:
            pose[5] = rng.uniform(0, np.pi)
    return scene
