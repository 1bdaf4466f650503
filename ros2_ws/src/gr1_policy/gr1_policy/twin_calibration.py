"""A policy that acts in the twin (`gr1_core.eval.environment`) beside its prediction monitor. ROS-free."""

from __future__ import annotations

import numpy as np

from gr1_core import Observation
from gr1_policy.calibration_run import larger_of
from gr1_policy.prediction_monitor import PredictionMonitor, Residual


class MonitoredPolicy:
    """`begin` and `act` are the environment's. largest: residuals of the episode since `begin`, by camera."""

    def __init__(self, policy):
        self._policy, self._rig = policy, policy.rig
        self.largest: dict[str, Residual] = {}
        self._monitor, self._step = None, 0

    def begin(self, instruction: str, stage) -> None:
        """A new episode."""
        cameras = tuple(self._rig.cameras)
        self._monitor = PredictionMonitor(self._policy.config.future_steps, self._rig.period, cameras=cameras)
        self.largest, self._step = dict.fromkeys(cameras, Residual(0.0, 0.0)), 0
        self._policy.reset(instruction)

    def act(self, given: dict) -> tuple[np.ndarray, float]:
        """given: the cameras' images by role, `arm`, `gripper` -> the action's delta and gripper."""
        stamp, cameras = self._step * self._rig.period, self._rig.cameras
        self._step += 1
        self._monitor.add_frames(stamp, {role: camera.view(given[role]) for role, camera in cameras.items()})
        self.largest = larger_of(self.largest, self._monitor.residuals())
        action = self._policy.step(Observation(**given))
        future = action.future()
        self._monitor.add_prediction(stamp, {role: getattr(future, role) for role in cameras})
        return action.delta, action.gripper
