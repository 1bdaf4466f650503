"""Which instruction each task of a chain is given: the official one, one of fifty unseen ones, or one of a
file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from gr1_core.calvin.chains import Chain
from gr1_core.calvin.checkout import Checkout
from gr1_core.calvin.expert import TASKS
from gr1_core.eval.worker_process import WorkerError

UNSEEN = Path(__file__).parent / "unseen_instructions.yaml"
"""{task: fifty synonymous instructions}, written for this project; none is among the official training
annotations.
"""


class InstructionsError(WorkerError):
    """A file of instructions that cannot be used."""


def load(name: str, checkout: Checkout) -> dict[str, list[str]]:
    """{task: instructions}. name: "official", "unseen" or a YAML file with the same structure.

    Raises InstructionsError.
    """
    if name == "official":
        return {task: [text] for task, text in checkout.instructions().items()}
    path = UNSEEN if name == "unseen" else Path(name)
    try:
        read = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InstructionsError(
            f"--instructions {name}: cannot be read ({error}); give official, unseen or a YAML file "
            f"{{task: [instructions]}}"
        ) from error
    if not isinstance(read, Mapping):
        raise InstructionsError(f"{path}: expected {{task: [instructions]}}, got {type(read).__name__}")
    if missing := [task for task in TASKS if not _texts(read.get(task))]:
        raise InstructionsError(
            f"{path}: no instructions for {', '.join(missing)}: each of the 34 tasks needs a list of texts"
        )
    return {task: list(read[task]) for task in TASKS}


def chosen(chain: Chain, instructions: Mapping[str, Sequence[str]], seed: int = 0) -> tuple[str, ...]:
    """One instruction for each task, drawn anew for each; the same for the same chain and seed."""
    rng = np.random.default_rng([seed, chain.number])
    return tuple(instructions[task][rng.integers(len(instructions[task]))] for task in chain.tasks)


def _texts(value) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(text, str) and text.strip() for text in value)
    )
