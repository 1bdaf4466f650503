"""`gr1 gallery twin`: the images of the twin that documents show.

tasks.png: every task with the expert at work. objects.png: what can lie on the table. expert.mp4 and
expert.gif: a few tasks from start to end at twice the real speed, seen from outside, by the static camera and
by the wrist camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gr1_core.rig import Rig
from gr1_core.sim.expert import Expert
from gr1_core.sim.objects.catalogue import OBJECT_SAMPLERS, SLOTS
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.rollout import run_episode
from gr1_core.sim.tasks import TASKS, find_task
from gr1_core.sim.twin import Twin

VIDEO_TASKS = ("put_eggplant_on_plate", "open_drawer", "take_broccoli_from_plate", "pick_bell_pepper")
THINGS = {
    "training": (23, 2, 13, 10),
    "instances": (1, 4, 20, 23),
    "categories": (0, 2, 7, 8),
}  # seeds that together show all there is
_INK, _PAPER = (38, 42, 48), (244, 244, 242)


def states(twin: Twin, task: str, seed: int, rig: Rig) -> list[np.ndarray]:
    """The states of one expert episode, one a control period."""
    twin.reset(task, seed)
    return [state for state, _, _ in run_episode(twin, Expert(task, rig.control_hz), rig)]


def caption(image: np.ndarray, text: str, height: int = 36) -> np.ndarray:
    """A picture u8[h, w, 3] with a line of text below it."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (image.shape[1], height), _PAPER)
    font = ImageFont.load_default(size=round(height * 0.5))
    ImageDraw.Draw(strip).text((image.shape[1] / 2, height / 2), text, font=font, fill=_INK, anchor="mm")
    return np.concatenate([image, np.asarray(strip)])


def contact_sheet(twin: Twin, rig: Rig, seed: int) -> np.ndarray:
    """Twelve pictures: the rig, then each task two thirds through the expert's episode, seen by the static
    camera.
    """
    width, height, columns = 480, 270, 3
    twin.reset("put_eggplant_on_plate", seed)
    with Renderer("overview", width, height, "fine") as renderer:
        cells = [caption(renderer.render(twin.state()), "the rig")]
    with Renderer("static", width, height, "fine") as renderer:
        for name, task in TASKS.items():
            run = states(twin, name, seed, rig)
            cells.append(caption(renderer.render(run[len(run) * 2 // 3]), task.instructions[0]))
    return grid(cells, columns)


def things_sheet() -> np.ndarray:
    """A row each of tables for training, of other instances and of other categories, cut from the static
    camera's picture.
    """
    cells = []
    for which, seeds in THINGS.items():
        for seed in seeds:
            objects = OBJECT_SAMPLERS[which](seed)
            twin = Twin(objects)
            twin.reset("pick_eggplant", seed)
            with Renderer("static", 960, 540, "fine", objects) as renderer:
                picture = renderer.render(twin.state())[190:480, 270:700]
            nouns = ", ".join(map(objects.noun, SLOTS)) if which == "categories" else f"seed {seed}"
            cells.append(caption(picture, f"{which}: {nouns}", 30))
    return grid(cells, len(seeds))


def grid(cells: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size as rows of `columns`."""
    border = [np.pad(cell, ((4, 4), (4, 4), (0, 0)), constant_values=_PAPER[0]) for cell in cells]
    rows = [
        np.concatenate(border[start : start + columns], axis=1) for start in range(0, len(border), columns)
    ]
    return np.concatenate(rows)


def film(twin: Twin, rig: Rig, seed: int, names: tuple[str, ...]) -> Iterator[np.ndarray]:
    """Frames u8[490, 1200, 3], one a control period: the rig on the left, what the two cameras see on the
    right.
    """
    with (
        Renderer("overview", 800, 450, "film") as outside,
        Renderer("static", 400, 225, "film") as static,
        Renderer("wrist", 400, 300, "film") as wrist,
    ):
        for name in names:
            run = states(twin, name, seed, rig)
            for state in run + run[-1:] * 6:
                seen = np.concatenate([static.render(state), wrist.render(state)[37:262]])
                yield caption(np.concatenate([outside.render(state), seen], axis=1), twin.instruction, 40)


def write_mp4(path: Path, frames: list[np.ndarray], rate: int) -> None:
    import av

    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.options = (
            width,
            height,
            "yuv420p",
            {"crf": "20", "preset": "slow"},
        )
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_gif(path: Path, frames: list[np.ndarray], rate: int, width: int = 720) -> None:
    from PIL import Image

    size = (width, round(width * frames[0].shape[0] / frames[0].shape[1]))
    small = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    # One palette for all frames, without dithering: neither flicker nor noise. Colours count by the square
    # root of their area, since
    # a palette by area would spend itself on wood and background and leave none for the vegetables.
    pixels = np.concatenate([np.asarray(frame).reshape(-1, 3) for frame in small[::4]])
    colours, areas = np.unique(pixels // 2, axis=0, return_counts=True)
    weighed = np.repeat(colours * 2 + 1, np.ceil(np.sqrt(areas)).astype(int), axis=0).astype(np.uint8)
    palette = Image.fromarray(weighed[None]).quantize(256, dither=Image.Dither.NONE)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    drawn[0].save(
        path, save_all=True, append_images=drawn[1:], duration=round(1000 / rate), loop=0, optimize=True
    )


def write_gallery(out: Path, seed: int, tasks: Sequence[str], rig: str) -> list[Path]:
    """Writes tasks.png, objects.png, expert.mp4 and expert.gif into the folder `out` and returns their paths.

    seed: the layout. tasks: names of the tasks in the video. rig: name or YAML file.
    """
    from PIL import Image

    names = tuple(find(name).name for name in tasks)
    out.mkdir(parents=True, exist_ok=True)
    rig, twin = Rig.load(rig), Twin()
    Image.fromarray(contact_sheet(twin, rig, seed)).save(out / "tasks.png", optimize=True)
    Image.fromarray(things_sheet()).save(out / "objects.png", optimize=True)
    frames = list(film(twin, rig, seed, names))
    write_mp4(out / "expert.mp4", frames, round(2 * rig.control_hz))
    write_gif(out / "expert.gif", frames[::2], round(rig.control_hz))
    return [out / name for name in ("tasks.png", "objects.png", "expert.mp4", "expert.gif")]
