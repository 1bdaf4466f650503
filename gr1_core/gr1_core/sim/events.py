"""Events during an evaluation episode: the object is displaced, or the static camera is covered, during the
approach.
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.catalogue import SLOTS
from gr1_core.sim.scene import PLATE_RADIUS
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import PLACEMENT_MAX, PLACEMENT_MIN, TASKS, Task, is_free
from gr1_core.sim.twin import Twin

APPROACH_DISTANCE = 0.15  # m between the open gripper and the grasp point at which an event happens
MIN_DISPLACEMENT, MAX_DISPLACEMENT = 0.05, 0.10  # m
OCCLUSION_SECONDS = 1.0
OCCLUSION_GREY = 64  # of every pixel of a covered camera
_CANDIDATES = 200  # displacements to choose from
_GRIPPER_RADIUS, _GRIPPER_HEIGHT = 0.06, 0.14  # m: room of a low gripper, into which no object is displaced


class Event:
    """Something that happens once in an episode; this one never does."""

    def update(self, twin: Twin, state: np.ndarray) -> None:
        """Called once per control period with the twin and its state, before the twin moves on."""

    def alter_frames(self, state: np.ndarray, frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Images that the policy receives for a state, role -> u8[H, W, 3] RGB; `frames`: those of the
        cameras.
        """
        return frames


class Displacement(Event):
    """Moves the task's object by 5 to 10 cm along the table when the gripper approaches it; from a plate with
    the plate.

    task: one with an object. seed: of the direction and the distance.
    """

    def __init__(self, task: Task, seed: int):
        rng = np.random.default_rng([seed, list(TASKS).index(task.name), 13])
        angles = rng.uniform(-np.pi, np.pi, _CANDIDATES)
        distances = rng.uniform(MIN_DISPLACEMENT, MAX_DISPLACEMENT, _CANDIDATES)
        self._offsets = distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self._slot = task.slot
        self._bodies = (task.slot, "plate") if task.kind == "take" else (task.slot,)
        self.happened = False

    def update(self, twin: Twin, state: np.ndarray) -> None:
        view = StateView(state)
        if self.happened or not _is_approaching(view, self._slot, twin):
            return
        offset = next((offset for offset in self._offsets if self._fits(offset, view, twin)), None)
        if offset is not None:
            twin.displace(self._bodies, offset)
            self.happened = True

    def _fits(self, offset: np.ndarray, view: StateView, twin: Twin) -> bool:
        """Whether the displaced bodies stay in the placement area, clear of the others and of the gripper."""
        others = [body for body in ("plate", *SLOTS) if body not in self._bodies]
        occupied = [(view.position(body)[:2], _radius(body, twin)) for body in others]
        occupied += [(np.array([item.x, item.y]), item.radius) for item in twin.objects.distractors]
        if view.measured[2] < _GRIPPER_HEIGHT:
            occupied.append((view.measured[:2], _GRIPPER_RADIUS))
        for body in self._bodies:
            position = view.position(body)[:2] + offset
            if (position < PLACEMENT_MIN).any() or (position > PLACEMENT_MAX).any():
                return False
            if not is_free(position, _radius(body, twin), occupied):
                return False
        return True


class Occlusion(Event):
    """Covers the static camera for a second when the gripper approaches the task's object: a uniform grey
    image.
    """

    def __init__(self, task: Task, twin: Twin):
        self._slot, self._twin = task.slot, twin
        self._start: float | None = None

    def alter_frames(self, state: np.ndarray, frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        view = StateView(state)
        if self._start is None and _is_approaching(view, self._slot, self._twin):
            self._start = view.time
        if self._start is None or view.time >= self._start + OCCLUSION_SECONDS - 1e-6:
            return frames
        return frames | {"static": np.full_like(frames["static"], OCCLUSION_GREY)}


def _is_approaching(view: StateView, slot: str, twin: Twin) -> bool:
    """Whether the open gripper is near the grasp point of a slot's object."""
    grasp = view.position(slot) + [0.0, 0.0, twin.objects[slot].grasp_height]
    return view.closure_target < 0.5 and float(np.linalg.norm(view.measured[:3] - grasp)) < APPROACH_DISTANCE


def _radius(body: str, twin: Twin) -> float:
    return PLATE_RADIUS if body == "plate" else twin.objects[body].radius
