"""Images and videos of the twin for documents: `gr1 gallery twin`.

tasks.png: every task with the expert at work. objects.png: objects on the table. expert.mp4 and expert.gif:
some tasks from start to end at twice the real speed, from outside and through both cameras.
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
SEED = 5  # layout of the published images
# Seeds that together show all objects of a sampler
OBJECT_SEEDS = {"training": (23, 2, 13, 10), "instances": (1, 4, 20, 23), "categories": (0, 2, 7, 8)}
_TEXT_COLOUR, _BACKGROUND = (38, 42, 48), (244, 244, 242)


def expert_states(twin: Twin, task: str, seed: int, rig: Rig) -> list[np.ndarray]:
    """Returns the states of one expert episode, one per control period."""
    twin.reset(task, seed)
    return [state for state, _, _ in run_episode(twin, Expert(task, rig.control_hz), rig)]


def add_caption(image: np.ndarray, text: str, height: int = 36) -> np.ndarray:
    """Returns the image u8[h, w, 3] with a line of text of `height` pixels below it."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (image.shape[1], height), _BACKGROUND)
    font = ImageFont.load_default(size=round(height * 0.5))
    ImageDraw.Draw(strip).text(
        (image.shape[1] / 2, height / 2), text, font=font, fill=_TEXT_COLOUR, anchor="mm"
    )
    return np.concatenate([image, np.asarray(strip)])


def render_task_sheet(twin: Twin, rig: Rig, seed: int) -> np.ndarray:
    """Twelve images: the rig, then each task two thirds through the expert's episode in the static camera."""
    width, height, columns = 480, 270, 3
    twin.reset("put_eggplant_on_plate", seed)
    with Renderer("overview", width, height, "fine") as renderer:
        cells = [add_caption(renderer.render(twin.state()), "the rig")]
    with Renderer("static", width, height, "fine") as renderer:
        for name, task in TASKS.items():
            run = expert_states(twin, name, seed, rig)
            cells.append(add_caption(renderer.render(run[len(run) * 2 // 3]), task.instructions[0]))
    return tile_images(cells, columns)


def render_object_sheet() -> np.ndarray:
    """One row each of training tables, other instances and other categories, in the static camera."""
    cells = []
    for which, seeds in OBJECT_SEEDS.items():
        for seed in seeds:
            objects = OBJECT_SAMPLERS[which](seed)
            twin = Twin(objects)
            twin.reset("pick_eggplant", seed)
            with Renderer("static", 960, 540, "fine", objects) as renderer:
                image = renderer.render(twin.state())[190:480, 270:700]
            nouns = ", ".join(map(objects.noun, SLOTS)) if which == "categories" else f"seed {seed}"
            cells.append(add_caption(image, f"{which}: {nouns}", 30))
    return tile_images(cells, len(seeds))


def tile_images(images: Sequence[np.ndarray], columns: int, margin: int = 4) -> np.ndarray:
    """Arranges images of one size in rows of `columns`, with a margin in pixels around each."""
    pad = ((margin, margin), (margin, margin), (0, 0))
    cells = [np.pad(image, pad, constant_values=_BACKGROUND[0]) for image in images]
    rows = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    return np.concatenate(rows)


def render_video(twin: Twin, rig: Rig, seed: int, names: Sequence[str]) -> Iterator[np.ndarray]:
    """Yields frames u8[490, 1200, 3], one per control period: the rig, and its cameras beside it."""
    with (
        Renderer("overview", 800, 450, "video") as overview,
        Renderer("static", 400, 225, "video") as static,
        Renderer("wrist", 400, 300, "video") as wrist,
    ):
        for name in names:
            run = expert_states(twin, name, seed, rig)
            for state in run + run[-1:] * 6:
                cameras = np.concatenate([static.render(state), wrist.render(state)[37:262]])
                frame = np.concatenate([overview.render(state), cameras], axis=1)
                yield add_caption(frame, twin.instruction, 40)


def write_mp4(path: Path, frames: Sequence[np.ndarray], rate: int) -> None:
    """Writes frames u8[h, w, 3] of one size as H.264 at `rate` frames per second."""
    import av

    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "20", "preset": "slow"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_gif(path: Path, frames: Sequence[np.ndarray], rate: int, width: int = 720) -> None:
    """Writes frames u8[h, w, 3] of one size as a GIF of that width, at `rate` frames per second."""
    from PIL import Image

    size = (width, round(width * frames[0].shape[0] / frames[0].shape[1]))
    small = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    # One palette for all frames, without dithering, avoids flicker and noise. Each colour counts by the
    # square root of
    # its area: a palette by area would consist of wood and background and have no colours for the vegetables.
    pixels = np.concatenate([np.asarray(frame).reshape(-1, 3) for frame in small[::4]])
    colours, areas = np.unique(pixels // 2, axis=0, return_counts=True)
    weighted = np.repeat(colours * 2 + 1, np.ceil(np.sqrt(areas)).astype(int), axis=0).astype(np.uint8)
    palette = Image.fromarray(weighted[None]).quantize(256, dither=Image.Dither.NONE)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    indexed[0].save(
        path, save_all=True, append_images=indexed[1:], duration=round(1000 / rate), loop=0, optimize=True
    )


def write_gallery(
    out: Path, seed: int = SEED, tasks: Sequence[str] = VIDEO_TASKS, rig: str = "kinova_gen2"
) -> list[Path]:
    """Writes all images and videos into the folder `out` and returns their paths.

    seed: of the layouts. tasks: those in the video. rig: name or YAML file. Raises ValueError for an unknown
    task or rig, OSError where `out` cannot be written, RuntimeError without off-screen OpenGL.
    """
    from PIL import Image

    names = [find_task(name).name for name in tasks]
    settings, twin = Rig.load(rig), Twin()
    out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render_task_sheet(twin, settings, seed)).save(out / "tasks.png", optimize=True)
    Image.fromarray(render_object_sheet()).save(out / "objects.png", optimize=True)
    frames = list(render_video(twin, settings, seed, names))
    write_mp4(out / "expert.mp4", frames, round(2 * settings.control_hz))
    write_gif(out / "expert.gif", frames[::2], round(settings.control_hz))
    return [out / name for name in ("tasks.png", "objects.png", "expert.mp4", "expert.gif")]
