"""A small source made of numbers, so that driver, parts, merge and writer can be tested without bags."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit
from gr1_core.rig import Rig

SHAPES = {"static": (36, 64), "wrist": (24, 32)}


def tiny_rig() -> Rig:
    """The Kinova's rig with cameras of SHAPES."""
    rig = Rig.load("kinova_gen2")
    cameras = {
        role: dataclasses.replace(rig.cameras[role], height=height, width=width)
        for role, (height, width) in SHAPES.items()
    }
    return dataclasses.replace(rig, cameras=cameras)


def files(root: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file below a folder."""
    found = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def make_image(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def demonstration(name: str, seed: int, length: int = 12, task: str = "lift the cup", shapes=None) -> Episode:
    rng, shapes = np.random.default_rng(seed), shapes or SHAPES
    encoded = {
        role: [images.encode_jpeg(make_image(1000 * seed + step, shape)) for step in range(length)]
        for role, shape in shapes.items()
    }
    action = np.append(
        rng.normal(size=(length, 6)), np.where(np.arange(length) < length // 2, 1, -1)[:, None], axis=1
    ).astype(np.float32)
    state = np.append(np.cumsum(action[:, :6], 0) * 0.02, action[:, 6:], axis=1).astype(np.float32)
    return Episode(
        name,
        task,
        encoded,
        state,
        action,
        {"source": f"synthetic/{name}", "outcome": "success", "operator": "nobody", "problems": []},
    )


@dataclass
class Synthetic:
    """`count` units of one demonstration each; the units in `damaged` cannot be read, those in `left_out` are
    not wanted.

    killed: the unit whose reader takes its process with it. mark: part of every fingerprint.
    """

    count: int = 4
    damaged: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    settings: dict = field(default_factory=dict)
    kind: str = "demonstrations"
    origin: str = "synthetic"
    fps: int = 10
    shapes: dict = field(default_factory=lambda: dict(SHAPES))
    rig: Rig | None = field(default_factory=tiny_rig)
    mark: str = ""
    killed: int | None = None

    def units(self) -> list[Unit]:
        return [Unit(f"unit-{index:03d}", 1000, index, f"{self.mark}{index}") for index in range(self.count)]

    def read(self, unit: Unit):
        index = unit.payload
        if index == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if index in self.damaged:
            raise SourceError(f"unit-{index:03d}: its disk has a scratch")
        if index in self.left_out:
            yield Skipped(unit.key, "not asked for", intended=True)
            return
        yield demonstration(
            f"episode-{index:03d}", index, 10 + index, ["lift the cup", "open the drawer"][index % 2]
        )
