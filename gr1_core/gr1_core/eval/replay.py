"""Open-loop replay: a policy gets the observations of a recorded episode; its actions are compared with the
recorded ones.

Nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gr1_core.data.bag import Bag
from gr1_core.data.steps import Step, read_steps, select_steps
from gr1_core.eval.verdict import Check
from gr1_core.plural import plural
from gr1_core.policy import Future, Observation, Policy, PolicyError
from gr1_core.rig import Rig

MAX_RELATIVE_ERROR = 0.8
"""Largest allowed translation error, relative to that of an arm that stands still.

An untrained model reaches 1.
"""
MIN_GRIPPER_AGREEMENT = 0.8
MAX_SHARE_TOO_FAST = 0.1


class ReplayError(ValueError):
    """The checkpoint cannot be replayed over this recording."""


@dataclass(frozen=True)
class FrameComparison:
    """One moment.

    frames: role -> (current frame, predicted frame, real frame `future_steps` later), u8[S, S, 3] each.
    """

    seconds: float
    frames: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Replay:
    """One episode of T control steps. Actions in the model's units. failure: why it ended early, or empty."""

    name: str
    instruction: str
    seconds: np.ndarray  # f64[T] since the first step
    recorded: np.ndarray  # f32[T, 7]
    predicted: np.ndarray  # f64[T, 6]
    gripper_logit: np.ndarray  # f64[T], open where above 0
    step_ms: np.ndarray  # f64[T]
    comparisons: tuple[FrameComparison, ...]
    failure: str

    def translation_error(self, rig: Rig) -> np.ndarray:
        """f64[T], metres per control step."""
        return (
            np.linalg.norm(self.predicted[:, :3] - self.recorded[:, :3], axis=1)
            * rig.action.translation_scale
        )

    def rotation_error(self, rig: Rig) -> np.ndarray:
        """f64[T], radians per control step."""
        return (
            np.linalg.norm(self.predicted[:, 3:] - self.recorded[:, 3:6], axis=1) * rig.action.rotation_scale
        )

    @property
    def gripper_agrees(self) -> np.ndarray:
        """bool[T]."""
        return (self.gripper_logit > 0) == (self.recorded[:, 6] > 0)


def replay_bag(policy: Policy, bag: Bag, comparisons: int = 6) -> Replay:
    """Runs the policy over one bag. Raises ReplayError, RigError or BagError."""
    policy.rig.require_same(bag.rig, f"bag {bag.name}")
    chosen = select_steps(bag, policy.rig)
    length, ahead = len(chosen.times), policy.config.future_steps
    if length <= ahead:
        raise ReplayError(
            f"bag {bag.name} has {length} usable control steps, a replay needs more than {ahead}"
        )
    moments = set(np.linspace(0, length - 1 - ahead, comparisons).round().astype(int).tolist())
    policy.reset(bag.instruction)
    actions, recorded, step_ms, compared, failure = [], [], [], [], ""
    # Index of the real future frame -> its prediction.
    waiting: dict[int, tuple[float, Observation, Future]] = {}
    for index, step in enumerate(read_steps(bag, policy.rig, chosen)):
        observation = _observation(step)
        if index in waiting:
            compared.append(_comparison(policy, *waiting.pop(index), observation))
        began = time.perf_counter()
        try:
            action = policy.step(observation)
        except PolicyError as error:
            failure = f"step {index}: {error}"
            break
        step_ms.append(1e3 * (time.perf_counter() - began))
        actions.append((*action.delta, action.gripper_logit))
        recorded.append(step.action)
        if index in moments:
            waiting[index + ahead] = (1e-9 * (step.time_ns - chosen.times[0]), observation, action.future())
    table = np.array(actions, np.float64).reshape(-1, 7)
    return Replay(
        name=bag.name,
        instruction=bag.instruction,
        seconds=1e-9 * (chosen.times[: len(table)] - chosen.times[0]),
        recorded=np.array(recorded, np.float32).reshape(-1, 7),
        predicted=table[:, :6],
        gripper_logit=table[:, 6],
        step_ms=np.array(step_ms),
        comparisons=tuple(compared),
        failure=failure,
    )


def check_replays(replays: Sequence[Replay], rig: Rig) -> tuple[Check, ...]:
    """The checks that a checkpoint must pass before it moves an arm, over all replayed steps together."""
    failed = [f"{one.name}, {one.failure}" for one in replays if one.failure]
    if not sum(len(one.recorded) for one in replays):
        return (Check("finite", False, f"no step could be taken: {failed[0]}"),)
    error = 1e3 * np.concatenate([one.translation_error(rig) for one in replays]).mean()
    moved = np.concatenate([one.recorded[:, :3] for one in replays])
    still = 1e3 * rig.action.translation_scale * np.linalg.norm(moved, axis=1).mean()
    agrees = np.concatenate([one.gripper_agrees for one in replays]).mean()
    speed = (
        np.concatenate([np.linalg.norm(one.predicted[:, :3], axis=1) for one in replays])
        * rig.action.translation_scale
        * rig.control_hz
    )
    fast = (speed > 1.5 * rig.limits.linear_speed).mean()
    whole = (
        "every action is finite"
        if not failed
        else f"{plural(len(failed), 'episode')} ended early: {failed[0]}"
    )
    motion = (
        f"translation error {error:.1f} mm per step, at most {MAX_RELATIVE_ERROR * still:.1f} mm allowed "
        f"({MAX_RELATIVE_ERROR:g} x that of an arm that stands still)"
    )
    gripper = (
        f"the gripper agrees in {100 * agrees:.0f} % of the steps, {100 * MIN_GRIPPER_AGREEMENT:.0f} % needed"
    )
    limit = f"1.5 x the limit of {rig.limits.linear_speed:g} m/s"
    return (
        Check("finite", not failed, whole),
        Check("motion", bool(error <= MAX_RELATIVE_ERROR * still), motion),
        Check("gripper", bool(agrees >= MIN_GRIPPER_AGREEMENT), gripper),
        Check(
            "speed",
            bool(fast <= MAX_SHARE_TOO_FAST),
            f"{100 * fast:.0f} % of the steps command more than {limit}, {100 * MAX_SHARE_TOO_FAST:.0f} % "
            "are allowed",
        ),
    )


def summary(replays: Sequence[Replay], rig: Rig) -> dict:
    """Means over all steps: millimetres, degrees, shares, milliseconds."""
    pooled = {
        "action_mm": 1e3 * np.concatenate([one.translation_error(rig) for one in replays]),
        "action_deg": np.degrees(np.concatenate([one.rotation_error(rig) for one in replays])),
        "gripper_accuracy": np.concatenate([one.gripper_agrees for one in replays]),
        "step_ms": np.concatenate([one.step_ms for one in replays]),
    }
    return {"episodes": len(replays), "steps": len(pooled["step_ms"])} | {
        name: float(np.mean(values)) for name, values in pooled.items() if len(values)
    }


def _observation(step: Step) -> Observation:
    return Observation(
        step.static.image(),
        step.wrist and step.wrist.image(),
        step.state[:6].astype(np.float64),
        float(step.state[6]),
    )


def _comparison(
    policy: Policy, seconds: float, now: Observation, future: Future, later: Observation
) -> FrameComparison:
    views = {role: camera.view for role, camera in policy.rig.cameras.items()}
    frames = {
        role: (views[role](getattr(now, role)), getattr(future, role), views[role](getattr(later, role)))
        for role in views
    }
    return FrameComparison(float(seconds), frames)
