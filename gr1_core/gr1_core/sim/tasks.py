"""The eleven tasks: what is said, how the table is laid, and when it is done."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np

from .scene import DRAWER_TRAVEL, PLATE_FLOOR, PLATE_RADIUS, REST_HEIGHT, VEGETABLES
from .state import View

FIELD_MIN, FIELD_MAX = np.array([0.30, -0.32]), np.array([0.55, 0.09])  # where plate and vegetables may lie: x, y in metres
CABINET_MIN, CABINET_MAX = np.array([0.575, 0.255]), np.array([0.605, 0.295])
ASIDE = np.array([0.0, -0.165])  # from the plate's centre to where a taken vegetable is put down
LARGEST_YAW = math.radians(60)  # of an eggplant against the hand's zero: far from +-90 degrees, where the nearest grasp would flip
PICK_HEIGHT = 0.08  # m that a vegetable must rise to count as picked
_RADIUS = {"eggplant": 0.062, "broccoli": 0.042, "bell_pepper": 0.040, "plate": PLATE_RADIUS, "aside": 0.055}
_GAP = 0.030  # m between neighbours, for the fingers
OPEN, CLOSED = 0.12, 0.01  # m: a drawer that counts as open, as closed


@dataclass(frozen=True)
class Task:
    """One task. kind: pick, put, take, open or close. instructions: what is said, the first canonical; held_out: never used in training."""

    name: str
    kind: str
    vegetable: str | None
    instructions: tuple[str, ...]
    held_out: tuple[str, ...]

    def done(self, state) -> bool:
        """Whether a state vector reaches the goal. Pick: held in the air. Put, take: let go and at rest there. Drawer: far enough."""
        view = View(state)
        if self.kind == "open":
            return view.drawer > OPEN
        if self.kind == "close":
            return view.drawer < CLOSED
        place, rest = view.place(self.vegetable), REST_HEIGHT[self.vegetable]
        in_hand = float(np.linalg.norm(place - view.measured[:3])) < 0.055
        if self.kind == "pick":
            return bool(place[2] > rest + PICK_HEIGHT and in_hand)
        offset = place - view.place("plate")
        far = float(np.hypot(offset[0], offset[1]))
        let_go = view.closure < 0.3 and view.measured[2] > place[2] + 0.03
        if self.kind == "put":
            return bool(far < PLATE_RADIUS - 0.02 and offset[2] < rest + PLATE_FLOOR + 0.02 and let_go)
        return bool(far > PLATE_RADIUS + 0.02 and place[2] < rest + 0.015 and let_go)


def _said(name: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {
        f"pick_{name.replace(' ', '_')}": (
            (
                f"pick up the {name}",
                f"grasp the {name} and lift it",
                f"lift the {name} off the table",
                f"take hold of the {name} and raise it",
            ),
            (f"raise the {name} into the air", f"get the {name}"),
        ),
        f"put_{name.replace(' ', '_')}_on_plate": (
            (
                f"put the {name} on the plate",
                f"place the {name} on the plate",
                f"move the {name} onto the plate",
                f"set the {name} down on the plate",
            ),
            (f"the {name} belongs on the plate", f"bring the {name} to the plate and leave it there"),
        ),
        f"take_{name.replace(' ', '_')}_from_plate": (
            (
                f"take the {name} from the plate",
                f"remove the {name} from the plate",
                f"move the {name} off the plate",
                f"take the {name} off the plate and put it on the table",
            ),
            (f"clear the {name} from the plate", f"put the {name} from the plate onto the table"),
        ),
    }


def _tasks() -> dict[str, Task]:
    tasks = {}
    for vegetable in VEGETABLES:
        for name, (instructions, held_out) in _said(vegetable.replace("_", " ")).items():
            tasks[name] = Task(name, name.split("_")[0], vegetable, instructions, held_out)
    tasks["open_drawer"] = Task(
        "open_drawer",
        "open",
        None,
        ("open the drawer", "pull the drawer open", "pull the handle to open the drawer", "slide the drawer out"),
        ("get the drawer open", "draw out the drawer by its handle"),
    )
    tasks["close_drawer"] = Task(
        "close_drawer",
        "close",
        None,
        ("close the drawer", "push the drawer shut", "push the drawer in until it is closed", "slide the drawer back in"),
        ("shut the drawer", "the drawer should be closed"),
    )
    return tasks


TASKS: dict[str, Task] = _tasks()


def find(name: str) -> Task:
    """The task of that name; an unknown one is refused with the closest that exists."""
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(str(name), TASKS, 1, 0.0)
    raise ValueError(f"unknown task '{name}', did you mean '{near[0]}'? Tasks: {', '.join(TASKS)}")


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


def lay(task: Task, seed: int) -> Layout:
    """The layout of a seed: the same on every machine. Draws again from the start when the things do not fit."""
    rng = np.random.default_rng([seed, list(TASKS).index(task.name)])
    instruction = task.instructions[int(rng.integers(len(task.instructions)))]
    cabinet = rng.uniform(CABINET_MIN, CABINET_MAX)
    drawer = float(rng.uniform(0.11, DRAWER_TRAVEL - 0.01)) if task.kind == "close" else 0.0
    while True:
        places = _scatter(task, rng)
        if places is not None:
            return Layout(places, cabinet, drawer, task.vegetable if task.kind == "take" else None, instruction)


def _scatter(task: Task, rng: np.random.Generator) -> dict[str, tuple[float, float, float]] | None:
    """One try: plate first, then each vegetable within twenty draws; None when one finds no room."""
    centre = rng.uniform(FIELD_MIN + 0.05, FIELD_MAX - 0.05)
    if task.kind == "take":
        centre[1] = rng.uniform(FIELD_MIN[1] - ASIDE[1] + 0.01, FIELD_MAX[1] - 0.03)
    places = {"plate": (*centre, 0.0)}
    taken = [(centre, _RADIUS["plate"])]
    if task.kind == "take":
        taken.append((centre + ASIDE, _RADIUS["aside"]))
    for vegetable in VEGETABLES:
        yaw = float(rng.uniform(-LARGEST_YAW, LARGEST_YAW))
        if task.kind == "take" and vegetable == task.vegetable:
            places[vegetable] = (*(centre + rng.uniform(-0.015, 0.015, 2)), yaw)
            continue
        for _ in range(20):
            spot = rng.uniform(FIELD_MIN, FIELD_MAX)
            if all(np.linalg.norm(spot - other) > radius + _RADIUS[vegetable] + _GAP for other, radius in taken):
                break
        else:
            return None
        places[vegetable] = (*spot, yaw)
        taken.append((spot, _RADIUS[vegetable]))
    return {name: tuple(float(value) for value in place) for name, place in places.items()}
