"""Random windows of 10 frames from every camera through lerobot's own __getitem__: what `gr1 bench data` is compared with.

    .venv-lerobot/bin/python tests/interop/loader_speed.py DATASET [--seconds 10] [--seed 0]

Each window asks for the frames of all cameras, the states and the actions, as a policy's training does. One JSON document on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="folder of a LeRobotDataset v3.0")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds to measure (default: 10)")
    parser.add_argument("--window", type=int, default=10, help="frames of a window (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lerobot-cache-") as cache:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": cache, "HF_DATASETS_CACHE": cache}
        print(json.dumps(measure(arguments.dataset, arguments.seconds, arguments.window, arguments.seed)))


def measure(folder: str, seconds: float, window: int, seed: int) -> dict:
    """Windows per CPU-second of this process, one thread; the first five windows are not counted."""
    import numpy as np
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    torch.set_num_threads(1)
    plain = LeRobotDataset("somebody/something", root=folder)
    ahead = [step / plain.fps for step in range(window)]
    names = [*plain.meta.camera_keys, *(name for name in ("observation.state", "action") if name in plain.features)]
    dataset = LeRobotDataset("somebody/something", root=folder, delta_timestamps={name: ahead for name in names})
    random = np.random.default_rng(seed)
    for index in random.integers(0, len(dataset), 5).tolist():
        dataset[index]
    count, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.process_time() - cpu < seconds:
        dataset[int(random.integers(len(dataset)))]
        count += 1
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "windows": count,
        "window": window,
        "cameras": len(plain.meta.camera_keys),
        "windows_per_cpu_s": round(count / cpu, 2),
        "images_per_cpu_s": round(count * window * len(plain.meta.camera_keys) / cpu, 1),
        "cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
    }


if __name__ == "__main__":
    main()
