"""Reports of a run in progress: a progress bar, a line per evaluation, log.jsonl, TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from gr1_core.progress import ProgressLines
from gr1_core.train.run_folder import RunFolder


class TrainingLog:
    """label: before the progress bar. batch: windows per step. step: where the run goes on."""

    def __init__(self, folder: RunFolder, label: str, batch: int, step: int, steps: int):
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._batch = folder, batch
        self._board = SummaryWriter(folder.path / "tensorboard", purge_step=step + 1 if step else None)
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=steps, initial=step, desc=label, unit="step", dynamic_ncols=True, disable=not terminal
        )
        self._lines = None if terminal else ProgressLines(f"{label}: step", steps, step)
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
        for name, value in losses.items():
            self._board.add_scalar(f"train/{name}", value, step)
        self._board.add_scalar("train/lr", learning_rate, step)

    def add_evaluation(self, entry: dict, image: np.ndarray | None) -> None:
        """entry: a line of log.jsonl, without its speed, which is that of the steps since the last
        evaluation. image: u8[H, W, 3].
        """
        windows_per_s, waiting = self._speed()
        self._folder.append_log(entry | {"speed": {"windows_per_s": windows_per_s, "waiting": waiting}})
        step, held = entry["step"], entry.get("held_out", {})
        for name, value in held.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"held_out/{name}", value, step)
        if image is not None:
            self._board.add_image("predicted", image, step, dataformats="HWC")
        self._board.add_scalar("speed/windows_per_s", windows_per_s, step)
        self._board.flush()
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
        self._board.close()

    def _speed(self) -> tuple[float, float]:
        """(windows per second, share of the time spent waiting for data)."""
        seconds = self._seconds or 1e-9
        return self._steps * self._batch / seconds, (self._waited - self._waited_before) / seconds
