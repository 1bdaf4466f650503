"""Windows: the frames of one training sample.

A window starts at any frame of an episode and has `window` steps, one every 1/hz seconds. `future_steps` more
frames are read, so that every step with a future frame inside the episode is supervised by it. Steps past the
episode's end repeat its last frame and are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from gr1_core.data.dataset import Dataset, DatasetError


@dataclass
class Batch:
    """B windows of W steps and n future frames. Missing steps (past the episode's end) come last in a window.

    frames i64[B, W + n]: rows of the dataset, clamped to the episode's last frame. state f32[B, W, 7]: xyz,
    Euler angles, +1 open / -1 closed; repeats with the frames; None for videos. action f32[B, W, 7]: 0 where
    not valid; None for videos, and where steps are not control periods. later_action f32[B, n, 7] and
    later_valid bool[B, n]: the same for the n = chunk - 1 steps after the window. tokens i64[B, 77].
    valid bool[B, W]: the step lies inside the episode and is learned from. future bool[B, W]: and so does the
    frame n steps later. weight f32[B, W]: of each step in the losses; None where all are 1.
    images {role: u8[B, W + n, h, w, 3]}: each frame as the model sees it (cropped, RGB); empty if not
    requested.
    """

    frames: np.ndarray
    state: np.ndarray | None
    action: np.ndarray | None
    tokens: np.ndarray
    valid: np.ndarray
    future: np.ndarray
    images: dict[str, np.ndarray] = field(default_factory=dict)
    later_action: np.ndarray | None = None
    later_valid: np.ndarray | None = None
    weight: np.ndarray | None = None


class Windows:
    """All windows of the chosen episodes; window i starts at their i-th frame, in the order of `episodes`.

    episodes: their numbers; None: all. hz: steps per second, at most the dataset's fps (the default); step k
    is the frame nearest to k * fps / hz frames after the start (the later one of two). chunk: each step needs
    its own action and those of the chunk - 1 steps after it. weights: f32[frames of the dataset], of a step
    at each frame; 0: it is part of the history, but nothing is learned from it. None: all 1.
    """

    def __init__(
        self,
        dataset: Dataset,
        episodes: Sequence[int] | None,
        window: int,
        future_steps: int,
        hz: float | None = None,
        chunk: int = 1,
        weights: np.ndarray | None = None,
    ):
        if window < 1 or future_steps < 0:
            raise ValueError(f"window {window}, future_steps {future_steps}: expected at least 1 and 0")
        self.dataset, self.window, self.future_steps, self.chunk = dataset, window, future_steps, chunk
        self.weights = weights
        self.hz = dataset.fps if hz is None else hz
        self.offsets = step_offsets(dataset.fps, self.hz, window + future_steps)
        self.episodes = (
            np.arange(len(dataset.episodes)) if episodes is None else np.asarray(episodes, np.int64)
        )
        if not len(self.episodes) or self.episodes.min() < 0 or self.episodes.max() >= len(dataset.episodes):
            raise ValueError(
                f"{len(self.episodes)} episodes chosen of {len(dataset.episodes)} (0 to "
                f"{len(dataset.episodes) - 1}) in {dataset.root}"
            )
        bounds = dataset.episodes[self.episodes]
        self._starts, self._ends = bounds["start"], bounds["end"]
        self._first = np.concatenate([[0], np.cumsum(self._ends - self._starts)])
        self._tokens = _text_tokens(dataset, np.unique(dataset.task_of[self.episodes]))

    def __len__(self) -> int:
        return int(self._first[-1])

    @property
    def bounds(self) -> np.ndarray:
        """First row and end of each of the episodes, i64[E, 2]."""
        return np.column_stack([self._starts, self._ends])

    def usable(self) -> np.ndarray:
        """Numbers of the windows with at least one step that is learned from, i64."""
        everything = np.arange(len(self))
        if self.weights is None or (self.weights > 0).all():
            return everything
        parts = np.array_split(everything, max(1, len(everything) // 100_000))
        return np.concatenate([part[self.masks(part)[1].any(1)] for part in parts])

    def locate(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """Window numbers -> (position in `episodes`, first frame's row in the dataset), i64[B] each."""
        indices = np.asarray(indices, np.int64)
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"window {indices.min()} to {indices.max()} of {len(self)}")
        episode = np.searchsorted(self._first, indices, "right") - 1
        return episode, self._starts[episode] + indices - self._first[episode]

    def masks(self, indices) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Window numbers -> (frames i64[B, W + n], valid bool[B, W], future bool[B, W]); see Batch."""
        episode, start = self.locate(indices)
        rows, end = start[:, None] + self.offsets, self._ends[episode][:, None]
        inside = rows < end
        frames = np.minimum(rows, end - 1)
        valid, future = inside[:, : self.window], inside[:, self.future_steps :]
        if self.weights is not None:
            used = self.weights[frames[:, : self.window]] > 0
            valid, future = valid & used, future & used
        return frames, valid, future

    def has_future(self, indices) -> np.ndarray:
        """bool[B]: whether any step of the window has a future frame to learn from."""
        return self.masks(indices)[2].any(1)

    def counts(self, indices) -> tuple[float, float]:
        """Numbers of valid steps and of steps with a future frame, each counted with its weight, summed over
        the windows.

        Decodes nothing.
        """
        frames, valid, future = self.masks(indices)
        if self.weights is None:
            return int(valid.sum()), int(future.sum())
        weight = self.weights[frames[:, : self.window]].astype(np.float64)
        return float(weight[valid].sum()), float(weight[future].sum())

    def batch(self, indices) -> Batch:
        """The windows without their images."""
        episode, _ = self.locate(indices)
        frames, valid, future = self.masks(indices)
        seen, data = frames[:, : self.window], self.dataset
        state = None if data.state is None else data.state[seen]
        action = None
        if data.action is not None and self.hz == data.fps:
            action = data.action[seen] * valid[..., None]
        tokens = self._tokens[data.task_of[self.episodes[episode]]].astype(np.int64)
        batch = Batch(frames, state, action, tokens, valid, future)
        if self.weights is not None:
            batch.weight = self.weights[seen]
        if action is not None and self.chunk > 1:
            self._add_later_actions(batch, indices)
        return batch

    def _add_later_actions(self, batch: Batch, indices) -> None:
        episode, start = self.locate(indices)
        rows = start[:, None] + self.window + np.arange(self.chunk - 1)
        end = self._ends[episode][:, None]
        batch.later_valid, rows = rows < end, np.minimum(rows, end - 1)
        if self.weights is not None:
            batch.later_valid &= self.weights[rows] > 0
        actions = self.dataset.action[rows]
        batch.later_action = actions * batch.later_valid[..., None]


def step_offsets(fps: float, hz: float, count: int) -> np.ndarray:
    """Frames from a window's start to each of its steps, i64[count]: k * fps / hz, rounded half up."""
    if not 0 < hz <= fps:
        raise ValueError(
            f"{hz:g} steps a second cannot be taken from {fps:g} frames a second: choose hz up to {fps:g}"
        )
    ratio = Fraction(fps) / Fraction(hz)
    return np.array([int(k * ratio + Fraction(1, 2)) for k in range(count)], np.int64)


def split_episodes(
    dataset: Dataset, fraction: float, seed: int, least: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Episodes -> (training, held out), sorted numbers; the same for the same dataset, fraction and seed.

    Of each instruction with at least `least` episodes, `fraction` of the episodes is held out (rounded, at
    least one). Rarer instructions stay in training. If all are rarer (narrated videos), episodes are drawn
    without regard to their instruction.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"held-out fraction {fraction} is not in [0, 1)")
    everything = np.arange(len(dataset.episodes))
    groups = [np.flatnonzero(dataset.task_of == task) for task in range(len(dataset.tasks))]
    groups = [group for group in groups if len(group) >= least] or [everything]
    generator = np.random.default_rng(seed)
    held = []
    for group in groups:
        count = min(max(1, round(fraction * len(group))), len(group) - 1) if fraction else 0
        held.append(generator.permutation(group)[:count])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(everything, held), held


def _text_tokens(dataset: Dataset, used: np.ndarray) -> np.ndarray:
    """CLIP's token ids of all texts u16[tasks, 77], computed once per machine: Ego4D has hundreds of
    thousands of texts.

    A text that CLIP cannot take is a row of zeros; it is an error only if its task is among `used`.
    """
    path = dataset.cache.path("tokens.npy")
    if not path.is_file():
        with dataset.cache.creating(path.name, 160 * len(dataset.tasks)) as partial:
            if partial is not None:
                _write_tokens(dataset.tasks, partial)
    tokens = np.load(path)
    for task in used[tokens[used, 0] == 0]:
        from gr1_core.model.language import tokenize

        try:
            tokenize(dataset.tasks[task])
        except ValueError as error:
            raise DatasetError(f"{dataset.root}: task {task}: {error}") from error
    return tokens


def _write_tokens(texts: Sequence[str], path: Path) -> None:
    from gr1_core.model.language import CONTEXT, tokenize

    rows = np.zeros((len(texts), CONTEXT), np.uint16)
    for row, text in zip(rows, texts):
        with suppress(ValueError):
            row[:] = tokenize(text)
    with open(path, "wb") as file:
        np.save(file, rows)
