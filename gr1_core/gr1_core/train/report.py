"""What a run says while it goes on: a progress bar, a line for each evaluation, log.jsonl, TensorBoard."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from gr1_core.train.trainer import Trainer


class TrainingLog:
    def __init__(self, trainer: Trainer):
        from torch.utils.tensorboard import SummaryWriter

        self.trainer = trainer
        recipe, data = trainer.recipe, trainer.data
        held = 0 if data.held is None else len(data.held.episodes)
        cache = "encoded beforehand" if trainer.feed.cached else "encoded anew"
        print(
            f"{recipe.name}: {len(data.starts)} windows of {len(data.train.episodes)} episodes in {recipe.data}, {held} episodes held out; "
            f"{sum(value.numel() for value in trainer.trained.values()) / 1e6:.1f} M trained parameters; "
            f"{trainer.steps} steps of {recipe.batch} windows on "
            f"{trainer.world} x {trainer.device.type}, {trainer.precision}; images {cache}; in {recipe.out}"
            + (f"; resumed after step {trainer.step}" if trainer.resumed else ""),
            flush=True,
        )
        self.board = SummaryWriter(
            trainer.folder.path / "tensorboard", purge_step=trainer.step + 1 if trainer.resumed else None
        )
        # In a file, a line every half minute is enough.
        every = 0.2 if sys.stderr.isatty() else 30
        self.bar = tqdm(
            total=trainer.steps,
            initial=trainer.step,
            desc=recipe.stage,
            unit="step",
            mininterval=every,
            dynamic_ncols=True,
        )
        self.since, self.seconds, self.counted, self.waited, self.waited_before = (
            time.perf_counter(),
            0.0,
            0,
            0.0,
            0.0,
        )

    def step(self, losses: dict[str, float], lr: float, waited: float) -> None:
        """After each update: its losses, and the seconds spent waiting for data so far."""
        self.counted += 1
        self.waited, self.seconds = waited, time.perf_counter() - self.since
        speed = self.counted * self.trainer.recipe.batch / self.seconds
        self.bar.set_postfix_str(
            " ".join(f"{name} {value:.3g}" for name, value in losses.items())
            + f" | {speed:.1f} windows/s, waiting {(waited - self.waited_before) / self.seconds:.0%}",
            refresh=False,
        )
        self.bar.update()
        step = self.trainer.step
        for name, value in losses.items():
            self.board.add_scalar(f"train/{name}", value, step)
        self.board.add_scalar("train/lr", lr, step)

    def evaluated(self, entry: dict, image: np.ndarray | None) -> None:
        """Writes an evaluation everywhere. The speed is that of training alone since the one before."""
        speed = {
            "windows_per_s": self.counted * self.trainer.recipe.batch / self.seconds,
            "waiting": (self.waited - self.waited_before) / self.seconds,
        }
        self.trainer.folder.log(entry | {"speed": speed})
        step, held = entry["step"], entry.get("held_out", {})
        for name, value in held.items():
            if isinstance(value, (int, float)):
                self.board.add_scalar(f"held_out/{name}", value, step)
        if image is not None:
            self.board.add_image("predicted", image, step, dataformats="HWC")
        self.board.add_scalar("speed/windows_per_s", speed["windows_per_s"], step)
        self.board.flush()
        learned, judged = (
            "  ".join(f"{name} {value:.4g}" for name, value in part.items() if isinstance(value, float))
            for part in (entry["train"], held)
        )
        with tqdm.external_write_mode(file=sys.stderr):
            print(f"step {step}: training  {learned}   held out  {judged or 'nothing'}", flush=True)

    def go_on(self) -> None:
        """Evaluation and saving are over: from here on the time is that of training again."""
        self.since, self.counted, self.waited_before = time.perf_counter(), 0, self.waited

    def close(self) -> None:
        self.bar.close()
        self.board.close()
