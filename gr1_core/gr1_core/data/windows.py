"""Windows: which frames one training sample is made of.

A window starts at any frame of an episode and has `window` steps, one every 1/hz seconds; `future_steps` more frames are read, so that
every step whose future lies inside the episode is supervised by it. Steps past the episode's end repeat its last frame and are masked.
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
    """B windows of W steps, n future frames. Arrays in memory; `frames` are rows of the dataset.

    frames i64[B, W + n], clamped to the episode's last frame. state f32[B, W, 7] (+1 open / -1 closed last), repeats with the frames.
    action f32[B, W, 7], 0 where not valid; None for videos, and for steps that are not control periods. tokens i64[B, 77].
    valid bool[B, W]: the step lies inside the episode. future bool[B, W]: so does the one n steps later.
    images {role: u8[B, W + n, h, w, 3]}: what the model sees of each frame (cropped, RGB); empty if not asked for.
    """

    frames: np.ndarray
    state: np.ndarray | None
    action: np.ndarray | None
    tokens: np.ndarray
    valid: np.ndarray
    future: np.ndarray
    images: dict[str, np.ndarray] = field(default_factory=dict)


class Windows:
    """Every window of the chosen episodes; window i is the i-th frame of theirs, in the order of `episodes`.

    episodes: their numbers, all if None. hz: steps a second, at most the dataset's fps (the default); step k is the frame nearest to
    k * fps / hz frames after the start (the later one of two).
    """

    def __init__(
        self,
        dataset: Dataset,
        episodes: Sequence[int] | None,
        window: int,
        future_steps: int,
        hz: float | None = None,
    ):
        if window < 1 or future_steps < 0:
            raise ValueError(f"window {window}, future_steps {future_steps}: expected at least 1 and 0")
        self.dataset, self.window, self.future_steps = dataset, window, future_steps
        self.hz = dataset.fps if hz is None else hz
        self.offsets = step_offsets(dataset.fps, self.hz, window + future_steps)
        self.episodes = (
            np.arange(len(dataset.episodes)) if episodes is None else np.asarray(episodes, np.int64)
        )
        if not len(self.episodes) or self.episodes.min() < 0 or self.episodes.max() >= len(dataset.episodes):
            raise ValueError(
                f"{len(self.episodes)} episodes chosen of {len(dataset.episodes)} (0 to {len(dataset.episodes) - 1}) in {dataset.root}"
            )
        bounds = dataset.episodes[self.episodes]
        self._starts, self._ends = bounds["start"], bounds["end"]
        self._first = np.concatenate([[0], np.cumsum(self._ends - self._starts)])
        self._tokens = _tokens(dataset, np.unique(dataset.task_of[self.episodes]))

    def __len__(self) -> int:
        return int(self._first[-1])

    def locate(self, indices) -> tuple[np.ndarray, np.ndarray]:
        """Windows -> (position in `episodes`, first frame's row in the dataset), i64[B] each."""
        indices = np.asarray(indices, np.int64)
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"window {indices.min()} to {indices.max()} of {len(self)}")
        episode = np.searchsorted(self._first, indices, "right") - 1
        return episode, self._starts[episode] + indices - self._first[episode]

    def masks(self, indices) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Windows -> (frames i64[B, W + n], valid bool[B, W], future bool[B, W]); see Batch."""
        episode, start = self.locate(indices)
        rows, end = start[:, None] + self.offsets, self._ends[episode][:, None]
        inside = rows < end
        frames = np.minimum(rows, end - 1)
        return frames, inside[:, : self.window], inside[:, self.future_steps :]

    def counts(self, indices) -> tuple[int, int]:
        """How many steps are valid and how many have a future frame, summed over the windows; nothing is decoded."""
        _, valid, future = self.masks(indices)
        return int(valid.sum()), int(future.sum())

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
        return Batch(frames, state, action, tokens, valid, future)


def step_offsets(fps: float, hz: float, count: int) -> np.ndarray:
    """Frames from a window's start to each of its steps, i64[count]: k * fps / hz, rounded half up."""
    if not 0 < hz <= fps:
        raise ValueError(
            f"{hz:g} steps a second cannot be taken from {fps:g} frames a second: choose hz up to {fps:g}"
        )
    ratio = Fraction(fps) / Fraction(hz)
    return np.array([int(k * ratio + Fraction(1, 2)) for k in range(count)], np.int64)


def split_episodes(dataset: Dataset, fraction: float, seed: int, least: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Episodes -> (training, held out), sorted numbers; the same for the same dataset, fraction and seed.

    Of each instruction with at least `least` episodes, `fraction` of them is held out, at least one and rounded. Rarer instructions stay in
    training; if there are no others (narrated videos), all episodes are drawn from as if they had one instruction.
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


def _tokens(dataset: Dataset, used: np.ndarray) -> np.ndarray:
    """CLIP's token ids of all texts, u16[tasks, 77], computed once per machine: an Ego4D has hundreds of thousands of them.

    A text that CLIP cannot take is a row of zeros; it is an error only if its task is among `used`.
    """

    def build(path: Path) -> None:
        from gr1_core.model.language import CONTEXT, tokenize

        rows = np.zeros((len(dataset.tasks), CONTEXT), np.uint16)
        for task, text in enumerate(dataset.tasks):
            with suppress(ValueError):
                rows[task] = tokenize(text)
        with open(path, "wb") as file:
            np.save(file, rows)

    tokens = np.load(dataset.cache.get("tokens.npy", 160 * len(dataset.tasks), build))
    for task in used[tokens[used, 0] == 0]:
        from gr1_core.model.language import tokenize

        try:
            tokenize(dataset.tasks[task])
        except ValueError as error:
            raise DatasetError(f"{dataset.root}: task {task}: {error}") from error
    return tokens
