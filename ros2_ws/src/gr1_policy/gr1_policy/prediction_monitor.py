"""The prediction monitor: compares the model's predicted frames with the real ones. ROS-free.

GR-1 predicts the frames `future_steps` control steps ahead. A step's frame is compared with that prediction
on a coarse grid, because the predictions of a small model are blurred. The residual of a cell is
- the smaller one of |real - predicted| and |real - frame at the time of the prediction|,
- as far as it exceeds three times the motion nearby: the change just before, or the predicted change,
- the minimum over as many steps as a sudden change is visible in this way: `future_steps`, at most 3.
Each camera has two figures, in grey levels: `whole`, the mean over the image (an occluded or bumped camera),
and `local`, the worst cell (an object moved by hand). docs/explanation/policy_runtime.md has the
measurements.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from gr1_policy.inputs import CAMERAS

GRID = 28
MAX_HELD_STEPS = 3
RECENT_STEPS = 30
"""Steps over which `worst` and `blind` look back."""
_NEAR = np.ones((5, 5), np.uint8)
_MOTION_FACTOR = 3.0


@dataclass(frozen=True)
class Evidence:
    """What a reason was found in: the camera's frame and what was predicted for it, u8[h, w, 3].

    cell: row and column of the worst cell of the GRID x GRID cells.
    """

    camera: str
    score: float
    real: np.ndarray
    predicted: np.ndarray
    cell: tuple[int, int]


@dataclass(frozen=True)
class Residual:
    """Of one camera, in grey levels 0..255: the mean over the image and the worst cell of the grid."""

    whole: float
    local: float


SMALLEST_BASELINE = Residual(1.0, 15.0)
"""Noise and flicker of a real camera: a baseline from recordings with little motion must not be smaller."""

Baseline = Mapping[str, Residual]
"""Camera -> the largest values of a checkpoint in recordings without a disturbance."""


class PredictionMonitor:
    """Compares step by step. Used by the control thread; `values` and `limit` by any.

    baseline: None before the checkpoint was calibrated; then there are figures, but no score and no limit.
    limit: the score (1 = the baseline) above which `add_frames` names a reason; 0: never.
    """

    def __init__(
        self,
        future_steps: int,
        period: float,
        baseline: Baseline | None = None,
        limit: float = 0.0,
        cameras: Sequence[str] = CAMERAS,
    ):
        self._ahead, self._tolerance = future_steps * period, 0.75 * period
        self._baseline, self.limit = baseline, limit
        self._lock = threading.Lock()
        self._cameras = {
            name: _Camera(2 * future_steps + 2, min(future_steps, MAX_HELD_STEPS)) for name in cameras
        }
        self._worst: deque[float] = deque(maxlen=RECENT_STEPS)
        self._recent: deque[bool] = deque(
            maxlen=RECENT_STEPS
        )  # compared or not; not cleared by a new history, since many short ones hide much
        self._steps = self._compared = 0
        self.evidence: Evidence | None = None
        """Of the last reason that `add_frames` returned."""

    def reset(self) -> None:
        """A new history: nothing is compared with what was before it."""
        with self._lock:
            for camera in self._cameras.values():
                camera.clear()
            self._worst.clear()
            self._steps = self._compared = 0

    def add_frames(self, stamp: float, views: Mapping[str, np.ndarray]) -> str:
        """A step's frames, u8[h, w, 3] as the model sees them, taken at `stamp` (s). Returns why the arm
        must be stopped, or "".
        """
        with self._lock:
            compared = [
                camera.add_frame(stamp, views[name], self._ahead, self._tolerance)
                for name, camera in self._cameras.items()
            ]
            self._steps += 1
            self._compared += all(compared)
            self._recent.append(all(compared))
            scores = self._scores()
            self._worst.append(max(scores.values(), default=0.0))
            if not self.limit or not scores:
                return ""
            name = max(scores, key=scores.get)
            if scores[name] <= self.limit:
                return ""
            self.evidence = self._cameras[name].evidence(name, scores[name], views[name])
            return (
                f"{name} camera: the image differs from the prediction (score {scores[name]:.1f}, limit "
                f"{self.limit:g})"
            )

    def add_prediction(self, stamp: float, frames: Mapping[str, np.ndarray]) -> None:
        """The predicted frames from the frames of `stamp`, u8[S, S, 3] by camera."""
        with self._lock:
            for name, camera in self._cameras.items():
                camera.add_prediction(stamp, frames[name])

    def residuals(self) -> dict[str, Residual]:
        """Of the newest step, by camera; without the cameras that could not be compared for long enough."""
        with self._lock:
            return {name: camera.held for name, camera in self._cameras.items() if camera.held}

    def blind(self) -> bool:
        """Whether fewer than half of the recent steps could be compared."""
        with self._lock:
            return self._is_blind()

    def summary(self) -> str:
        """The monitor's state in words."""
        with self._lock:
            if not self._baseline:
                return "not calibrated: reports residuals, has no score"
            if self._is_blind():
                counted = f"only {sum(self._recent)} of the last {RECENT_STEPS} steps could be compared"
                why = (
                    "the model is too slow to predict in every control period, or its history restarts "
                    "again and again"
                )
                return f"{'cannot stop the arm: ' if self.limit else ''}{counted}: {why}"
            return f"calls the operator above {self.limit:g}" if self.limit else "reports only"

    def values(self) -> dict[str, object]:
        """For /diagnostics."""
        with self._lock:
            scores = self._scores()
            values: dict[str, object] = {f"score_{name}": scores.get(name, "none") for name in self._cameras}
            for name, camera in self._cameras.items():
                for key in ("whole", "local"):
                    values[f"{name}_{key}"] = getattr(camera.held, key) if camera.held else "none"
                    values[f"{name}_{key}_baseline"] = (
                        getattr(self._baseline[name], key) if self._baseline else "none"
                    )
            return values | {
                "limit": self.limit,
                "worst": max(self._worst, default=0.0) if self._baseline else "none",
                "steps": self._steps,
                "compared": self._compared,
                "ahead_s": self._ahead,
            }

    def _is_blind(self) -> bool:
        return len(self._recent) == RECENT_STEPS and sum(self._recent) < RECENT_STEPS / 2

    def _scores(self) -> dict[str, float]:
        if not self._baseline:
            return {}
        return {
            name: score(camera.held, self._baseline[name])
            for name, camera in self._cameras.items()
            if camera.held
        }


class _Camera:
    """The coarse frames and predictions of the last steps, and the residual of each cell."""

    def __init__(self, kept: int, held: int):
        self.real: deque[tuple[float, np.ndarray]] = deque(maxlen=kept)
        self.predicted: deque[tuple[float, np.ndarray]] = deque(maxlen=kept)
        self.held: Residual | None = None
        self._recent: deque[np.ndarray] = deque(maxlen=held)
        self._frames: deque[np.ndarray] = deque(maxlen=kept)
        """The predicted frames themselves, beside `predicted`."""
        self._expected: np.ndarray | None = None
        self._worst = (0, 0)

    def clear(self) -> None:
        for items in (self.real, self.predicted, self._recent, self._frames):
            items.clear()
        self.held = None

    def add_prediction(self, stamp: float, frame: np.ndarray) -> None:
        self.predicted.append((stamp, _coarse(frame)))
        self._frames.append(np.array(frame))

    def evidence(self, name: str, found: float, view: np.ndarray) -> Evidence:
        """After an `add_frame` of `view` that has made `held`."""
        near = [entry[1] is self._expected for entry in self.predicted].index(True)
        return Evidence(name, found, np.array(view), self._frames[near], self._worst)

    def add_frame(self, stamp: float, view: np.ndarray, ahead: float, tolerance: float) -> bool:
        now = _coarse(view)
        self.real.append((stamp, now))
        then, before = (_at(self.real, stamp - times * ahead, tolerance) for times in (1, 2))
        expected, expected_before = (
            _at(self.predicted, stamp - times * ahead, tolerance) for times in (1, 2)
        )
        if then is None or before is None or expected is None or expected_before is None:
            self._recent.clear()
            self.held = None
            return False
        self._recent.append(residual_grid(now, then, before, expected, expected_before))
        if len(self._recent) == self._recent.maxlen:
            rest = np.minimum.reduce(list(self._recent))
            self.held = Residual(float(rest.mean()), float(rest.max()))
            self._worst = divmod(int(rest.argmax()), GRID)
        self._expected = expected
        return True


def score(found: Residual, baseline: Residual) -> float:
    """The larger ratio of residual to baseline, of the two figures."""
    return max(found.whole / baseline.whole, found.local / baseline.local)


def residual_grid(now, then, before, expected, expected_before) -> np.ndarray:
    """Coarse frames f32[g, g, 3]: now, `future_steps` ago, twice that ago; what was predicted for now, and
    for `then` -> f32[g, g].
    """
    left = np.minimum(_distance(now, then), _distance(now, expected))
    motion = np.maximum(_distance(then, before), _distance(expected, expected_before))
    return np.maximum(left - _MOTION_FACTOR * cv2.dilate(motion, _NEAR), 0.0)


def _coarse(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).mean(-1)


def _at(frames, stamp: float, tolerance: float) -> np.ndarray | None:
    near = min(frames, key=lambda item: abs(item[0] - stamp), default=None)
    return near[1] if near is not None and abs(near[0] - stamp) < tolerance else None
