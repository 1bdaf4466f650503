"""How far a checkpoint disagrees with a recorded demonstrator, open-loop. Nothing moves.

The policy watches an episode as if it drove. At each step of the demonstrator its action is compared with the
recorded one, in units of the action's standard deviation, so that all numbers of an action count alike. Steps
that a policy drove are watched, but not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gr1_core import pretrained
from gr1_core.data.action_distance import action_distance, usable_std
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.disagreement_file import DisagreementFile, EpisodeDisagreement, files_state, relative
from gr1_core.data.drivers import POLICY, drivers_of
from gr1_core.data.schemas import SchemaError
from gr1_core.data.steps import Step, StepsError, read_steps, select_steps
from gr1_core.eval.checkpoint_records import fingerprint
from gr1_core.eval.prediction import COMPARE_EVERY, MOVING_THRESHOLD
from gr1_core.images import ImageError
from gr1_core.model import checkpoint, patches
from gr1_core.policy import Future, Observation, Policy, PolicyError
from gr1_core.rig import RigError

_REFUSED = (BagError, StepsError, SchemaError, RigError, ImageError, PolicyError, OSError)


@dataclass(frozen=True)
class Watched:
    """An episode that the policy watched, T steps.

    seconds: f64[T] since the recording's beginning. error: f64[T, 7], predicted minus recorded action, NaN
    where a policy drove. residual: f64[T], of the predicted frames that became due, else NaN.
    """

    seconds: np.ndarray
    error: np.ndarray
    residual: np.ndarray

    def distance(self, std: Sequence[float]) -> np.ndarray:
        """f64[T]: RMS over the action's numbers, in standard deviations; NaN where a policy drove."""
        return action_distance(self.error, std)


def watch(policy: Policy, bag: Bag, predicts: bool) -> Watched:
    """Runs the policy over one bag. predicts: also compares predicted frames.

    Raises BagError, StepsError, SchemaError, RigError, ImageError or PolicyError.
    """
    policy.rig.require_same(bag.rig, f"bag {bag.name}")
    chosen = select_steps(bag, policy.rig)
    driver = drivers_of(bag, chosen.teleoperated)
    if (driver == POLICY).all():
        raise StepsError("a policy drove all of it: there is no demonstrator to compare with")
    ahead, length = policy.config.future_steps, len(chosen.times)
    error, residual = np.full((length, 7), np.nan), np.full(length, np.nan)
    waiting: dict[int, tuple[Observation, Future]] = {}
    policy.reset(bag.instruction)
    for index, step in enumerate(read_steps(bag, policy.rig, chosen)):
        seen = _observation(step)
        if index in waiting:
            residual[index] = frame_residual(policy, *waiting.pop(index), seen)
        action = policy.step(seen)
        if driver[index] != POLICY:
            error[index] = np.append(action.delta, action.gripper) - step.action
        if predicts and index % COMPARE_EVERY == 0 and index + ahead < length:
            waiting[index + ahead] = seen, action.future()
    return Watched(1e-9 * (chosen.times - bag.start_ns), error, residual)


def frame_residual(policy: Policy, before: Observation, future: Future, now: Observation) -> float:
    """Error of the predicted frames where something moved, over that of copying the frames before.

    NaN where nothing moved.
    """
    wrong = copied = 0.0
    for role in policy.rig.cameras:
        then, real = (_seen(policy, role, one).astype(np.float32) for one in (before, now))
        moved = np.abs(real - then).mean(-1)
        moving = moved > MOVING_THRESHOLD
        copied += float(moved[moving].sum())
        wrong += float(np.abs(real - getattr(future, role)).mean(-1)[moving].sum())
    return wrong / copied if copied else float("nan")


def summarize(watched: Watched, std: Sequence[float], instruction: str) -> EpisodeDisagreement:
    """The episode's figures, and those of each second."""
    distance = watched.distance(std)
    second = np.floor(watched.seconds).astype(int)
    curve = []
    for value in np.unique(second):
        mine = second == value
        if np.isfinite(distance[mine]).any():
            at = round(float(watched.seconds[mine].mean()), 2)
            curve.append((at, round(_mean(distance[mine]), 4), _mean(watched.residual[mine])))
    return EpisodeDisagreement(
        instruction=instruction,
        figure=round(_mean(distance), 4),
        residual=_mean(watched.residual),
        steps=int(np.isfinite(distance).sum()),
        curve=tuple(curve),
    )


def action_std(folder: str | Path, bags: Sequence[Bag]) -> list[float]:
    """f[7]: standard deviation of each number of the action in the checkpoint's training data, or in the bags
    where its training.json does not say. Raises StepsError where no bag can be used.
    """
    training = checkpoint.read_training(pretrained.resolve(folder)) or {}
    std = (training.get("data") or {}).get("std_action")
    if std is None:
        actions = []
        for bag in bags:
            try:
                actions.append(select_steps(bag).action)
            except _REFUSED:
                continue  # named where it is watched
        if not actions:
            raise StepsError("none of the bags has control steps: `gr1 bags verify` says why")
        std = np.concatenate(actions).std(0)
    return [round(float(value), 6) for value in usable_std(std)]


def measure(
    folder: str | Path,
    root: str | Path,
    bags: Sequence[Bag],
    on_progress: Callable[[], None] = lambda: None,
) -> DisagreementFile:
    """The figures of these bags below `root`: from its file where they are known, else measured now.

    The file is saved after each bag, so that an interrupted measurement goes on. Raises BagError, StepsError
    or what loading the checkpoint raises.
    """
    weights = fingerprint(folder)
    found = DisagreementFile.load(root)
    if found is None or found.weights != weights:
        found = DisagreementFile(pretrained.name(folder), weights, action_std(folder, bags))
    policy = None
    for bag in bags:
        if found.get(root, bag.folder) is None:
            if policy is None:
                policy = Policy.from_pretrained(folder)
                predicts = predicts_frames(folder, policy)
            state = files_state(bag.folder)
            try:
                one = summarize(watch(policy, bag, predicts), found.std, bag.instruction)
            except _REFUSED as error:
                one = EpisodeDisagreement(bag.instruction, problem=str(error))
            found.bags[relative(root, bag.folder)] = state, one
            found.save(root)
        on_progress()
    return found


def predicts_frames(folder: str | Path, policy: Policy) -> bool:
    """Whether the checkpoint was trained to predict the frames of its cameras."""
    if not policy.config.predicts_frames:
        return False
    recipe = (checkpoint.read_training(pretrained.resolve(folder)) or {}).get("recipe") or {}
    return all((recipe.get("loss") or {}).get(role, 1) for role in policy.rig.cameras)


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _seen(policy: Policy, role: str, observation: Observation) -> np.ndarray:
    """A camera's frame at the model's size, u8[S, S, 3]."""
    view = policy.rig.cameras[role].view(getattr(observation, role))
    pixels = torch.from_numpy(np.ascontiguousarray(view))[None]
    return patches.to_pixels(patches.preprocess(pixels, policy.config.image_size))[0].numpy()


def _observation(step: Step) -> Observation:
    return Observation(
        step.static.image(),
        step.wrist and step.wrist.image(),
        step.state[:6].astype(np.float64),
        float(step.state[6]),
    )
