"""DAgger (Ross, Gordon, Bagnell 2011): a policy drives part of a demonstration, the labels stay the expert's.

The expert drives for a share of the time, so that episodes reach late phases of a task even with a policy
that fails early.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gr1_core.policy import Observation, Policy
from gr1_core.sim.expert import Command
from gr1_core.sim.state import StateView

MEAN_TURN_S = 2.5  # mean time that one of the two drives
MAX_SECONDS = 10.0  # simulated time after which the expert completes the episode


class DaggerDriver:
    """Drives one episode in turns with the expert.

    Call `observe` with the images of a state, then the driver itself for the command to execute. mix: share
    of the time that the policy drives, 0..1. The policy receives every state, because its window must have no
    gaps.
    """

    def __init__(self, policy: Policy, instruction: str, rng: np.random.Generator, mix: float):
        self._policy, self._rng, self._mix = policy, rng, mix
        self._driving = bool(rng.random() < mix)
        self._frames: Mapping[str, np.ndarray] = {}
        policy.reset(instruction)

    def observe(self, frames: Mapping[str, np.ndarray]) -> None:
        """Sets the images, role -> u8[H, W, 3], of the state of the next call."""
        self._frames = frames

    def __call__(self, state, command: Command) -> Command:
        rig, view = self._policy.rig, StateView(state)
        if view.time >= MAX_SECONDS:
            return command
        if self._rng.random() < rig.period / MEAN_TURN_S:
            self._driving = bool(self._rng.random() < self._mix)
        pose = view.pose("measured")
        vector = rig.state_vector(pose.position, pose.quaternion, view.closure_target)
        arm = vector[:6].astype(np.float64)
        action = self._policy.step(Observation(**self._frames, arm=arm, gripper=int(vector[6])))
        if not self._driving:
            return command
        linear, angular = rig.twist(action.delta, arm)
        return Command(linear, angular, 0.0 if action.gripper > 0 else 1.0)
