"""The eleven tasks: what is said, how the table is laid, and when it is done."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np

from gr1_core.sim.instructions import said
from gr1_core.sim.objects.catalogue import SLOTS, STANDARD, Props
from gr1_core.sim.scene import DRAWER_TRAVEL, PLATE_FLOOR, PLATE_RADIUS
from gr1_core.sim.state import View

FIELD_MIN, FIELD_MAX = (
    np.array([0.30, -0.32]),
    np.array([0.55, 0.09]),
)  # where plate and vegetables may lie: x, y in metres
CABINET_MIN, CABINET_MAX = np.array([0.575, 0.255]), np.array([0.605, 0.295])
ASIDE = np.array([0.0, -0.165])  # from the plate's centre to where a taken vegetable is put down
LARGEST_YAW = math.radians(
    60
)  # of an eggplant against the hand's zero: far from +-90 degrees, where the nearest grasp would flip
PICK_HEIGHT = 0.08  # m that a vegetable must rise to count as picked
_ASIDE_RADIUS = 0.055  # m kept free there
_GAP = 0.030  # m between neighbours, for the fingers
OPEN, CLOSED = 0.12, 0.01  # m: a drawer that counts as open, as closed


@dataclass(frozen=True)
class Task:
    """One task. kind: pick, put, take, open or close. vegetable: the slot that it is about, None for the drawer.

    instructions: what is said of the standard thing, the first canonical; held_out: never used in training.
    """

    name: str
    kind: str
    vegetable: str | None
    instructions: tuple[str, ...]
    held_out: tuple[str, ...]

    def noun(self, props: Props = STANDARD) -> str | None:
        """What the thing that the task is about is called, "bell pepper"; None for the drawer."""
        return None if self.vegetable is None else props.noun(self.vegetable)

    def said(self, noun: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As `instructions` and `held_out`, of a thing called `noun`."""
        return said(self.kind, noun)

    def done(self, state, props: Props = STANDARD) -> bool:
        """Whether a state vector reaches the goal. Pick: held in the air. Put, take: let go and at rest there. Drawer: far enough."""
        view = View(state)
        if self.kind == "open":
            return view.drawer > OPEN
        if self.kind == "close":
            return view.drawer < CLOSED
        place, rest = view.place(self.vegetable), props[self.vegetable].rest
        in_hand = float(np.linalg.norm(place - view.measured[:3])) < 0.055
        if self.kind == "pick":
            return bool(place[2] > rest + PICK_HEIGHT and in_hand)
        offset = place - view.place("plate")
        far = float(np.hypot(offset[0], offset[1]))
        let_go = view.closure < 0.3 and view.measured[2] > place[2] + 0.03
        if self.kind == "put":
            return bool(far < PLATE_RADIUS - 0.02 and offset[2] < rest + PLATE_FLOOR + 0.02 and let_go)
        return bool(far > PLATE_RADIUS + 0.02 and place[2] < rest + 0.015 and let_go)


_NAMES = {"pick": "pick_{}", "put": "put_{}_on_plate", "take": "take_{}_from_plate"}


def _tasks() -> dict[str, Task]:
    """The order is the state vector's and the layouts' seeds'."""
    named = [(name.format(slot), kind, slot) for slot in SLOTS for kind, name in _NAMES.items()]
    named += [("open_drawer", "open", None), ("close_drawer", "close", None)]
    return {
        name: Task(name, kind, slot, *said(kind, slot and STANDARD.noun(slot))) for name, kind, slot in named
    }


TASKS: dict[str, Task] = _tasks()


def find(name: str) -> Task:
    """The task of that name; an unknown one is refused with the one that was probably meant, if there is one."""
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(str(name), TASKS, 1)
    raise ValueError(
        f"unknown task '{name}'{f', did you mean {near[0]!r}?' if near else '.'} Tasks: {', '.join(TASKS)}"
    )


def named(text: str) -> list[str]:
    """The tasks of an option --tasks, "all" or names separated by commas, each once. Refuses unknown and empty names with a ValueError."""
    names = list(TASKS) if text.strip() == "all" else [name.strip() for name in text.split(",")]
    if "" in names:
        raise ValueError(
            f"--tasks '{text}': a name is empty: give names separated by commas, or all. Tasks: {', '.join(TASKS)}"
        )
    return list(dict.fromkeys(find(name).name for name in names))


@dataclass(frozen=True)
class Layout:
    """Where things are at the start, metres and radians.

    places: body -> (x, y, yaw). cabinet: x, y of its front. drawer: how far open. on_plate: the vegetable lying on the plate.
    """

    places: dict[str, tuple[float, float, float]]
    cabinet: np.ndarray
    drawer: float
    on_plate: str | None
    instruction: str


def lay(task: Task, seed: int, props: Props = STANDARD) -> Layout:
    """The layout of a seed: the same on every machine. Draws again from the start when the things do not fit."""
    rng = np.random.default_rng([seed, list(TASKS).index(task.name)])
    instructions = task.said(task.noun(props))[0]
    instruction = instructions[int(rng.integers(len(instructions)))]
    cabinet = rng.uniform(CABINET_MIN, CABINET_MAX)
    drawer = float(rng.uniform(0.11, DRAWER_TRAVEL - 0.01)) if task.kind == "close" else 0.0
    while True:
        places = _scatter(task, rng, props)
        if places is not None:
            return Layout(
                places, cabinet, drawer, task.vegetable if task.kind == "take" else None, instruction
            )


def _scatter(
    task: Task, rng: np.random.Generator, props: Props
) -> dict[str, tuple[float, float, float]] | None:
    """One try: plate first, then each thing within twenty draws; None when one finds no room."""
    centre = rng.uniform(FIELD_MIN + 0.05, FIELD_MAX - 0.05)
    if task.kind == "take":
        centre[1] = rng.uniform(FIELD_MIN[1] - ASIDE[1] + 0.01, FIELD_MAX[1] - 0.03)
    places = {"plate": (*centre, 0.0)}
    fixed = [(centre, PLATE_RADIUS)]
    if task.kind == "take":
        fixed.append((centre + ASIDE, _ASIDE_RADIUS))
    stills = [(np.array([still.x, still.y]), still.radius) for still in props.distractors]
    if any(not _clear(*still, fixed) for still in stills):
        return None
    taken = fixed + stills
    for slot in SLOTS:
        yaw = float(rng.uniform(-LARGEST_YAW, LARGEST_YAW))
        if task.kind == "take" and slot == task.vegetable:
            places[slot] = (*(centre + rng.uniform(-0.015, 0.015, 2)), yaw)
            continue
        radius = props[slot].radius
        for _ in range(20):
            spot = rng.uniform(FIELD_MIN, FIELD_MAX)
            if _clear(spot, radius, taken):
                break
        else:
            return None
        places[slot] = (*spot, yaw)
        taken.append((spot, radius))
    return {name: tuple(float(value) for value in place) for name, place in places.items()}


def _clear(spot: np.ndarray, radius: float, taken: list[tuple[np.ndarray, float]]) -> bool:
    """Whether a circle at `spot` leaves room for the fingers to each of the others."""
    return all(np.linalg.norm(spot - other) > far + radius + _GAP for other, far in taken)
