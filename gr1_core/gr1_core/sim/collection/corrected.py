"""A policy drives, a scripted operator watches and takes over when it goes wrong: corrected episodes.

The operator stands in for a person at `gr1 up --takeover`. It knows the true poses, reacts late, and drives
until the end of the episode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gr1_core.policy import Observation, Policy
from gr1_core.sim.expert import MAX_LINEAR_SPEED, Command, Expert
from gr1_core.sim.state import StateView

MAX_SECONDS = 35.0  # an episode that lasts longer has failed
TIMEOUT_S = 12.0  # the operator takes over from a policy that has not succeeded by then
REACTION_S = 1.5  # time over which the operator judges the policy
MAX_DISAGREEMENT = 0.5
"""Mean difference of the two twists over REACTION_S, in units of the expert's largest speed."""
Render = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class TakeOver:
    """seconds: since the beginning of the episode. reason: what the operator saw."""

    seconds: float
    reason: str

    def __str__(self) -> str:
        return f"the operator took over after {self.seconds:.1f} s: {self.reason}"


class CorrectedDriver:
    """Drives one episode. An actor of `sim.rollout.run_episode`.

    render: state -> role -> u8[H, W, 3]. Call `act` once per control period. policy_command and
    operator_command are of the last call; operator_command is None before the take-over.
    """

    def __init__(self, policy: Policy, expert: Expert, instruction: str, render: Render):
        self._policy, self._expert, self._render = policy, expert, render
        self._recent: deque[float] = deque(maxlen=round(REACTION_S / policy.rig.period))
        self._grippers: deque[bool] = deque(maxlen=self._recent.maxlen)
        self.take_over: TakeOver | None = None
        self.policy_command: Command | None = None
        self.operator_command: Command | None = None
        policy.reset(instruction)

    def act(self, state: np.ndarray) -> Command:
        """State vector (Twin.state()) -> the command of whoever drives."""
        rig, view = self._policy.rig, StateView(state)
        pose = view.pose("measured")
        vector = rig.state_vector(pose.position, pose.quaternion, view.closure_target)
        arm = vector[:6].astype(np.float64)
        action = self._policy.step(Observation(**self._render(state), arm=arm, gripper=int(vector[6])))
        linear, angular = rig.twist(action.delta, arm)
        self.policy_command = Command(linear, angular, 0.0 if action.gripper > 0 else 1.0)
        right = self._expert.act(state)
        self._recent.append(float(np.linalg.norm(linear - right.linear)) / MAX_LINEAR_SPEED)
        self._grippers.append((right.closure > 0.5) != (self.policy_command.closure > 0.5))
        if self.take_over is None and (reason := self._objection(view.time)):
            self.take_over = TakeOver(view.time, reason)
        self.operator_command = right if self.take_over else None
        return self.operator_command or self.policy_command

    def _objection(self, seconds: float) -> str:
        """Why the operator takes over now; "" if the policy may go on."""
        if len(self._recent) == self._recent.maxlen:
            if (mean := float(np.mean(self._recent))) > MAX_DISAGREEMENT:
                return f"wrong motion (off by {mean:.2f} of the largest speed)"
            if all(self._grippers):
                return "wrong gripper command"
        return f"no success within {TIMEOUT_S:g} s" if seconds >= TIMEOUT_S else ""
