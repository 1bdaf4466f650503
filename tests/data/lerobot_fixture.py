"""A small LeRobotDataset v3.0 as other people's tools write it: other names, another layout of state and
action, images or video.
"""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from scipy.spatial.transform import Rotation

from gr1_core import images
from gr1_core.rig import Rig

SHAPE = (48, 64)
FPS = 20
LENGTHS = (14, 9, 12)
TASKS = ("stack the cups", "wipe the table")
STATE = ["x", "y", "z", "qx", "qy", "qz", "qw", "jaw_m"]
ACTION = ["x", "y", "z", "rx", "ry", "rz", "jaw"]
MAPPING = {
    "cameras": {"static": "observation.images.front", "wrist": "observation.images.hand"},
    "state": {
        "position": {"feature": "observation.state", "take": ["x", "y", "z"], "scale": 0.001},
        "rotation": {"feature": "observation.state", "take": [3, 4, 5, 6], "as": "quaternion_xyzw"},
        "gripper": {"feature": "observation.state", "take": "jaw_m", "open_above": 0.04},
    },
    "action": {
        "kind": "delta",
        "position": {"feature": "action", "take": [0, 1, 2]},
        "rotation": {"feature": "action", "take": ["rx", "ry", "rz"], "as": "rotation_vector"},
        "gripper": {"feature": "action", "take": "jaw", "open_below": 0.5},
    },
}


def rig(control_hz: float = FPS) -> Rig:
    raw = Rig.load("kinova_gen2").to_dict() | {"control_hz": float(control_hz)}
    for camera in raw["cameras"].values():
        camera |= {"height": SHAPE[0], "width": SHAPE[1]}
    return Rig.from_dict(raw)


def write_mapping(path: Path, changes: dict | None = None) -> Path:
    """MAPPING as a file; changes: "action.kind" -> another value, or None to take a field out."""
    content = json.loads(json.dumps(MAPPING))
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        branch = content
        for name in parents:
            branch = branch[name]
        if value is None:
            del branch[last]
        else:
            branch[last] = value
    path.write_text(yaml.safe_dump(content))
    return path


class Motion:
    """One episode: `length` poses and the motions between them.

    position [T, 3] m, turn: T rotations; move [T, 3], twist [T, 3] rad.
    """

    def __init__(self, episode: int, length: int):
        random = np.random.default_rng(episode)
        self.move, self.twist = (
            random.uniform(-0.01, 0.01, (length, 3)),
            random.uniform(-0.05, 0.05, (length, 3)),
        )
        self.position, turns = [np.array([0.4, 0.0, 0.2])], [Rotation.from_euler("xyz", [3.0, 0.1, 0.4])]
        for step in range(length - 1):
            self.position.append(self.position[-1] + self.move[step])
            turns.append(Rotation.from_rotvec(self.twist[step]) * turns[-1])
        self.position, self.turn = np.array(self.position), Rotation.concatenate(turns)
        self.closed = np.arange(length) >= length // 2

    def state(self) -> np.ndarray:
        """[T, 8]: millimetres, quaternion, jaw opening in metres."""
        return np.column_stack(
            [1000 * self.position, self.turn.as_quat(), np.where(self.closed, 0.0, 0.08)]
        ).astype(np.float32)

    def action(self) -> np.ndarray:
        """[T, 7]: metres and rotation vector a frame, jaw 0 open .. 1 closed, commanded one frame ahead."""
        return np.column_stack([self.move, self.twist, np.append(self.closed[1:], self.closed[-1])]).astype(
            np.float32
        )


def make_image(episode: int, step: int, camera: int) -> np.ndarray:
    """u8[*SHAPE, 3], a grey that counts the steps, with a block that tells camera and episode."""
    image = np.full((*SHAPE, 3), 30 + 12 * step, np.uint8)
    image[8:24, 8 + 24 * camera : 24 + 24 * camera] = (200, 40 + 60 * episode, 40)
    return image


def make(root: Path, videos: bool = False, task_of=lambda episode, step: episode % 2) -> Path:
    """Three episodes in two data files; with videos, each camera's episodes follow each other in one file."""
    cameras = ("observation.images.front", "observation.images.hand")
    feature = {
        "dtype": "video" if videos else "image",
        "shape": [*SHAPE, 3],
        "names": ["height", "width", "channels"],
    }
    features = {name: feature for name in cameras}
    features |= {
        "observation.state": {"dtype": "float32", "shape": [8], "names": {"motors": STATE}},
        "action": {"dtype": "float32", "shape": [7], "names": ACTION},
    }
    features |= {
        name: {"dtype": "int64", "shape": [1], "names": None}
        for name in ("episode_index", "frame_index", "index", "task_index")
    }
    info = {
        "codebase_version": "v3.0",
        "fps": FPS,
        "total_episodes": 3,
        "total_frames": sum(LENGTHS),
        "features": features,
    }
    info |= {"data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"}
    info |= {
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        if videos
        else None
    }
    for folder in (
        "meta/episodes/chunk-000",
        "data/chunk-000",
        *(f"videos/{name}/chunk-000" for name in cameras if videos),
    ):
        (root / folder).mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    pq.write_table(
        pa.table({"task_index": [0, 1], "__index_level_0__": list(TASKS)}), root / "meta" / "tasks.parquet"
    )
    starts = np.cumsum([0, *LENGTHS])
    rows, tables = [], {0: [], 1: []}
    for episode, length in enumerate(LENGTHS):
        number = 0 if episode < 2 else 1
        row = {"episode_index": episode, "length": length, "data/chunk_index": 0, "data/file_index": number}
        row |= {"dataset_from_index": int(starts[episode]), "dataset_to_index": int(starts[episode + 1])}
        for name in cameras if videos else ():
            row |= {
                f"videos/{name}/chunk_index": 0,
                f"videos/{name}/file_index": 0,
                f"videos/{name}/from_timestamp": starts[episode] / FPS,
            }
        rows.append(row)
        motion = Motion(episode, length)
        columns = {"observation.state": motion.state().tolist(), "action": motion.action().tolist()}
        columns |= {"episode_index": [episode] * length, "frame_index": list(range(length))}
        columns |= {"index": list(range(starts[episode], starts[episode + 1]))}
        columns |= {"task_index": [task_of(episode, step) for step in range(length)]}
        for camera, name in enumerate(cameras if not videos else ()):
            encoded = [images.encode_png(make_image(episode, step, camera)) for step in range(length)]
            columns[name] = [{"bytes": data, "path": None} for data in encoded]
        tables[number].append(pa.table(columns))
    pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    for number, parts in tables.items():
        pq.write_table(
            pa.concat_tables(parts), root / f"data/chunk-000/file-{number:03d}.parquet", row_group_size=10
        )
    for camera, name in enumerate(cameras if videos else ()):
        _write_video(root / f"videos/{name}/chunk-000/file-000.mp4", camera)
    return root


def _write_video(path: Path, camera: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "8", "g": "2"})
        stream.width, stream.height, stream.pix_fmt = SHAPE[1], SHAPE[0], "yuv420p"
        for episode, length in enumerate(LENGTHS):
            for step in range(length):
                container.mux(
                    stream.encode(
                        av.VideoFrame.from_ndarray(make_image(episode, step, camera), format="rgb24")
                    )
                )
        container.mux(stream.encode())
