"""The golden record's inputs, rebuilt from their rule, and its outputs."""

import json
import zlib
from pathlib import Path

import numpy as np

from gr1_core import Observation

FOLDER = Path(__file__).parents[1] / "golden"
RECORD = json.loads((FOLDER / "tiny.json").read_text())
STEPS = 14


def outputs(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(FOLDER / f"{name}.npz"))


def image(name: str, step: int, side: int, cell: int) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(f"{name}/{step}".encode()))
    coarse = random.randint(0, 224, (side // cell, side // cell, 3))
    noise = random.randint(0, 32, (side, side, 3))
    return (coarse.repeat(cell, 0).repeat(cell, 1) + noise).astype(np.uint8)


def observation(step: int) -> Observation:
    static, wrist = image("rgb_static", step, 200, 40), image("rgb_gripper", step, 84, 12)
    assert [zlib.crc32(static.tobytes()), zlib.crc32(wrist.tobytes())] == RECORD["inputs_crc32"][step]
    arm = np.random.RandomState(zlib.crc32(f"state/{step}".encode())).uniform(-1, 1, 6)
    return Observation(static, wrist, arm, 1 if step // 3 % 2 == 0 else -1)
