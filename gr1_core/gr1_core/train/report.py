"""Reports of a run in progress: a progress bar, a line per evaluation, log.jsonl, curves (`boards`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from gr1_core.progress import ProgressLines
from gr1_core.train.boards import make_boards
from gr1_core.train.recipe import Recipe
from gr1_core.train.run_folder import RunFolder


class TrainingLog:
    """step, steps: where the run goes on, and its end. Raises BoardError."""

    def __init__(self, folder: RunFolder, recipe: Recipe, step: int, steps: int):
        self._folder, self._batch, label = folder, recipe.batch, recipe.stage
        self._boards = make_boards(folder.path, recipe, step)
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=steps, initial=step, desc=label, unit="step", dynamic_ncols=True, disable=not terminal
        )
        self._lines = None if terminal else ProgressLines(label, steps, step)
        self._started, self._seconds = time.perf_counter(), 0.0
        self._steps, self._waited, self._waited_before = 0, 0.0, 0.0

    def add_step(self, step: int, losses: Mapping[str, float], learning_rate: float, waited: float) -> None:
        """After update number `step`. waited: seconds spent waiting for data since the start of the run."""
        self._steps += 1
        self._waited, self._seconds = waited, time.perf_counter() - self._started
        listed = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
        windows_per_s, waiting = self._speed()
        note = f"{listed} | {windows_per_s:.1f} windows/s, waiting {waiting:.0%}"
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update()
        if self._lines:
            self._lines.show(step, note)
        self._add_scalars("train", losses | {"lr": learning_rate}, step)

    def add_evaluation(self, entry: dict, image: np.ndarray | None) -> None:
        """entry: a line of log.jsonl, without its speed, which is that of the steps since the last
        evaluation. image: u8[H, W, 3].
        """
        windows_per_s, waiting = self._speed()
        self._folder.append_log(entry | {"speed": {"windows_per_s": windows_per_s, "waiting": waiting}})
        step, held = entry["step"], entry.get("held_out", {})
        self._add_scalars("held_out", held, step)
        self._add_scalars("speed", {"windows_per_s": windows_per_s}, step)
        for board in self._boards:
            if image is not None:
                board.add_image("predicted", image, step, dataformats="HWC")
            board.flush()
        training, held_out = (
            "  ".join(f"{name} {value:.4g}" for name, value in part.items() if isinstance(value, float))
            for part in (entry["train"], held)
        )
        with tqdm.external_write_mode(file=sys.stderr):
            print(f"step {step}: training  {training}   held out  {held_out or 'nothing'}", flush=True)

    def restart_timing(self) -> None:
        """After an evaluation: only training counts as time."""
        self._started, self._steps, self._waited_before = time.perf_counter(), 0, self._waited

    def close(self) -> None:
        self._bar.close()
        for board in self._boards:
            board.close()

    def _add_scalars(self, group: str, values: Mapping[str, object], step: int) -> None:
        for board in self._boards:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    board.add_scalar(f"{group}/{name}", value, step)

    def _speed(self) -> tuple[float, float]:
        """(windows per second, share of the time spent waiting for data)."""
        seconds = self._seconds or 1e-9
        return self._steps * self._batch / seconds, (self._waited - self._waited_before) / seconds
