"""A policy that watches (`act: false`): how far its actions are from those of the demonstrator. ROS-free.

The measure is that of `gr1 bags list --sort disagreement`: RMS over the seven numbers of an action, in
standard deviations. Live, the person's action is the newest command at the time at which the policy's would
be sent; the recording has the mean over the following period.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from gr1_core import Rig
from gr1_core.data.action_distance import action_distance, usable_std
from gr1_core.rig import gripper_sign

EXPIRY_PERIODS = 1.5
"""Control periods after which a command of the person counts as none, as at the gate."""
_LEAST_ACTIONS, _MOST_ACTIONS = 20, 3000


class Demonstrator:
    """Commands of teleoperation, and the policy's actions beside them.

    std: f[7], of the action in the policy's training data; None: of the person's actions so far.
    """

    def __init__(self, rig: Rig, std: Sequence[float] | None):
        self._rig, self._std = rig, std
        self._lock = threading.Lock()
        self._twist: tuple[float, np.ndarray, np.ndarray] | None = None
        self._closure: float | None = None
        self._actions: deque[np.ndarray] = deque(maxlen=_MOST_ACTIONS)
        self._errors: deque[tuple[float, np.ndarray]] = deque(maxlen=_MOST_ACTIONS)

    def on_twist(self, now: float, linear: Sequence[float], angular: Sequence[float]) -> None:
        """A command of the person: m/s, rad/s. now: s of a steady clock, as in `compare`."""
        with self._lock:
            self._twist = now, np.asarray(linear, np.float64), np.asarray(angular, np.float64)

    def on_gripper(self, closure: float) -> None:
        """A gripper command of the person, 0 open .. 1 closed."""
        with self._lock:
            self._closure = closure

    def reset(self) -> None:
        """A new episode."""
        with self._lock:
            self._errors.clear()

    def compare(self, now: float, delta: np.ndarray, gripper: int, state: np.ndarray) -> None:
        """The policy's action, in the model's units, at a state f[7]; ignored while nobody drives."""
        with self._lock:
            if self._twist is None or now - self._twist[0] > EXPIRY_PERIODS * self._rig.period:
                return
            _, linear, angular = self._twist
            closed = state[6] if self._closure is None else gripper_sign(self._closure)
            action = np.append(self._rig.delta(linear, angular, state[:6].astype(np.float64)), closed)
            if not np.isfinite(action).all():
                return
            self._actions.append(action)
            self._errors.append((now, np.append(delta, gripper) - action))

    def values(self, now: float) -> dict[str, object]:
        """For /diagnostics: disagreement of the last second and of the episode, "none" where not known."""
        with self._lock:
            errors, std = list(self._errors), self._std
            if std is None and len(self._actions) >= _LEAST_ACTIONS:
                std = np.std(list(self._actions), axis=0)
        recent = [error for at, error in errors if now - at <= 1.0]

        def mean(rows: list[np.ndarray]) -> object:
            return float(action_distance(np.array(rows), usable_std(std)).mean()) if rows else "none"

        known = std is not None
        return {
            "last_second": mean(recent) if known else "none",
            "episode": mean([error for _, error in errors]) if known else "none",
            "steps": len(errors),
        }
