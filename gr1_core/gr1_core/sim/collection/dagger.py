"""A policy at the wheel of a demonstration: the states it brings about are seen, the labels stay the expert's.

DAgger (Ross, Gordon, Bagnell 2011), with a share of the time left to the expert, so that late phases of a task are reached even by a
policy that fails early ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gr1_core.policy import Observation, Policy
from gr1_core.sim.expert import Command
from gr1_core.sim.state import View

SPELL = 2.5  # s, mean of the times that one of the two drives
SECONDS = 10.0  # of simulated time after which the expert brings the episode to its end


class Pilot:
    """Drives one episode in turns with the expert: `see` the pictures of a state, then call it for what shall be carried out.

    mix: share of the time, 0..1, that the policy drives. The policy watches all the time, as its window must have no gaps.
    """

    def __init__(self, policy: Policy, instruction: str, rng: np.random.Generator, mix: float):
        self._policy, self._rng, self._mix = policy, rng, mix
        self._driving = bool(rng.random() < mix)
        self._frames: Mapping[str, np.ndarray] = {}
        policy.reset(instruction)

    def see(self, frames: Mapping[str, np.ndarray]) -> None:
        """The pictures, role -> u8[H, W, 3], that belong to the state of the next call."""
        self._frames = frames

    def __call__(self, state, command: Command) -> Command:
        rig, view = self._policy.rig, View(state)
        if view.time >= SECONDS:
            return command
        if self._rng.random() < rig.period / SPELL:
            self._driving = bool(self._rng.random() < self._mix)
        pose = view.pose("measured")
        vector = rig.state_vector(pose.position, pose.quaternion, view.closure_target)
        arm = vector[:6].astype(np.float64)
        action = self._policy.step(Observation(**self._frames, arm=arm, gripper=int(vector[6])))
        if not self._driving:
            return command
        linear, angular = rig.twist(action.delta, arm)
        return Command(linear, angular, 0.0 if action.gripper > 0 else 1.0)
