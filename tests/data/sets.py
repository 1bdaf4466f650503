"""Small datasets for the tests of windows and loader, made by the writer that `gr1 convert` uses."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr1_core import images
from gr1_core.data.convert.sources.source import Episode
from gr1_core.data.dataset_writer import DatasetWriter
from gr1_core.rig import Rig

STATIC, WRIST = (24, 40), (20, 16)
TASKS = ("open the drawer", "close the drawer", "pick up the carrot")


def small_rig() -> Rig:
    """The Kinova's rig with small cameras; the static one is cropped to its central square."""
    raw = Rig.load("kinova_gen2").to_dict()
    for role, (height, width), crop in (("static", STATIC, "square"), ("wrist", WRIST, "none")):
        raw["cameras"][role] |= {"height": height, "width": width, "crop": crop}
    return Rig.from_dict(raw)


def make_image(generator, shape) -> np.ndarray:
    """An image of coloured blocks, u8[H, W, 3], unlike any other."""
    height, width = shape
    blocks = generator.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return blocks.repeat(4, 0).repeat(4, 1)


def episode(
    generator,
    length: int,
    task: str,
    encode=images.encode_jpeg,
    roles=("static", "wrist"),
    robot: bool = True,
) -> Episode:
    shapes = {"static": STATIC, "wrist": WRIST}
    encoded = {role: [encode(make_image(generator, shapes[role])) for _ in range(length)] for role in roles}
    vectors = [generator.normal(size=(length, 7)).astype(np.float32) if robot else None for _ in range(2)]
    return Episode(f"episode of {length}", task, encoded, *vectors, {})


def write(root, episodes, rig=None, fps: int = 10) -> None:
    """rig None: a set of videos, static camera only."""
    shapes = {"static": STATIC, "wrist": WRIST} if rig else {"static": STATIC}
    writer = DatasetWriter(
        root, fps, shapes, rig, {"kind": "demonstrations" if rig else "videos", "source": "bags"}
    )
    for one in episodes:
        writer.add_episode(one)
    writer.close()


def demonstrations(root, lengths=(7, 1, 12, 5), encode=images.encode_jpeg, seed: int = 0) -> list[Episode]:
    """A set of these episodes, their texts in turn; returns what was written."""
    generator = np.random.default_rng(seed)
    episodes = [
        episode(generator, length, TASKS[number % len(TASKS)], encode)
        for number, length in enumerate(lengths)
    ]
    write(root, episodes, small_rig())
    return episodes


def videos(root, lengths=(30, 9)) -> list[Episode]:
    generator = np.random.default_rng(1)
    episodes = [
        episode(generator, length, f"clip {length}", roles=("static",), robot=False) for length in lengths
    ]
    write(root, episodes, fps=10)
    return episodes


def damage_image(root, role: str, row: int) -> None:
    """Cuts the end off one JPEG of a dataset in one file; its header with the size stays."""
    path = next(root.glob("data/*/*.parquet"))
    table = pq.read_table(path)
    name = f"observation.images.{role}"
    values = table[name].to_pylist()
    values[row]["bytes"] = values[row]["bytes"][: len(values[row]["bytes"]) * 2 // 3]
    field = table.schema.field(name)
    pq.write_table(
        table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type)), path
    )
