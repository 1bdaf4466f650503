"""Where a run's curves go: TensorBoard, and Weights & Biases beside it where the recipe says so."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gr1_core import strict_yaml

if TYPE_CHECKING:
    from gr1_core.train.recipe import Recipe

WANDB = "wandb"
_RUN_ID = "run-id"


class BoardError(ValueError):
    """A board that the recipe names and that cannot be used."""


class Board(Protocol):
    """image: u8[H, W, 3]."""

    def add_scalar(self, name: str, value: float, step: int) -> None: ...

    def add_image(self, name: str, image: np.ndarray, step: int, dataformats: str) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def make_boards(folder: Path, recipe: Recipe, step: int) -> list[Board]:
    """The recipe's boards. step: updates before this start. Raises BoardError."""
    from torch.utils.tensorboard import SummaryWriter

    boards = [SummaryWriter(folder / "tensorboard", purge_step=step + 1 if step else None)]
    return boards + ([WandbBoard(folder, recipe)] if recipe.wandb != "off" else [])


class WandbBoard:
    """A run of Weights & Biases, in the project `gr1` or $WANDB_PROJECT's. offline: it stays in the run's
    folder until `wandb sync`. A training run that continues continues it.
    """

    def __init__(self, folder: Path, recipe: Recipe):
        try:
            import wandb
        except ImportError as error:
            raise BoardError(
                f"wandb={recipe.wandb} needs the package wandb, which is not installed: run "
                "`pip install wandb`, or set wandb=off"
            ) from error
        self._wandb = wandb
        (folder / WANDB).mkdir(exist_ok=True)
        file = folder / WANDB / _RUN_ID
        if not file.is_file():
            file.write_text(secrets.token_hex(8))
        try:
            self._run = wandb.init(
                project=None if "WANDB_PROJECT" in os.environ else "gr1",
                name=f"{recipe.name}-{folder.resolve().name}",
                id=file.read_text(),
                resume="allow",
                mode=recipe.wandb,
                dir=folder,
                config=strict_yaml.to_plain(recipe),
                settings=wandb.Settings(silent=True),
            )
        except wandb.Error as error:
            raise BoardError(
                f"wandb={recipe.wandb}: {' '.join(str(error).split())}: run `wandb login`, or set "
                "wandb=offline"
            ) from error

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value}, step=step)

    def add_image(self, name: str, image: np.ndarray, step: int, dataformats: str) -> None:
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def flush(self) -> None:
        """Nothing: each step is written when the next begins."""

    def close(self) -> None:
        self._run.finish()
