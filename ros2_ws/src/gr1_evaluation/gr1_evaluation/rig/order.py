"""The blinded order of the two checkpoints, and the file that keeps it closed. ROS-free.

The file is not encrypted: it is written so that nobody reads the order by accident. Its SHA-256 is printed at
the start and stands in every line of the results, so the order cannot be changed afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import secrets
from dataclasses import dataclass
from pathlib import Path

from gr1_core import atomic_write

FILE = "order.sealed"
BLOCK = 4
"""Pairs in which each of the two orders occurs equally often."""
_HEAD = "# The blinded order. `gr1 evaluate rig` opens it at the end, or with --reveal.\n"


@dataclass(frozen=True)
class Order:
    """first: for each pair the number of the checkpoint (0: A, 1: B) that comes first. sha256: of the sealed
    content.
    """

    first: tuple[int, ...]
    sha256: str

    def checkpoint(self, pair: int, position: int) -> int:
        """0: A, 1: B. position: 0 or 1 within the pair."""
        return self.first[pair] ^ position


def write(folder: Path, pairs: int, seed: int | None = None) -> Order:
    """Draws the order and seals it. seed: None: one that nobody knows."""
    seed = secrets.randbits(64) if seed is None else seed
    chance, first = random.Random(seed), []
    while len(first) < pairs:
        block = [0, 1] * (BLOCK // 2)
        chance.shuffle(block)
        first += block
    content = json.dumps({"seed": seed, "first": first[:pairs], "salt": secrets.token_hex(16)})
    text = base64.b64encode(content.encode()).decode()
    atomic_write.write_text(folder / FILE, f"{_HEAD}{text}\n")
    return _parse(content)


def read(folder: Path) -> Order:
    """Opens the file. Raises ValueError for a damaged one."""
    file = folder / FILE
    try:
        text = "".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
        return _parse(base64.b64decode(text, validate=True).decode())
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}): the evaluation in {folder} cannot go on") from error


def _parse(content: str) -> Order:
    first = tuple(int(one) for one in json.loads(content)["first"])
    return Order(first, hashlib.sha256(content.encode()).hexdigest())
