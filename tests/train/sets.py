"""Small datasets that can be learned: a bright square moves in the direction that the instruction names."""

from __future__ import annotations

import numpy as np

from gr1_core import Rig, images
from gr1_core.data.convert.sources.source import Episode
from gr1_core.data.dataset_writer import DatasetWriter

SHAPES = {"static": (36, 48), "wrist": (32, 32)}
MOVES = {
    "move to the left": (-1.0, 0.2, 0.1),
    "move to the right": (1.0, 0.2, 0.1),
    "move down": (0.0, -1.0, 0.1),
}


def rig() -> Rig:
    """The Kinova's, with small cameras."""
    raw = Rig.load("kinova_gen2").to_dict()
    for role, (height, width) in SHAPES.items():
        raw["cameras"][role] |= {"height": height, "width": width}
    return Rig.from_dict(raw)


def demonstrations(root, episodes: int = 12, length: int = 16, seed: int = 0):
    """Writes a set of demonstrations at 10 Hz; returns its folder."""
    generator = np.random.default_rng(seed)
    writer = DatasetWriter(root, 10, SHAPES, rig(), {"kind": "demonstrations", "source": "bags"})
    for number in range(episodes):
        task = list(MOVES)[number % len(MOVES)]
        writer.add_episode(_episode(generator, task, length, f"episode {number}"))
    writer.close()
    return root


def videos(root, clips: int = 6, length: int = 11, seed: int = 1):
    """Writes a set of videos at 3 frames a second, static camera only."""
    generator = np.random.default_rng(seed)
    writer = DatasetWriter(root, 3, {"static": SHAPES["static"]}, None, {"kind": "videos", "source": "ego4d"})
    for number in range(clips):
        made = _episode(generator, list(MOVES)[number % len(MOVES)], length, f"clip {number}")
        writer.add_episode(Episode(made.name, made.task, {"static": made.images["static"]}, None, None, {}))
    writer.close()
    return root


def _episode(generator, task: str, length: int, name: str) -> Episode:
    move = np.array(MOVES[task])
    place = generator.uniform(-0.2, 0.2, 3)
    states, actions, frames = [], [], {role: [] for role in SHAPES}
    for step in range(length):
        closed = step > length // 2
        states.append([*place, 0, 0, 0, -1 if step > length // 2 + 1 else 1])
        actions.append([*move, 0.1 * move[0], 0, 0, -1 if closed else 1])
        for role, shape in SHAPES.items():
            frames[role].append(images.encode_png(_picture(place, shape)))
        place = place + 0.02 * move
    vectors = (np.array(values, np.float32) for values in (states, actions))
    return Episode(name, task, frames, *vectors, {})


def _picture(place, shape) -> np.ndarray:
    height, width = shape
    image = np.tile(np.linspace(20, 90, width).astype(np.uint8)[None, :, None], (height, 1, 3))
    row, column = (
        int((0.5 - value) * (size - 6)) for value, size in ((place[1], height), (-place[0], width))
    )
    image[max(0, row) : row + 6, max(0, column) : column + 6] = (240, 200, 40)
    return image
