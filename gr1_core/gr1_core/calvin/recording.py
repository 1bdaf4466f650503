"""The official dataset's layout: one npz a frame, and the index files beside them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gr1_core.calvin.environment import CAMERAS, Simulator, State
from gr1_core.calvin.expert.motion import ROTATION, TRANSLATION, Command, wrapped

_SCENES = "calvin_scene_"


@dataclass(frozen=True)
class Span:
    """Frames first .. last, both included, in which a task was done, and the instruction for it."""

    first: int
    last: int
    task: str
    text: str


def frame_of(simulator: Simulator, state: State, label: Command, depth: bool = True) -> dict[str, np.ndarray]:
    """The arrays of one frame before its action.

    label: the action that is written, which noise may have changed on its way to the robot.
    """
    gripper = 1.0 if label.gripper > 0 else -1.0
    pose = np.concatenate(
        [
            state.robot[:3] + TRANSLATION * label.delta[:3],
            wrapped(state.robot[3:6] + ROTATION * label.delta[3:]),
        ]
    )
    observation = simulator.observation()
    frame = {
        "actions": np.append(pose, gripper),
        "rel_actions": np.append(label.delta, gripper),
        "robot_obs": state.robot.copy(),
        "scene_obs": state.scene.copy(),
    }
    frame |= {f"rgb_{name}": observation[role] for role, name in CAMERAS.items()}
    return frame | (
        {f"depth_{name}": simulator.depths[role].astype(np.float32) for role, name in CAMERAS.items()}
        if depth
        else {}
    )


def frame_path(folder: Path, number: int) -> Path:
    return folder / f"episode_{number:07d}.npz"


def write_frame(folder: Path, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """A compressed npz like numpy's own, at zlib's fastest level: a third of the time, a tenth more bytes."""
    path = frame_path(folder, number)
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    os.replace(partial, path)


def write_index(
    folder: Path, episodes: Sequence[tuple[int, int]], spans: Sequence[Span], scene: str, statistics: Mapping
) -> None:
    """ep_start_end_ids, ep_lens, scene_info, lang_annotations and statistics of a folder whose frames are
    there.

    The annotations' embeddings are zeros: readers that need text embeddings compute them.
    """
    bounds = np.array(episodes, np.int64).reshape(-1, 2)
    np.save(folder / "ep_start_end_ids.npy", bounds)
    np.save(folder / "ep_lens.npy", bounds[:, 1] - bounds[:, 0] + 1)
    if len(bounds):
        np.save(
            folder / "scene_info.npy",
            {f"{_SCENES}{scene}": [int(bounds.min()), int(bounds.max())]},
            allow_pickle=True,
        )
    annotations = folder / "lang_annotations"
    annotations.mkdir(exist_ok=True)
    language = {
        "ann": [one.text for one in spans],
        "task": [one.task for one in spans],
        "emb": np.zeros((len(spans), 1, 384), np.float32),
    }
    info = {"episodes": [], "indx": [(one.first, one.last) for one in spans]}
    np.save(annotations / "auto_lang_ann.npy", {"language": language, "info": info}, allow_pickle=True)
    tasks = {one.task: one.text for one in spans}
    embeddings = {
        task: {"emb": np.zeros((1, 1, 384), np.float32), "ann": [text]} for task, text in tasks.items()
    }
    np.save(annotations / "embeddings.npy", embeddings, allow_pickle=True)
    (folder / "statistics.yaml").write_text(_statistics_text(statistics))


class Statistics:
    """Running mean and deviation of robot_obs and scene_obs, and bounds of the absolute actions."""

    def __init__(self):
        self.sums = {
            "robot_obs": np.zeros((3, 15)),
            "scene_obs": np.zeros((3, 24)),
        }  # count, sum, sum of squares
        self.low, self.high = np.full(7, np.inf), np.full(7, -np.inf)

    def add(self, frame: Mapping[str, np.ndarray]) -> None:
        for name, sums in self.sums.items():
            sums += np.stack([np.ones_like(frame[name]), frame[name], frame[name] ** 2])
        self.low, self.high = np.minimum(self.low, frame["actions"]), np.maximum(self.high, frame["actions"])

    def to_dict(self) -> dict:
        sums = {name: value.tolist() for name, value in self.sums.items()}
        return {"sums": sums, "low": self.low.tolist(), "high": self.high.tolist()}

    @staticmethod
    def merged(parts: Iterable[Mapping]) -> dict:
        """{"robot_obs": (mean, std), "scene_obs": (mean, std), "low", "high"} of several to_dict()."""
        parts = list(parts)
        result = {}
        for name in ("robot_obs", "scene_obs"):
            count, total, squares = np.sum([np.array(part["sums"][name]) for part in parts], axis=0)
            mean = total / count
            result[name] = mean, np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
        low, high = (
            np.min([part["low"] for part in parts], axis=0),
            np.max([part["high"] for part in parts], axis=0),
        )
        return result | {"low": low, "high": high}


def _statistics_text(statistics: Mapping) -> str:
    lines = []
    for name in ("robot_obs", "scene_obs"):
        mean, std = statistics[name]
        lines += [f"{name}:", "  - _target_: calvin_agent.utils.transforms.NormalizeVector"]
        lines += [f"    mean: {_numbers(mean)}", f"    std: {_numbers(std)}"]
    return (
        "\n".join(
            [
                *lines,
                f"act_min_bound: {_numbers(statistics['low'])}",
                f"act_max_bound: {_numbers(statistics['high'])}",
            ]
        )
        + "\n"
    )


def _numbers(values) -> str:
    return "[" + ", ".join(f"{value:.6f}" for value in values) + "]"
