"""The prediction monitor: what the model expected to see now against what is seen. No ROS import.

GR-1 predicts the frames `future_steps` control steps ahead. A step's frame is compared with that prediction on a coarse grid, because
the predictions of a small model are blurred. In each cell a change counts as unexplained as far as it is
- neither as predicted nor absent: of |real - predicted| and |real - frame when the prediction was made|, the smaller one;
- above three times the motion under way nearby: what changed just before, or what the model says will change;
- there for as long as a sudden change is visible in this way, `future_steps` steps (at most 3).
What remains is summed up per camera in two numbers, in grey levels: `whole`, the mean over the picture (an occluded or bumped camera),
and `local`, the worst cell (an object moved by hand). docs/explanation/policy_runtime.md has the measurements.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from gr1_policy.inputs import CAMERAS

GRID = 28
LONGEST_HELD = 3
LATELY = 30
"""Steps over which `worst` and `blind` look back."""
_NEAR = np.ones((5, 5), np.uint8)
_UNDER_WAY = 3.0


@dataclass(frozen=True)
class Unexplained:
    """Of one camera, in grey levels 0..255: the mean over the picture and the worst cell of the grid."""

    whole: float
    local: float


LEAST = Unexplained(1.0, 15.0)
"""What noise and flicker of a real camera may do: recordings in which little happens must not make these the measure of things."""

Usual = Mapping[str, Unexplained]
"""Camera -> the largest values of a checkpoint in recordings without a disturbance."""


class Surprise:
    """Compares as steps come. Used by the control thread; `values` and `limit` by any.

    usual: None before the checkpoint was calibrated; then there are figures, but no score and no limit.
    limit: the score (1 = the most that is usual) above which `see` names a reason; 0: never.
    """

    def __init__(self, future_steps: int, period: float, usual: Usual | None = None, limit: float = 0.0):
        self._ahead, self._tolerance = future_steps * period, 0.75 * period
        self._usual, self.limit = usual, limit
        self._lock = threading.Lock()
        self._cameras = {
            name: _Camera(2 * future_steps + 2, min(future_steps, LONGEST_HELD)) for name in CAMERAS
        }
        self._worst: deque[float] = deque(maxlen=LATELY)
        self._lately: deque[bool] = deque(
            maxlen=LATELY
        )  # compared or not; a new history does not clear it, since many hide much
        self._steps = self._compared = 0

    def reset(self) -> None:
        """A new history: nothing is compared with what was before it."""
        with self._lock:
            for camera in self._cameras.values():
                camera.clear()
            self._worst.clear()
            self._steps = self._compared = 0

    def see(self, stamp: float, views: Mapping[str, np.ndarray]) -> str:
        """A step's frames, u8[h, w, 3] as the model sees them, taken at `stamp` (s). Returns why the arm must be stopped, or ""."""
        with self._lock:
            compared = [
                camera.see(stamp, views[name], self._ahead, self._tolerance)
                for name, camera in self._cameras.items()
            ]
            self._steps += 1
            self._compared += all(compared)
            self._lately.append(all(compared))
            scores = self._scores()
            self._worst.append(max(scores.values(), default=0.0))
            if not self.limit or not scores:
                return ""
            name = max(scores, key=scores.get)
            if scores[name] <= self.limit:
                return ""
            return f"{name} camera: the picture is not what was expected (score {scores[name]:.1f}, limit {self.limit:g})"

    def expect(self, stamp: float, frames: Mapping[str, np.ndarray]) -> None:
        """What the model predicts from the frames taken at `stamp`, u8[S, S, 3] by camera."""
        with self._lock:
            for name, camera in self._cameras.items():
                camera.predicted.append((stamp, _coarse(frames[name])))

    def unexplained(self) -> dict[str, Unexplained]:
        """Of the newest step, by camera; without the cameras that could not be compared for long enough."""
        with self._lock:
            return {name: camera.held for name, camera in self._cameras.items() if camera.held}

    def blind(self) -> bool:
        """Whether fewer than half of the last steps could be compared, so that little would be noticed."""
        with self._lock:
            return self._is_blind()

    def summary(self) -> str:
        """What the monitor does, in words."""
        with self._lock:
            if not self._usual:
                return "not calibrated: reports what is unexplained, has no score"
            if self._is_blind():
                counted = f"only {sum(self._lately)} of the last {LATELY} steps could be compared"
                why = "the model is too slow to predict in every control period, or its history starts anew again and again"
                return f"{'does not guard: ' if self.limit else ''}{counted}: {why}"
            return f"stops the arm above {self.limit:g}" if self.limit else "reports only"

    def values(self) -> dict[str, object]:
        """For /diagnostics."""
        with self._lock:
            scores = self._scores()
            values: dict[str, object] = {f"score_{name}": scores.get(name, "none") for name in CAMERAS}
            for name, camera in self._cameras.items():
                for key in ("whole", "local"):
                    values[f"{name}_{key}"] = getattr(camera.held, key) if camera.held else "none"
                    values[f"{name}_{key}_usual"] = getattr(self._usual[name], key) if self._usual else "none"
            return values | {
                "limit": self.limit,
                "worst": max(self._worst, default=0.0) if self._usual else "none",
                "steps": self._steps,
                "compared": self._compared,
            }

    def _is_blind(self) -> bool:
        return len(self._lately) == LATELY and sum(self._lately) < LATELY / 2

    def _scores(self) -> dict[str, float]:
        if not self._usual:
            return {}
        return {
            name: score(camera.held, self._usual[name])
            for name, camera in self._cameras.items()
            if camera.held
        }


class _Camera:
    """The coarse frames and predictions of the last steps, and what was unexplained in each cell."""

    def __init__(self, kept: int, held: int):
        self.real: deque[tuple[float, np.ndarray]] = deque(maxlen=kept)
        self.predicted: deque[tuple[float, np.ndarray]] = deque(maxlen=kept)
        self.held: Unexplained | None = None
        self._lately: deque[np.ndarray] = deque(maxlen=held)

    def clear(self) -> None:
        for items in (self.real, self.predicted, self._lately):
            items.clear()
        self.held = None

    def see(self, stamp: float, view: np.ndarray, ahead: float, tolerance: float) -> bool:
        now = _coarse(view)
        self.real.append((stamp, now))
        then, before = (_at(self.real, stamp - times * ahead, tolerance) for times in (1, 2))
        expected, expected_before = (
            _at(self.predicted, stamp - times * ahead, tolerance) for times in (1, 2)
        )
        if then is None or before is None or expected is None or expected_before is None:
            self._lately.clear()
            self.held = None
            return False
        self._lately.append(unexplained(now, then, before, expected, expected_before))
        if len(self._lately) == self._lately.maxlen:
            rest = np.minimum.reduce(list(self._lately))
            self.held = Unexplained(float(rest.mean()), float(rest.max()))
        return True


def score(found: Unexplained, usual: Unexplained) -> float:
    """How many times more is unexplained than usual, by the larger of the two numbers."""
    return max(found.whole / usual.whole, found.local / usual.local)


def unexplained(now, then, before, expected, expected_before) -> np.ndarray:
    """Coarse frames f32[g, g, 3]: now, `future_steps` ago, twice that ago; what was predicted for now, and for `then` -> f32[g, g]."""
    left = np.minimum(_distance(now, then), _distance(now, expected))
    under_way = np.maximum(_distance(then, before), _distance(expected, expected_before))
    return np.maximum(left - _UNDER_WAY * cv2.dilate(under_way, _NEAR), 0.0)


def _coarse(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).mean(-1)


def _at(frames, stamp: float, tolerance: float) -> np.ndarray | None:
    near = min(frames, key=lambda item: abs(item[0] - stamp), default=None)
    return near[1] if near is not None and abs(near[0] - stamp) < tolerance else None
