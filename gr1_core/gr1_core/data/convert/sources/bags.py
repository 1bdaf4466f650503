"""Bags as a source: one episode per bag (see data/steps.py)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gr1_core import images
from gr1_core.data import bag_table, drivers
from gr1_core.data.bag import Bag, BagError, find_candidates
from gr1_core.data.command_timeline import true_spans
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint, safe_key
from gr1_core.data.marks import Marks, marks_of
from gr1_core.data.metadata import OUTCOMES
from gr1_core.data.schemas import SchemaError
from gr1_core.data.steps import Frame, StepsError, read_steps, select_steps
from gr1_core.images import ImageError
from gr1_core.rig import Rig, RigError

IMAGES = ("keep", "jpeg", "png")


class BagSource:
    """All bags below `root` with one of the `outcomes`, in the order of their folders.


    They must have the same rig.

    images: "keep" keeps recorded JPEG and stores raw pixels as lossless PNG; "jpeg" stores raw pixels as JPEG
    (quality 95, 4:4:4); "png" stores everything as PNG. rig: replaces the bags' own, which must agree with
    it. Raises SourceError, BagError or RigError.
    """

    kind, origin = "demonstrations", "bags"

    def __init__(
        self, root: Path, outcomes: Sequence[str] = ("success",), images: str = "keep", rig: Rig | None = None
    ):
        unknown = [outcome for outcome in outcomes if outcome not in OUTCOMES]
        if unknown or not outcomes:
            raise SourceError(f"outcome '{', '.join(unknown)}' is not one of {', '.join(OUTCOMES)}")
        self.root, self.images, self.outcomes = (
            Path(root),
            images,
            tuple(outcome for outcome in OUTCOMES if outcome in outcomes),
        )
        self._folders = sorted(folder for folder, _ in find_candidates(self.root))
        if not self._folders:
            raise SourceError(
                f"no bags below {self.root}: record some with `gr1 up --record` or `gr1 collect sim`"
            )
        self.rig = self._common_rig(rig)
        if self.rig.control_hz != int(self.rig.control_hz):
            raise RigError(
                f"rig '{self.rig.name}': control_hz is {self.rig.control_hz:g}, a LeRobotDataset needs a "
                "whole number"
            )
        self.fps = int(self.rig.control_hz)
        self.shapes = {
            role: (self.rig.cameras[role].height, self.rig.cameras[role].width) for role in self.rig.cameras
        }
        self.settings = {"outcomes": list(self.outcomes), "images": images, "drivers": True}

    def units(self) -> list[Unit]:
        count = Counter(folder.name for folder in self._folders)
        units = []
        for folder in self._folders:
            name = folder.name if count[folder.name] == 1 else "_".join(folder.relative_to(self.root).parts)
            inside = folder.iterdir() if folder.is_dir() else ()  # a link that leads nowhere
            files = sorted(path for path in inside if path.is_file())
            units.append(
                Unit(
                    safe_key(name),
                    sum(path.stat().st_size for path in files),
                    (folder, name),
                    fingerprint(files),
                )
            )
        return units

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        folder, name = unit.payload
        try:
            bag = Bag(folder)
            if bag.outcome not in self.outcomes:
                yield Skipped(
                    name,
                    f"its outcome is '{bag.outcome}', wanted: {', '.join(self.outcomes)}",
                    intended=True,
                )
            elif (marks := marks_of(bag.labels, bag.name)).excluded:
                yield Skipped(name, f"excluded: {marks.excluded}", intended=True)
            else:
                yield self._episode(bag, name, marks)
        except (BagError, RigError, SchemaError, StepsError, ImageError, OSError) as error:
            # The path on this machine must not change the bytes of the dataset; remedies must not contain
            # half a path.
            text = re.sub("`(gr1 bags [a-z]+) [^`]+`", r"`\1` on it", str(error))
            raise SourceError(text.replace(f"{self.root}/", "")) from error

    def _episode(self, bag: Bag, name: str, marks: Marks) -> Episode:
        _require_same(self.rig, "the other bags", bag)
        chosen = select_steps(bag, self.rig, marks)
        encoders = {role: _Encoder(self.images) for role in self.rig.cameras}
        encoded = {role: [] for role in self.rig.cameras}
        for step in read_steps(bag, self.rig, chosen):
            for role in self.rig.cameras:
                encoded[role].append(encoders[role](getattr(step, role)))
        info = {
            "source": "/".join(bag.folder.resolve().parts[-2:]),
            "outcome": bag.outcome,
            "operator": bag.labels.get("operator", ""),
            "note": bag.labels.get("note", ""),
            "started": bag.labels.get("started", ""),
            "seconds": round(bag.duration_s, 3),
            "recorded_steps": chosen.recorded,
            **({"marks": str(marks), "trimmed_steps": chosen.trimmed} if marks.trimmed else {}),
            "repeated_frames": {
                role: int((np.diff(chosen.frames[role]) == 0).sum()) for role in self.rig.cameras
            },
            **({"teleoperated": true_spans(chosen.teleoperated)} if chosen.teleoperated.any() else {}),
            "problems": list(chosen.problems),
            "streams": {row.pop("topic"): row for row in bag_table.topic_rows(bag)},
        }
        driver = drivers.drivers_of(bag, chosen.teleoperated)
        return Episode(name, bag.instruction, encoded, chosen.state, np.asarray(chosen.action), info, driver)

    def _common_rig(self, rig: Rig | None) -> Rig:
        """The rig that is given, else that of most bags. A bag with another rig is skipped when it is read.

        Raises RigError where no bag has the given rig, or no rig has more than half of the bags.
        """
        groups: list[list[Bag]] = []
        for folder in self._folders:
            try:
                bag = Bag(folder)
                if bag.outcome in self.outcomes and not bag.labels.get("excluded"):
                    _group_of(groups, bag).append(bag)
            except (BagError, RigError):
                continue  # reported when it is read
        if not groups:
            defects = [str(error) for error in map(_defect, self._folders) if error]
            wanted = f"no bag has the outcome {' or '.join(self.outcomes)} and is not excluded"
            why = defects[0] if defects else wanted
            raise SourceError(f"nothing to convert below {self.root}: {why}")
        if rig is not None:
            if not any(_same(rig, group[0]) for group in groups):
                _require_same(rig, "the given rig", groups[0][0])
            return rig
        largest = max(groups, key=len)
        if 2 * len(largest) <= sum(map(len, groups)):
            other = next(group for group in groups if group is not largest)
            _require_same(largest[0].rig, f"bag {largest[0].name}", other[0])
        return largest[0].rig


def _group_of(groups: list[list[Bag]], bag: Bag) -> list[Bag]:
    """The group of bags with the same rig; a new one if there is none. Raises RigError for an unusable
    rig.
    """
    mine = bag.rig
    for group in groups:
        if _same(mine, group[0]):
            return group
    groups.append([])
    return groups[-1]


def _same(rig: Rig, bag: Bag) -> bool:
    try:
        rig.require_same(bag.rig, bag.name)
        return True
    except RigError:
        return False


class _Encoder:
    """Frame -> bytes. A frame that several steps share is encoded once."""

    def __init__(self, images: str):
        self._images, self._frame, self._data = images, None, b""

    def __call__(self, frame: Frame) -> bytes:
        if frame is not self._frame:
            self._frame, self._data = frame, self._encode(frame)
        return self._data

    def _encode(self, frame: Frame) -> bytes:
        if frame.data is not None and self._images != "png":
            return frame.data
        return (
            images.encode_jpeg(frame.image()) if self._images == "jpeg" else images.encode_png(frame.image())
        )


def _require_same(common: Rig, first: str, bag: Bag) -> None:
    try:
        common.require_same(bag.rig, f"bag {bag.name}")
    except RigError as error:
        raise RigError(
            f"{error} ({first}): a dataset has one rig; put the bags of the other rig into a folder of their "
            "own"
        ) from error


def _defect(folder: Path) -> BagError | RigError | None:
    try:
        Bag(folder).rig  # noqa: B018
    except (BagError, RigError) as error:
        return error
    return None
