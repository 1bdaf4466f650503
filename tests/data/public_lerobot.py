"""Small LeRobotDatasets in the layouts of v2.1 and v3.0, with images or videos, each part of which can be
changed.

Every image tells its frame: its grey level is 20 + 4 * frame, and a red bar along its top edge tells the
episode.
State: x y z (m), quaternion xyzw, jaw (1 open). Action: the pose to be reached by the next frame, jaw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gr1_core import images
from gr1_core.rig import Rig

HEIGHT, WIDTH = 48, 64
CAMERAS = ("observation.images.front", "observation.images.hand")
TASKS = ("stack the cups", "wipe the table")
POSE = {
    "position": {"feature": "observation.state", "take": [0, 1, 2]},
    "rotation": {"feature": "observation.state", "take": [3, 4, 5, 6], "as": "quaternion_xyzw"},
    "gripper": {"feature": "observation.state", "take": [7], "open_above": 0.5},
}
MAPPING = {
    "cameras": {"static": CAMERAS[0], "wrist": CAMERAS[1]},
    "state": POSE,
    "action": {"kind": "target", **{part: {**one, "feature": "action"} for part, one in POSE.items()}},
}


def image(episode: int, frame: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    frame_image = np.full((*size, 3), 20 + 4 * frame, np.uint8)
    frame_image[: size[0] // 6, : (episode + 1) * size[1] // 8] = (250, 20, 20)
    return frame_image


def frame_of(frame_image: np.ndarray) -> float:
    """The frame that an image tells."""
    return (float(frame_image[frame_image.shape[0] // 2 :].mean()) - 20) / 4


def vectors(length: int) -> tuple[np.ndarray, np.ndarray]:
    """state, action f32[T, 8]."""
    step = np.arange(length)
    state = np.zeros((length, 8), np.float32)
    state[:, 0], state[:, 1], state[:, 2] = 0.4 + 0.002 * step, 0.1, 0.3
    state[:, 3], state[:, 7] = 1.0, step < length // 2
    return state, np.concatenate([state[1:], state[-1:]])


def make(
    root: Path,
    lengths: Sequence[int] = (12, 10),
    version: str = "v3.0",
    fps: float = 10,
    videos: bool = False,
    tasks: Sequence = TASKS,
    info: dict | None = None,
    features: dict | None = None,
    columns: Callable[[dict, int], dict] | None = None,
    episodes: Callable[[list], list] | None = None,
    files: Sequence[int] | None = None,
    encode: Callable[[np.ndarray], bytes] = images.encode_png,
    shape: Sequence[int] = (HEIGHT, WIDTH, 3),
    names: Sequence[str] | None = ("height", "width", "channels"),
    cameras: Sequence[str] = CAMERAS,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """columns(columns, episode), episodes(rows of the metadata): change the tables. files: data file of each
    episode (v3.0). Entries of info and features replace the usual ones.
    """
    old = version != "v3.0"
    camera = {"dtype": "video" if videos else "image", "shape": list(shape), "names": names and list(names)}
    declared = {name: dict(camera) for name in cameras}
    declared |= {
        name: {"dtype": "float32", "shape": [8], "names": None} for name in ("observation.state", "action")
    }
    declared |= {"timestamp": {"dtype": "float32", "shape": [1], "names": None}}
    counters = ("frame_index", "episode_index", "index", "task_index")
    declared |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in counters}
    declared |= features or {}
    chunk = "{episode_chunk:03d}" if old else "{chunk_index:03d}"
    file = "episode_{episode_index:06d}" if old else "file-{file_index:03d}"
    video_folders = ("videos", f"chunk-{chunk}") if old else ("videos", "{video_key}")
    video_path = "/".join((*video_folders, "{video_key}" if old else f"chunk-{chunk}", f"{file}.mp4"))
    content = {
        "codebase_version": version,
        "fps": fps,
        "chunks_size": 1000,
        "total_episodes": len(lengths),
        "total_frames": int(sum(lengths)),
        "data_path": f"data/chunk-{chunk}/{file}.parquet",
        "video_path": video_path if videos else None,
        **(info or {}),
        "features": declared,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(content))
    starts = np.cumsum([0, *lengths])
    rows, tables = [], {}
    for number, length in enumerate(lengths):
        state, action = vectors(length)
        row = {"episode_index": number, "tasks": [str(tasks[number % len(tasks)])], "length": length}
        if not old:
            row |= {"data/chunk_index": 0, "data/file_index": (files or [0] * len(lengths))[number]}
            row |= {"dataset_from_index": int(starts[number]), "dataset_to_index": int(starts[number + 1])}
            for name in cameras if videos else ():
                row |= {f"videos/{name}/chunk_index": 0, f"videos/{name}/file_index": 0}
                row |= {f"videos/{name}/from_timestamp": float(starts[number] / fps)}
        rows.append(row)
        found = {"observation.state": list(state), "action": list(action)}
        found |= {"timestamp": (np.arange(length) / fps).astype(np.float32), "frame_index": np.arange(length)}
        found |= {"episode_index": np.full(length, number), "index": starts[number] + np.arange(length)}
        found |= {"task_index": np.full(length, number % len(tasks))}
        for name in cameras if not videos else ():
            encoded = [encode(image(number, frame, size)) for frame in range(length)]
            found[name] = [{"bytes": data, "path": None} for data in encoded]
        found = columns(found, number) if columns else found
        in_file = (files or [0] * len(lengths))[number]
        path = f"data/chunk-000/episode_{number:06d}" if old else f"data/chunk-000/file-{in_file:03d}"
        tables.setdefault(path, []).append(pa.table(found))
        if old and videos:
            for name in cameras:
                write_video(
                    root / f"videos/chunk-000/{name}/episode_{number:06d}.mp4",
                    [image(number, frame, size) for frame in range(length)],
                    fps,
                )
    rows = episodes(rows) if episodes else rows
    for path, parts in tables.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(parts), root / f"{path}.parquet", write_page_checksum=True)
    texts = list(tasks)
    if old:
        (root / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        lines = [json.dumps({"task_index": number, "task": text}) + "\n" for number, text in enumerate(texts)]
        (root / "meta/tasks.jsonl").write_text("".join(lines))
        return root
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows),
        root / "meta/episodes/chunk-000/file-000.parquet",
        write_page_checksum=True,
    )
    pq.write_table(
        pa.table({"task_index": list(range(len(texts))), "__index_level_0__": texts}),
        root / "meta/tasks.parquet",
    )
    for name in cameras if videos else ():
        frame_images = [
            image(episode, frame, size) for episode, length in enumerate(lengths) for frame in range(length)
        ]
        write_video(root / f"videos/{name}/chunk-000/file-000.mp4", frame_images, fps)
    return root


def write_video(
    path: Path,
    frame_images: Sequence[np.ndarray],
    fps: float,
    times: Sequence[float] | None = None,
    options: dict | None = None,
) -> None:
    """times: of the images in seconds, default: 1 / fps apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(30000, 1001) if abs(fps - 29.97) < 1e-3 else Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        usual = {"crf": "6", "g": "2", "bf": "0", "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=rate, options=usual | (options or {}))
        stream.height, stream.width, stream.pix_fmt = *frame_images[0].shape[:2], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        for number, frame_image in enumerate(frame_images):
            frame = av.VideoFrame.from_ndarray(frame_image, format="rgb24")
            seconds = number / float(rate) if times is None else times[number]
            frame.pts, frame.time_base = round(seconds * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_mapping(path: Path, changes: dict | None = None) -> Path:
    """MAPPING as a file. changes: dotted key -> value, None removes."""
    content = json.loads(json.dumps(MAPPING))
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        branch = content
        for name in parents:
            branch = branch[name]
        if value is None:
            branch.pop(last)
        else:
            branch[last] = value
    path.write_text(yaml.safe_dump(content))
    return path


def write_rig(
    path: Path, hz: float = 10, size: tuple[int, int] = (HEIGHT, WIDTH), wrist: bool = True
) -> Path:
    raw = Rig.load("kinova_gen2").to_dict() | {"control_hz": float(hz), "name": "mine"}
    for one in raw["cameras"].values():
        one |= {"height": size[0], "width": size[1], "crop": "square"}
    if not wrist:
        del raw["cameras"]["wrist"]
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path
