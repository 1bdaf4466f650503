"""A policy run open-loop over recorded episodes: at each control step it is shown what the robot saw, and its action is compared with the
demonstration's. Nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gr1_core.data.bag import Bag
from gr1_core.data.steps import Step, select, steps
from gr1_core.eval.verdict import Check
from gr1_core.policy import Future, Observation, Policy, PolicyError
from gr1_core.rig import ROLES, Rig

# At most this share of the error of an arm that stands still; an untrained model is at 1.
MOTION = 0.8
GRIPPER_AGREES = 0.8
TOO_FAST = 0.1


class ReplayError(ValueError):
    """A recording that this checkpoint cannot be replayed over."""


@dataclass(frozen=True)
class Picture:
    """One moment, u8[S, S, 3] each: role -> (the frame now, the model's prediction, what came `future_steps` later)."""

    seconds: float
    frames: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Replay:
    """One episode of T control steps. Actions in the model's units; `failure` is why it ended early, or empty."""

    name: str
    instruction: str
    seconds: np.ndarray  # f64[T] since the first step
    recorded: np.ndarray  # f32[T, 7]
    predicted: np.ndarray  # f64[T, 6]
    gripper_logit: np.ndarray  # f64[T], open where above 0
    step_ms: np.ndarray  # f64[T]
    pictures: tuple[Picture, ...]
    failure: str

    def translation_error(self, rig: Rig) -> np.ndarray:
        """f64[T], metres a control step."""
        return (
            np.linalg.norm(self.predicted[:, :3] - self.recorded[:, :3], axis=1)
            * rig.action.translation_scale
        )

    def rotation_error(self, rig: Rig) -> np.ndarray:
        """f64[T], radians a control step."""
        return (
            np.linalg.norm(self.predicted[:, 3:] - self.recorded[:, 3:6], axis=1) * rig.action.rotation_scale
        )

    @property
    def gripper_agrees(self) -> np.ndarray:
        """bool[T]."""
        return (self.gripper_logit > 0) == (self.recorded[:, 6] > 0)


def replay(
    policy: Policy, bag: Bag, pictures: int = 6, told: Callable[[int], None] = lambda steps: None
) -> Replay:
    """The policy over one bag. told(1) is called after each step. Raises ReplayError, RigError or BagError."""
    policy.rig.require_same(bag.rig, f"bag {bag.name}")
    chosen = select(bag, policy.rig)
    length, ahead = len(chosen.times), policy.config.future_steps
    if length <= ahead:
        raise ReplayError(
            f"bag {bag.name} has {length} usable control steps, a replay needs more than {ahead}"
        )
    moments = set(np.linspace(0, length - 1 - ahead, pictures).round().astype(int).tolist())
    policy.reset(bag.instruction)
    actions, recorded, spent, taken, failure = [], [], [], [], ""
    waiting: dict[
        int, tuple[float, Observation, Future]
    ] = {}  # index of the frame that came -> what was predicted of it
    for index, step in enumerate(steps(bag, policy.rig, chosen)):
        observation = _observe(step)
        if index in waiting:
            taken.append(_picture(policy, *waiting.pop(index), observation))
        began = time.perf_counter()
        try:
            action = policy.step(observation)
        except PolicyError as error:
            failure = f"step {index}: {error}"
            break
        spent.append(1e3 * (time.perf_counter() - began))
        actions.append((*action.delta, action.gripper_logit))
        recorded.append(step.action)
        if index in moments:
            waiting[index + ahead] = (1e-9 * (step.time_ns - chosen.times[0]), observation, action.future())
        told(1)
    table = np.array(actions, np.float64).reshape(-1, 7)
    return Replay(
        name=bag.name,
        instruction=bag.instruction,
        seconds=1e-9 * (chosen.times[: len(table)] - chosen.times[0]),
        recorded=np.array(recorded, np.float32).reshape(-1, 7),
        predicted=table[:, :6],
        gripper_logit=table[:, 6],
        step_ms=np.array(spent),
        pictures=tuple(taken),
        failure=failure,
    )


def judge(replays: Sequence[Replay], rig: Rig) -> tuple[Check, ...]:
    """What a checkpoint must pass before it moves an arm, over all replayed steps together."""
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
    whole = "every action is finite" if not failed else f"{len(failed)} episodes broke off: {failed[0]}"
    motion = f"translation error {error:.1f} mm a step, at most {MOTION * still:.1f} mm allowed ({MOTION:g} x that of an arm that stands still)"
    gripper = f"the gripper agrees in {100 * agrees:.0f} % of the steps, {100 * GRIPPER_AGREES:.0f} % needed"
    limit = f"1.5 x the limit of {rig.limits.linear_speed:g} m/s"
    return (
        Check("finite", not failed, whole),
        Check("motion", bool(error <= MOTION * still), motion),
        Check("gripper", bool(agrees >= GRIPPER_AGREES), gripper),
        Check(
            "speed",
            bool(fast <= TOO_FAST),
            f"{100 * fast:.0f} % of the steps ask for more than {limit}, {100 * TOO_FAST:.0f} % are allowed",
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


def _observe(step: Step) -> Observation:
    return Observation(
        step.static.image(), step.wrist.image(), step.state[:6].astype(np.float64), float(step.state[6])
    )


def _picture(policy: Policy, seconds: float, now: Observation, future: Future, later: Observation) -> Picture:
    views = {role: policy.rig.cameras[role].view for role in ROLES}
    frames = {
        role: (views[role](getattr(now, role)), getattr(future, role), views[role](getattr(later, role)))
        for role in ROLES
    }
    return Picture(float(seconds), frames)
