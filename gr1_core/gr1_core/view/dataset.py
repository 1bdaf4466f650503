"""A dataset's episodes in the viewer, one after the other on the timeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.data.cache import DatasetError
from gr1_core.data.dataset import Dataset
from gr1_core.view.arm_model import ArmModel, built_in_urdf
from gr1_core.view.bag import load_model
from gr1_core.view.recording import Recording, ViewError, euler_pose

_PAUSE_S = 0.5
"""s between two episodes."""


def groups_of(dataset: Dataset) -> set[str]:
    """The groups that a dataset will have."""
    found = {"lanes", "instruction"} | {f"cameras/{role}" for role in dataset.roles}
    return found | ({"world", "position", "speed", "gripper"} if dataset.state is not None else set())


def chosen_episodes(dataset: Dataset, words: str) -> list[int]:
    """The numbers of "0,3,5-9". Raises ViewError."""
    most, found = len(dataset.episodes) - 1, []
    for word in words.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ViewError(f"--episodes: '{word}' is no number and no range such as 5-9")
        numbers = range(int(first), int(last if dash else first) + 1)
        if not numbers or numbers[-1] > most:
            raise ViewError(f"--episodes: '{word}': {dataset.root} has the episodes 0 to {most}")
        found += [number for number in numbers if number not in found]
    return found


def show(
    dataset: Dataset,
    episodes: Sequence[int],
    to: Recording,
    urdf: Path | None,
    on_progress: Callable[[float], None],
) -> None:
    """Writes these episodes to a recording. Raises DatasetError or ViewError."""
    rig, sources = dataset.rig, _sources(dataset)
    if rig is not None and dataset.state is not None:
        to.workspace(rig.limits.workspace_min, rig.limits.workspace_max)
        if urdf is not None:
            to.add_hand(load_model(urdf))
        elif text := built_in_urdf(rig.name):
            to.add_hand(ArmModel(text, rig.name))
    start = 0.0
    for done, number in enumerate(episodes):
        first, end = (int(dataset.episodes[number][key]) for key in ("start", "end"))
        source = sources.get(number, {})
        to.at(start)
        to.forget_path()
        about = [f"episode {number}", f"{(end - first) / dataset.fps:.1f} s"]
        about += [str(source[key]) for key in ("outcome", "operator", "note", "name") if source.get(key)]
        to.instruction(dataset.tasks[dataset.task_of[number]], ", ".join(about))
        to.lane("episode", f"episode {number}")
        to.lane("outcome", source.get("outcome") or None)
        by_hand = [range(*span) for span in source.get("teleoperated", ())]
        for row in range(first, end):
            to.at(start + (row - first) / dataset.fps)
            for role in dataset.roles:
                to.image(f"cameras/{role}", dataset.encoded(role, row))
            if by_hand:
                to.lane("driver", "teleop" if any(row - first in span for span in by_hand) else "policy")
            if dataset.state is not None:
                _step(dataset, row, row == first, to)
            on_progress((done + (row - first) / (end - first)) / len(episodes))
        start += (end - first) / dataset.fps
        to.at(start)
        for lane in ("episode", "instruction", "outcome", "driver"):
            to.lane(lane, None)
        start += _PAUSE_S


def _step(dataset: Dataset, row: int, first: bool, to: Recording) -> None:
    """The measured state, and where the action of this step moves the hand to."""
    rig, state, action = dataset.rig, dataset.state[row], dataset.action[row]
    position, quaternion = euler_pose(state, rig.state.reference)
    to.measured(position, quaternion)
    linear, angular = rig.twist(action[:6], state[:6].astype(np.float64))
    turned = Rotation.from_rotvec(angular * rig.period) * Rotation.from_quat(quaternion)
    to.commanded(position + linear * rig.period, turned.as_quat())
    to.curve("speed/commanded", float(np.linalg.norm(linear)))
    if not first:
        moved = np.linalg.norm(state[:3].astype(np.float64) - dataset.state[row - 1][:3])
        to.curve("speed/measured", float(moved) * dataset.fps)
    to.curve("gripper/in_force", 0.5 * (1.0 - state[6]))
    to.curve("gripper/commanded", 0.5 * (1.0 - action[6]))


def _sources(dataset: Dataset) -> dict[int, dict]:
    """What meta/sources.jsonl says of each episode; datasets of other programs have none."""
    path = dataset.root / "meta" / "sources.jsonl"
    if not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return {row["episode_index"]: row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} cannot be used ({type(error).__name__}: {error})") from error
