"""`gr1 bench data`: windows per CPU second of this loader, of an mp4 through PyAV and of the lerobot library,
in one run.

All readers take turns on the same windows of the same frames: a copy of the dataset's first episodes in a
temporary folder.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from gr1_core.bench import lerobot_reader
from gr1_core.data.convert.sources.source import Episode
from gr1_core.data.dataset import Dataset
from gr1_core.data.dataset_writer import DatasetWriter
from gr1_core.data.loader import Loader
from gr1_core.data.windows import Windows

WINDOW, FUTURE_STEPS, BATCH = 10, 3, 32
CHUNK_S = 0.5  # processor time of one turn, at least
NAMES = {
    "encoded": "ours, decoding",
    "decoded": "ours, decoded once a machine",
    "mp4": "h264 through PyAV",
    "lerobot": "lerobot's __getitem__",
}


def run(root: Path, threads: int, frames: int, rounds: int, lerobot: Path | None) -> dict:
    """Measures, prints, returns the JSON document. lerobot: a Python interpreter that can import lerobot."""
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="gr1-bench-") as folder,
        console.status("copy the first episodes") as status,
    ):
        dataset = copy_beginning(Dataset(root), frames, Path(folder) / "set")
        windows = Windows(dataset, None, WINDOW, FUTURE_STEPS)
        picked: list[np.ndarray] = []
        loaders = {
            name: Loader(
                windows,
                (picked[-1] for _ in count()),
                threads=threads,
                decode_once=name == "decoded",
                prefetch=0,
            )
            for name in ("encoded", "decoded")
        }
        readers: dict[str, Callable[[np.ndarray], float]] = {
            name: _own(loader) for name, loader in loaders.items()
        }
        with LeRobot(lerobot, dataset, Path(folder)) if lerobot else nullcontext() as reader:
            status.update("encode the mp4")
            readers["mp4"] = _in_process(Mp4(dataset, Path(folder)).read, windows)
            if reader:
                readers["lerobot"] = reader.read
            rates: dict[str, list[float]] = {name: [] for name in readers}
            random = np.random.default_rng(0)
            for number in range(rounds + 1):
                status.update(f"round {number + 1} of {rounds + 1}")
                picked.append(_apart(len(windows), random))
                for name, read in readers.items():
                    rate = _rate(read, picked[-1])
                    if number:  # the first round warms up
                        rates[name].append(rate)
        for loader in loaders.values():
            loader.close()
        image_bytes = {
            role: round(np.mean([len(dataset.encoded(role, row)) for row in range(dataset.length)]))
            for role in dataset.roles
        }
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return _report(console, dataset, medians, image_bytes, threads)


def copy_beginning(dataset: Dataset, frames: int, root: Path) -> Dataset:
    """The first episodes, at least one and at most `frames` frames, as a dataset of their own with the same
    image bytes.
    """
    shapes = {role: dataset.shape(role) for role in dataset.roles}
    writer = DatasetWriter(
        root, int(dataset.fps), shapes, dataset.rig, {"kind": dataset.kind, "source": "bench"}
    )
    for number, (start, end) in enumerate(dataset.episodes.tolist()):
        if number and end > frames:
            break
        encoded = {
            role: [bytes(dataset.encoded(role, row)) for row in range(start, end)] for role in dataset.roles
        }
        vectors = [
            None if values is None else values[start:end] for values in (dataset.state, dataset.action)
        ]
        writer.add_episode(
            Episode(str(number), dataset.tasks[dataset.task_of[number]], encoded, *vectors, {})
        )
    writer.close()
    return Dataset(root)


class Mp4:
    """The same frames as a video of each camera, all episodes one after the other, as lerobot lays out its
    videos.
    """

    def __init__(self, dataset: Dataset, folder: Path):
        self._cameras = dataset.cameras
        self._videos = {}
        for role in dataset.roles:
            path = folder / f"{role}.mp4"
            _encode(path, dataset, role)
            container = av.open(path)
            container.streams.video[0].codec_context.thread_count = 1
            self._videos[role] = container

    def read(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Rows i64[n], not decreasing -> what the model sees of them, {role: u8[n, h, w, 3]}."""
        return {
            role: np.stack([self._cameras[role].view(image) for image in self._decode(role, frames)])
            for role in self._videos
        }

    def _decode(self, role: str, frames: np.ndarray) -> list[np.ndarray]:
        container = self._videos[role]
        stream = container.streams.video[0]
        ticks = round(1 / (stream.average_rate * stream.time_base))
        found = {}
        container.seek(int(frames[0]) * ticks, stream=stream)
        for frame in container.decode(stream):
            row = frame.pts // ticks
            if row >= frames[0]:
                found[row] = frame.to_ndarray(format="rgb24")
            if row >= frames[-1]:
                break
        return [found[row] for row in frames.tolist()]


def _encode(path: Path, dataset: Dataset, role: str) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream(
            "libx264", rate=int(dataset.fps), options={"crf": "23", "g": "2", "preset": "veryfast"}
        )
        stream.height, stream.width = dataset.shape(role)
        stream.pix_fmt = "yuv420p"
        for row in range(dataset.length):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(dataset.image(role, row), format="rgb24")))
        container.mux(stream.encode())


class LeRobot:
    """The real library in its own interpreter; it is asked for windows line by line and answers with the
    processor time they took.
    """

    def __init__(self, python: Path, dataset: Dataset, folder: Path):
        self._dataset = dataset
        cache = str(folder / "cache")
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": cache,
            "HF_DATASETS_CACHE": cache,
            "HF_LEROBOT_HOME": cache,
        }
        environment.pop("PYTHONPATH", None)
        self._log = open(folder / "lerobot.log", "w+")
        command = [str(python), lerobot_reader.__file__, str(dataset.root), str(WINDOW), str(FUTURE_STEPS)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            cwd=folder,
        )
        self._answer()

    def __enter__(self) -> LeRobot:
        return self

    def __exit__(self, *_) -> None:
        self._process.communicate()
        self._log.close()

    def read(self, indices: np.ndarray) -> float:
        """Windows of all episodes in their order are the rows that they start at."""
        self._process.stdin.write(json.dumps(indices.tolist()) + "\n")
        self._process.stdin.flush()
        return self._answer()["cpu_s"]

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            lines = self._log.read().strip().splitlines() or ["no message"]
            raise OSError(f"{self._process.args[0]} could not read the dataset through lerobot: {lines[-1]}")
        return json.loads(line)


def _apart(windows: int, random: np.random.Generator) -> np.ndarray:
    """Some windows that share no frame: in a large dataset they rarely do, in the copy our loader would
    decode such frames only once.
    """
    length = WINDOW + FUTURE_STEPS
    starts = np.arange(random.integers(min(length, windows)), windows, length)
    return random.permutation(starts)[:BATCH]


def _own(loader: Loader) -> Callable[[np.ndarray], float]:
    def read(_: np.ndarray) -> float:
        began = time.process_time()
        next(loader)
        return time.process_time() - began

    return read


def _in_process(read: Callable[[np.ndarray], object], windows: Windows) -> Callable[[np.ndarray], float]:
    def timed(indices: np.ndarray) -> float:
        began = time.process_time()
        for frames in windows.batch(indices).frames:
            read(frames)
        return time.process_time() - began

    return timed


def _rate(read: Callable[[np.ndarray], float], indices: np.ndarray) -> float:
    """Windows per processor second, the same windows again and again for one turn."""
    used, windows = 0.0, 0
    while used < CHUNK_S:
        used += read(indices)
        windows += len(indices)
    return windows / used


def _report(
    console: Console, dataset: Dataset, rates: dict[str, float], image_bytes: dict[str, int], threads: int
) -> dict:
    table = Table(
        title=f"windows of {WINDOW} + {FUTURE_STEPS} frames, {' and '.join(dataset.roles)}, "
        f"{dataset.length} frames"
    )
    table.add_column("reader")
    for title in ("windows a processor second", "ours, decoding", "ours, decoded"):
        table.add_column(title, justify="right")
    for name, rate in rates.items():
        ratios = (
            ()
            if name in ("encoded", "decoded")
            else (f"{rates['encoded'] / rate:.1f} x", f"{rates['decoded'] / rate:.0f} x")
        )
        table.add_row(NAMES[name], f"{rate:.1f}", *ratios)
    console.print(table)
    if "lerobot" not in rates:
        console.print(
            "lerobot was not measured: `make test-lerobot` makes .venv-lerobot, or name an interpreter with "
            "--lerobot"
        )
    result = {
        "windows_per_cpu_s": {name: round(rate, 1) for name, rate in rates.items()},
        "ratio_lerobot": round(rates["encoded"] / rates["lerobot"], 2) if "lerobot" in rates else None,
        "ratio_mp4": round(rates["encoded"] / rates["mp4"], 2),
        "decoded_ratio_lerobot": round(rates["decoded"] / rates["lerobot"], 2)
        if "lerobot" in rates
        else None,
        "decoded_ratio_mp4": round(rates["decoded"] / rates["mp4"], 2),
        "frames": dataset.length,
        "image_bytes": image_bytes,
        "threads": threads,
    }
    print(json.dumps(result))
    return result
