"""CALVIN's datasets (mees/calvin: task_ABCD_D, task_ABC_D, task_D_D) as a source: one episode per annotated
span.

SRC/<training|validation>/episode_<id, 7 digits>.npz holds one frame at 30 Hz;
lang_annotations/auto_lang_ann.npy lists the spans with a text, both ends included. Spans overlap: a frame in
two spans is stored twice, once with each text.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gr1_core import images, lfs
from gr1_core.data.convert.sources import texts
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint
from gr1_core.rig import Rig

SPLITS = ("training", "validation")
ANNOTATIONS = Path("lang_annotations") / "auto_lang_ann.npy"
SPANS_PER_UNIT = 16
_MOST_FRAMES = 100_000  # of a span; official ones have at most 65
ENCODERS = {"jpeg": images.encode_jpeg, "png": images.encode_png}
_ARRAYS = {"rgb_static": (200, 200, 3), "rgb_gripper": (84, 84, 3), "robot_obs": (15,), "rel_actions": (7,)}


class Span(NamedTuple):
    """One annotation: its row in the file, the ids of the first and the last frame, the task's name and the
    text as stored, which need not be a text.
    """

    row: int
    first: int
    last: int
    task: str
    text: Any

    @property
    def frames(self) -> range:
        return range(self.first, self.last + 1)


@dataclass
class CalvinSource:
    """One split of a CALVIN dataset.

    per_task: number of spans per task (66 of each of the 34 tasks is the 10 % subset of GR-1's paper), drawn
    with `seed` for each task separately; None takes all. images: "jpeg" (quality 95, full colour resolution)
    or "png" (lossless, twice the size).
    """

    root: Path
    split: str = "training"
    per_task: int | None = None
    seed: int = 0
    images: str = "jpeg"
    kind: str = field(default="demonstrations", init=False)
    origin: str = field(default="calvin", init=False)

    def __post_init__(self):
        self.root = Path(self.root)
        self.folder = _split_folder(self.root, self.split)
        self.rig = Rig.load("calvin")
        self.fps = round(self.rig.control_hz)
        self.shapes = {role: (camera.height, camera.width) for role, camera in self.rig.cameras.items()}
        self.settings = {
            "split": self.split,
            "per_task": self.per_task,
            "seed": self.seed,
            "images": self.images,
        }

    def units(self) -> list[Unit]:
        """Sixteen spans each, in the order of the annotations.

        Raises SourceError for a split without annotations or frames.
        """
        spans = read_spans(self.folder / ANNOTATIONS)
        if not any(self._frame(span.first).is_file() for span in spans):
            raise SourceError(
                f"{self.folder}: none of the {len(spans)} annotated spans has its first frame (e.g. "
                f"{self._frame(spans[0].first).name}): "
                "unpack the dataset's frames into this folder"
            )
        if self.per_task is not None:
            spans = draw_subset(spans, self.per_task, self.seed)
        return [
            self._unit(spans[start : start + SPANS_PER_UNIT])
            for start in range(0, len(spans), SPANS_PER_UNIT)
        ]

    def _unit(self, spans: list[Span]) -> Unit:
        """Size and fingerprint from the files' sizes and times.

        os.stat on texts: Path costs seconds over millions of files.
        """
        digest, total, prefix = (
            hashlib.sha256(fingerprint([self.folder / ANNOTATIONS]).encode()),
            0,
            str(self.folder / "episode_"),
        )
        for number in (number for span in spans for number in span.frames):
            try:
                status = os.stat(f"{prefix}{number:07d}.npz")
            except FileNotFoundError:
                continue
            digest.update(f"{number} {status.st_size} {status.st_mtime_ns}\n".encode())
            total += status.st_size
        return Unit(
            f"{self.split}_{spans[0].row:05d}_{spans[-1].row:05d}",
            total,
            tuple(spans),
            digest.hexdigest()[:32],
        )

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        for span in unit.payload:
            name = f"{self.split}_{span.row:05d}_{span.first:07d}_{span.last:07d}"
            try:
                yield self._episode(name, span)
            except SourceError as error:
                yield Skipped(name, str(error))

    def _episode(self, name: str, span: Span) -> Episode:
        where = (
            f"{self.folder / ANNOTATIONS}: the text of row {span.row} (frames {span.first} to {span.last})"
        )
        text = texts.instruction(span.text, where)
        encode = ENCODERS[self.images]
        frames, state, action = {"static": [], "wrist": []}, [], []
        for number in span.frames:
            frame = read_frame(self._frame(number))
            frames["static"].append(encode(frame["rgb_static"]))
            frames["wrist"].append(encode(frame["rgb_gripper"]))
            state.append(np.append(frame["robot_obs"][:6], frame["robot_obs"][14]))
            action.append(frame["rel_actions"])
        where = f"{self.root.name}/{self.split}/{self._frame(span.first).name}"
        info = {"source": where, "outcome": "success", "frames": [span.first, span.last], "task": span.task}
        return Episode(name, text, frames, np.array(state, np.float32), np.array(action, np.float32), info)

    def _frame(self, number: int) -> Path:
        return self.folder / f"episode_{number:07d}.npz"


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """One episode_*.npz -> rgb_static u8[200, 200, 3], rgb_gripper u8[84, 84, 3], robot_obs [15], rel_actions
    [7]; checked.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            frame = {key: archive[key] for key in _ARRAYS}
    except FileNotFoundError:
        raise SourceError(f"{path}: the frame is missing: unpack the dataset completely") from None
    except KeyError as error:
        raise SourceError(f"{path}: {error.args[0]}") from error
    except Exception as error:  # numpy and zipfile raise anything on damaged bytes
        damage = f"damaged or truncated ({type(error).__name__}: {error})"
        raise SourceError(f"{path}: {lfs.explain(path, damage)}") from error
    for key, shape in _ARRAYS.items():
        value = frame[key]
        if value.shape != shape:
            raise SourceError(f"{path}: {key} is {list(value.shape)}, expected {list(shape)}")
        if key.startswith("rgb") and value.dtype != np.uint8:
            raise SourceError(f"{path}: {key} is {value.dtype}, expected uint8")
        if not key.startswith("rgb"):
            if value.dtype.kind not in "fiu":
                raise SourceError(f"{path}: {key} is {value.dtype}, expected numbers")
            frame[key] = value = value.astype(np.float64)
            if not np.isfinite(value).all():
                raise SourceError(f"{path}: {key} is not all finite numbers: {value}")
    for key, index in (("robot_obs", 14), ("rel_actions", 6)):
        if abs(abs(frame[key][index]) - 1) > 1e-3:
            raise SourceError(
                f"{path}: the gripper in {key}[{index}] is {frame[key][index]}, expected +1 (open) or -1 "
                "(closed)"
            )
        frame[key][index] = np.sign(frame[key][index])
    return frame


def read_spans(path: Path) -> list[Span]:
    """auto_lang_ann.npy -> its spans in the order of the file.

    The pickle in it may only build arrays and plain values.
    """
    try:
        content = load_object(path)
        texts, tasks, ends = content["language"]["ann"], content["language"]["task"], content["info"]["indx"]
        spans = [
            Span(row, int(first), int(last), str(task), text)
            for row, ((first, last), task, text) in enumerate(zip(ends, tasks, texts, strict=True))
        ]
    except FileNotFoundError:
        raise SourceError(
            f"{path} is missing: it holds the texts and is part of every official download of CALVIN"
        ) from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{path}: expected {{'language': {{'ann', 'task'}}, 'info': {{'indx'}}}} of equal lengths "
            f"({type(error).__name__}: {error})"
        ) from error
    wrong = [span for span in spans if not 0 <= span.first <= span.last < span.first + _MOST_FRAMES]
    if wrong or not spans:
        row = f"row {wrong[0].row} spans {wrong[0].first} to {wrong[0].last}" if wrong else ""
        raise SourceError(f"{path}: {row or 'no annotation in it'}: download the annotations again")
    return spans


def draw_subset(spans: list[Span], per_task: int, seed: int) -> list[Span]:
    """At most `per_task` spans of every task, in the given order.

    The draw of one task does not depend on the others.
    """
    chosen = []
    for task in sorted({span.task for span in spans}):
        of_task = [span for span in spans if span.task == task]
        random = np.random.default_rng([seed, zlib.crc32(task.encode())])
        chosen += [of_task[i] for i in random.permutation(len(of_task))[:per_task]]
    return sorted(chosen)


def load_object(path: Path):
    """The object in a .npy file of dtype object.

    A restricted unpickler: an ordinary one would run any code in the file.
    """
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = header(file)
            if shape != () or not dtype.hasobject:
                raise SourceError(f"{path}: holds {dtype}{list(shape)}, expected one pickled dictionary")
            return _ArraysOnly(file).load().item()
        except SourceError:
            raise
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
            raise SourceError(f"{path}: {lfs.explain(path, str(error) or 'truncated')}") from error
        except Exception as error:  # the unpickler meets garbage with whatever error comes first
            damage = f"damaged or not a .npy file ({error})"
            raise SourceError(f"{path}: {lfs.explain(path, damage)}") from error


class _ArraysOnly(pickle.Unpickler):
    _SAFE = {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        *(
            (f"numpy.{core}.multiarray", name)
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    }

    def find_class(self, module, name):
        if (module, name) not in self._SAFE:
            raise pickle.UnpicklingError(
                f"refused: the pickle asks for {module}.{name}, which annotations do not need"
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _split_folder(root: Path, split: str) -> Path:
    """root/split. Raises SourceError that suggests the right folder."""
    folder, annotations = root / split, ANNOTATIONS.parent.name
    if folder.is_dir():
        return folder
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder")
    if root.name == annotations:
        raise SourceError(f"{root} holds annotations only: give {root.parent.parent}")
    if (root / annotations).is_dir() or next(root.glob("episode_*.npz"), None):
        raise SourceError(
            f"{root} is one split: give {root.parent} and --split "
            f"{root.name if root.name in SPLITS else split}"
        )
    below = sorted(path.parent for path in root.glob(f"*/{split}") if path.is_dir())
    if below:
        raise SourceError(f"{root} has no folder '{split}': did you mean {' or '.join(map(str, below))}?")
    others = [name for name in SPLITS if (root / name).is_dir()]
    hint = (
        f"it has '{others[0]}': add --split {others[0]}"
        if others
        else "expected a folder such as task_ABCD_D with training/ and validation/"
    )
    raise SourceError(f"{root} has no folder '{split}': {hint}")
