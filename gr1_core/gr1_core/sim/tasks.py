"""The eleven tasks: their instructions, their layouts and their success criteria."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gr1_core.sim.instructions import instructions_for
from gr1_core.sim.objects.catalogue import SLOTS, STANDARD_OBJECTS, ObjectSet
from gr1_core.sim.scene import DRAWER_TRAVEL, PLATE_FLOOR, PLATE_RADIUS
from gr1_core.sim.state import StateView
from gr1_core.suggestions import did_you_mean

# x, y in metres of the area in which plate and objects are placed, and of the cabinet's front
PLACEMENT_MIN, PLACEMENT_MAX = np.array([0.30, -0.32]), np.array([0.55, 0.09])
CABINET_MIN, CABINET_MAX = np.array([0.575, 0.255]), np.array([0.605, 0.295])
SET_DOWN_OFFSET = np.array([0.0, -0.165])  # from the plate's centre to where `take` puts the object down
# Yaw of an elongated object against the gripper's zero: far from +-90 degrees, where the nearest grasp would
# flip
MAX_YAW = math.radians(60)
PICK_HEIGHT = 0.08  # m that an object must rise to count as picked
DRAWER_OPEN, DRAWER_CLOSED = 0.12, 0.01  # m: opening above which a drawer is open, below which it is closed
_SET_DOWN_RADIUS = 0.055  # m kept free where `take` puts the object down
_CLEARANCE = 0.030  # m between neighbours, for the fingers
_ATTEMPTS = 20  # positions sampled for an object before the whole layout is sampled again


@dataclass(frozen=True)
class Task:
    """One task.

    kind: pick, put, take, open or close. slot: the slot of the object to handle, None for the drawer.
    instructions: for training, with the standard object, the first one canonical. held_out: for tests only.
    """

    name: str
    kind: str
    slot: str | None
    instructions: tuple[str, ...]
    held_out: tuple[str, ...]

    def noun(self, objects: ObjectSet = STANDARD_OBJECTS) -> str | None:
        """Noun of the object to handle, for example "bell pepper"; None for the drawer."""
        return None if self.slot is None else objects.noun(self.slot)

    def instructions_for(self, noun: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns (training instructions, held-out instructions) about an object called `noun`."""
        return instructions_for(self.kind, noun)

    def is_success(self, state, objects: ObjectSet = STANDARD_OBJECTS) -> bool:
        """Whether a state vector fulfils the goal.

        pick: the object is in the gripper, above the table. put, take: it is released and at rest on or
        beside the plate. open, close: the drawer's opening passes its limit.
        """
        view = StateView(state)
        if self.kind == "open":
            return view.drawer > DRAWER_OPEN
        if self.kind == "close":
            return view.drawer < DRAWER_CLOSED
        position, rest_height = view.position(self.slot), objects[self.slot].rest_height
        in_gripper = float(np.linalg.norm(position - view.measured[:3])) < 0.055
        if self.kind == "pick":
            return bool(position[2] > rest_height + PICK_HEIGHT and in_gripper)
        offset = position - view.position("plate")
        distance = float(np.hypot(offset[0], offset[1]))
        released = view.closure < 0.3 and view.measured[2] > position[2] + 0.03
        if self.kind == "put":
            on_plate = distance < PLATE_RADIUS - 0.02 and offset[2] < rest_height + PLATE_FLOOR + 0.02
            return bool(on_plate and released)
        return bool(distance > PLATE_RADIUS + 0.02 and position[2] < rest_height + 0.015 and released)


_NAMES = {"pick": "pick_{}", "put": "put_{}_on_plate", "take": "take_{}_from_plate"}


def _make_tasks() -> dict[str, Task]:
    """The order is part of the state vector and of the layouts' seeds."""
    kinds = [(name.format(slot), kind, slot) for slot in SLOTS for kind, name in _NAMES.items()]
    kinds += [("open_drawer", "open", None), ("close_drawer", "close", None)]
    return {
        name: Task(name, kind, slot, *instructions_for(kind, slot and STANDARD_OBJECTS.noun(slot)))
        for name, kind, slot in kinds
    }


TASKS: dict[str, Task] = _make_tasks()


def find_task(name: str) -> Task:
    """Returns the task of that name. Raises ValueError for an unknown one, with the nearest name if there is
    one.
    """
    if name in TASKS:
        return TASKS[name]
    hint = did_you_mean(str(name), TASKS) or f"; there are {', '.join(TASKS)}"
    raise ValueError(f"unknown task '{name}'{hint}")


def parse_task_names(text: str) -> list[str]:
    """Parses the option --tasks: "all" or names separated by commas. Each name is returned once.

    Raises ValueError for unknown and empty names.
    """
    names = list(TASKS) if text.strip() == "all" else [name.strip() for name in text.split(",")]
    if "" in names:
        raise ValueError(
            f"--tasks '{text}': a name is empty: give names separated by commas, or all. "
            f"Tasks: {', '.join(TASKS)}"
        )
    return list(dict.fromkeys(find_task(name).name for name in names))


@dataclass(frozen=True)
class Layout:
    """Initial poses on the table, in metres and radians.

    poses: body -> (x, y, yaw). cabinet: x, y of its front. drawer: its opening. on_plate: the slot whose
    object lies on the plate, or None.
    """

    poses: dict[str, tuple[float, float, float]]
    cabinet: np.ndarray
    drawer: float
    on_plate: str | None
    instruction: str


def sample_layout(task: Task, seed: int, objects: ObjectSet = STANDARD_OBJECTS) -> Layout:
    """Returns the layout of a seed, the same on every machine. Samples until all objects fit."""
    rng = np.random.default_rng([seed, list(TASKS).index(task.name)])
    instructions = task.instructions_for(task.noun(objects))[0]
    instruction = instructions[int(rng.integers(len(instructions)))]
    cabinet = rng.uniform(CABINET_MIN, CABINET_MAX)
    drawer = float(rng.uniform(0.11, DRAWER_TRAVEL - 0.01)) if task.kind == "close" else 0.0
    while True:
        poses = _sample_poses(task, rng, objects)
        if poses is not None:
            return Layout(poses, cabinet, drawer, task.slot if task.kind == "take" else None, instruction)


def is_set_down_free(layout: Layout, objects: ObjectSet) -> bool:
    """Whether `take` has room to put an object down: inside the placement area and clear of all objects."""
    centre = np.array(layout.poses["plate"][:2])
    if centre[1] < PLACEMENT_MIN[1] - SET_DOWN_OFFSET[1] + 0.01:
        return False
    occupied = [
        (np.array(layout.poses[slot][:2]), objects[slot].radius) for slot in SLOTS if slot != layout.on_plate
    ]
    occupied += [(np.array([item.x, item.y]), item.radius) for item in objects.distractors]
    return is_free(centre + SET_DOWN_OFFSET, _SET_DOWN_RADIUS, occupied)


def _sample_poses(
    task: Task, rng: np.random.Generator, objects: ObjectSet
) -> dict[str, tuple[float, float, float]] | None:
    """One attempt: the plate first, then each object. None where one of them finds no free position."""
    centre = rng.uniform(PLACEMENT_MIN + 0.05, PLACEMENT_MAX - 0.05)
    if task.kind == "take":
        centre[1] = rng.uniform(PLACEMENT_MIN[1] - SET_DOWN_OFFSET[1] + 0.01, PLACEMENT_MAX[1] - 0.03)
    poses = {"plate": (*centre, 0.0)}
    occupied = [(centre, PLATE_RADIUS)]
    if task.kind == "take":
        occupied.append((centre + SET_DOWN_OFFSET, _SET_DOWN_RADIUS))
    distractors = [(np.array([item.x, item.y]), item.radius) for item in objects.distractors]
    if any(not is_free(*circle, occupied) for circle in distractors):
        return None
    occupied = occupied + distractors
    for slot in SLOTS:
        yaw = float(rng.uniform(-MAX_YAW, MAX_YAW))
        if task.kind == "take" and slot == task.slot:
            poses[slot] = (*(centre + rng.uniform(-0.015, 0.015, 2)), yaw)
            continue
        radius = objects[slot].radius
        for _ in range(_ATTEMPTS):
            position = rng.uniform(PLACEMENT_MIN, PLACEMENT_MAX)
            if is_free(position, radius, occupied):
                break
        else:
            return None
        poses[slot] = (*position, yaw)
        occupied.append((position, radius))
    return {name: tuple(float(value) for value in pose) for name, pose in poses.items()}


def is_free(position: np.ndarray, radius: float, occupied: list[tuple[np.ndarray, float]]) -> bool:
    """Whether a circle keeps the clearance to all occupied circles (centre, radius)."""
    return all(np.linalg.norm(position - centre) > other + radius + _CLEARANCE for centre, other in occupied)
