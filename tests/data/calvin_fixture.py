"""A tiny dataset in CALVIN's official layout: a coloured block that a dark gripper carries about, two tasks,
overlapping spans.

python -m tests.data.calvin_fixture DIR      writes DIR/task_D_D
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FIRST = 53819  # the official training split begins at this id
TASKS = {
    "push_red_block_left": ("push the red block to the left", "slide the red block left"),
    "open_drawer": ("pull the handle to open the drawer", "go open the drawer"),
}


def make(root: Path, spans: int = 6, length: int = 30, seed: int = 0) -> Path:
    """Writes root/task_D_D with `spans` annotated spans of `length` frames in training/ and two in
    validation/.
    """
    root = root / "task_D_D"
    for split, count in (("training", spans), ("validation", 2)):
        _split(root / split, count, length, np.random.default_rng([seed, count]))
    return root


def _split(folder: Path, spans: int, length: int, random: np.random.Generator) -> None:
    step = length - 5  # neighbours share five frames, as many of the official ones do
    frames = step * (spans - 1) + length + 3
    (folder / "lang_annotations").mkdir(parents=True)
    colours = random.integers(60, 255, (spans + 1, 3))
    pose = np.array([0.1, -0.1, 0.5, np.pi - 0.02, 0.05, 1.5])
    for index in range(frames):
        action = np.round(random.uniform(-0.2, 0.2, 6) + 0.7 * np.sin(index / 9 + np.arange(6)), 3).clip(
            -1, 1
        )
        target = pose + action * np.repeat([0.02, 0.05], 3)
        target[3:] = (target[3:] + np.pi) % (2 * np.pi) - np.pi
        gripper = 1.0 if index // 12 % 2 else -1.0
        robot_obs = np.concatenate(
            [pose, [0.04], np.zeros(7), [1.0 if max(index - 1, 0) // 12 % 2 else -1.0]]
        )
        np.savez_compressed(
            folder / f"episode_{FIRST + index:07d}.npz",
            actions=np.append(target, gripper),
            rel_actions=np.append(action, gripper),
            robot_obs=robot_obs,
            scene_obs=np.zeros(24),
            rgb_static=_image(200, pose, colours[index // step]),
            rgb_gripper=_image(84, pose, colours[index // step]),
            depth_static=np.ones((200, 200), np.float32),
            depth_gripper=np.ones((84, 84), np.float32),
        )
        pose = target
    starts = [FIRST + step * span for span in range(spans)]
    names = [list(TASKS)[span % 2] for span in range(spans)]
    annotations = {
        "language": {
            "ann": [TASKS[name][span // 2 % 2] for span, name in enumerate(names)],
            "task": names,
            "emb": random.normal(size=(spans, 1, 384)).astype(np.float32),
        },
        "info": {"episodes": [], "indx": [(start, start + length - 1) for start in starts]},
    }
    np.save(folder / "lang_annotations" / "auto_lang_ann.npy", annotations, allow_pickle=True)
    np.save(folder / "ep_start_end_ids.npy", np.array([[FIRST, FIRST + frames - 1]]))
    np.save(folder / "ep_lens.npy", np.array([frames]))


def _image(side: int, pose: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """u8[side, side, 3]: a block under the gripper on a shaded table, so that frames differ and follow the
    pose.
    """
    rows, columns = np.mgrid[:side, :side]
    image = np.repeat((90 + 80 * rows // side)[..., None], 3, axis=2).astype(np.uint8)
    x, y = (np.clip(0.5 + pose[:2] * (1.5, 1.5), 0.1, 0.9) * side).astype(int)
    image[(abs(rows - y) < side // 9) & (abs(columns - x) < side // 9)] = colour
    image[(abs(rows - y) < side // 25) & (abs(columns - x) < side // 4)] = (40, 40, 45)
    return image


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
