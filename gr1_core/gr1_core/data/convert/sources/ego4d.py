"""Ego4D as a source: clips of 3 s around each narration, 3 frames per second, 224 x 224 pixels, as in GR-1's
pre-training.

SRC is the folder that Ego4D's own command line tool fills: SRC/v2/annotations/narration.json and
SRC/v2/full_scale/<video uid>.mp4 or SRC/v2/video_540ss/<video uid>.mp4 (likewise v1, v2_1). A narration is a
text at one moment. The clip is centred on it and moved inward at the ends of the video. It has ten frames,
the first at its start, the last at its end.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gr1_core import lfs
from gr1_core.data.convert.sources import texts
from gr1_core.data.convert.sources.clips import Clip, cut_clips
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint
from gr1_core.data.convert.sources.video import VideoError

SECONDS, FPS, SIDE = 3.0, 3, 224
FRAMES = int(SECONDS * FPS) + 1
FOLDERS = ("video_540ss", "full_scale")
FILES = ("narration.json", "all_narrations_redacted.json")
NOT_HERE = "videos_not_here"


class Narration(NamedTuple):
    """name: pass and position in the file. seconds: its moment (-1: none). text: as annotated, which need not
    be a text.
    """

    name: str
    seconds: float
    text: Any


@dataclass
class Ego4DSource:
    """All narrated clips with a local video.

    clips: number to draw with `seed` (the paper has 800,000); None takes all.
    """

    root: Path
    clips: int | None = None
    seed: int = 0
    kind: str = field(default="videos", init=False)
    origin: str = field(default="ego4d", init=False)
    fps: int = field(default=FPS, init=False)
    rig: None = field(default=None, init=False)

    def __post_init__(self):
        self.root = Path(self.root)
        self.annotations, self.videos = _locate(self.root)
        self.shapes = {"static": (SIDE, SIDE)}
        self.settings = {
            "clips": self.clips,
            "seed": self.seed,
            "seconds": SECONDS,
            "side": SIDE,
            "videos": self.videos.name,
        }

    def units(self) -> list[Unit]:
        """One unit per video, sorted by uid; then one that lists the narrated videos that are missing."""
        narrated = read_narrations(self.annotations)
        here = {uid: found for uid, found in narrated.items() if self._video(uid).is_file()}
        if not here:
            raise SourceError(
                f"{self.videos}: holds none of the {len(narrated)} videos that {self.annotations.name} "
                "narrates"
            )
        missing = {uid: len(found) for uid, found in narrated.items() if uid not in here}
        if self.clips is not None:
            here = draw_subset(here, self.clips, self.seed)
        units = [
            Unit(
                uid,
                self._video(uid).stat().st_size,
                tuple(found),
                fingerprint([self._video(uid)]) + _digest(found),
            )
            for uid, found in here.items()
        ]
        return units + ([Unit(NOT_HERE, 0, tuple(missing.items()), _digest(missing))] if missing else [])

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        if unit.key == NOT_HERE:
            yield from (
                Skipped(uid, f"{self._video(uid)} is missing ({count} narrations)", steps=0)
                for uid, count in unit.payload
            )
            return
        video, wanted = self._video(unit.key), {}
        for narration in unit.payload:
            name = f"{unit.key}_{narration.name}"
            try:
                text = self._text(narration)
            except SourceError as error:
                yield Skipped(name, str(error))
                continue
            if narration.seconds < 0:
                yield Skipped(
                    name, f"{self.annotations.name}: its time is not seconds from the video's start"
                )
            else:
                wanted[name] = (narration, text)
        moments = [(name, narration.seconds) for name, (narration, _) in wanted.items()]
        try:
            for clip in cut_clips(video, moments, SECONDS, FRAMES, SIDE, unit.key in self._stereo):
                narration, text = wanted[clip.name]
                if isinstance(clip, Clip):
                    info = {
                        "source": "/".join(video.parts[-3:]),
                        "seconds": clip.seconds,
                        "narration": narration.text,
                    }
                    yield Episode(clip.name, text, {"static": clip.frames}, info=info)
                else:
                    yield Skipped(clip.name, f"{video}: {clip.reason}")
        except VideoError as error:
            raise SourceError(f"{video}: {error}; its {len(unit.payload)} narrations are skipped") from error

    def _video(self, uid: str) -> Path:
        return self.videos / f"{uid}.mp4"

    def _text(self, narration: Narration) -> str:
        where = f"{self.annotations.name}: the narration"
        text = narration.text
        if isinstance(text, str):
            if not (cleaned := clean_narration(text)):
                raise SourceError(f"{where} '{text}' has no words")
            text = cleaned
        return texts.instruction(text, where)

    @cached_property
    def _stereo(self) -> frozenset[str]:
        """The videos that Ego4D's own metadata (ego4d.json) calls stereo."""
        for path in (self.videos.parent / "ego4d.json", self.root / "ego4d.json"):
            try:
                listed = json.loads(path.read_bytes())["videos"]
                return frozenset(str(one["video_uid"]) for one in listed if one.get("is_stereo") is True)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return frozenset()


def clean_narration(narration: str) -> str:
    """'#C C picks up the #unsure.' -> 'picks up something': without the camera wearer and the annotators'
    tags.
    """
    text = html.unescape(narration)
    text = re.sub(r"[\[(<{]\s*#?\s*unsure\s*[\])>}]", " #unsure ", text, flags=re.IGNORECASE)
    text = re.sub(
        r"(\b(the|a|an|some)\s+)?(#\s*unsure|#?\s*\bunsure(?=\W*$))\b",
        " something ",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(r"[#@]\s*\w+", " ", text)
    text = re.sub(r"^\W*(C([\s:,;.]+|$))+", "", text, flags=re.IGNORECASE)
    text = " ".join(text.split()).strip(" .,;:_")
    text = re.sub(r"\s+([.,;:])", r"\1", text)
    return "" if text == "something" else text


def read_narrations(path: Path) -> dict[str, list[Narration]]:
    """narration.json -> {uid: narrations of all passes, by time}, sorted by uid, without videos that have
    none.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(
            f"{path}: "
            + lfs.explain(path, f"damaged or truncated JSON ({error}): download the annotations again")
        ) from error
    videos = content.get("videos", content) if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise SourceError(
            f"{path}: expected a dictionary of video uids with narration_pass_1 and narration_pass_2"
        )
    narrated = {}
    for uid, video in sorted(videos.items()):
        found = list(_narrations(video))
        if found:
            narrated[uid] = sorted(found, key=lambda narration: (narration.seconds, narration.name))
    if not narrated:
        raise SourceError(
            f"{path}: no narration in it; expected <video uid> -> narration_pass_1 -> narrations -> "
            "narration_text, timestamp_sec"
        )
    return narrated


def _narrations(video: Any) -> Iterator[Narration]:
    """The narrations of a video's entry. What is no narration becomes one without a time, so that it is
    skipped
    by name.
    """
    if not isinstance(video, dict):
        yield Narration("entry", -1.0, {"entry": video})
        return
    for name, entry in {"": video, **video}.items():
        if not isinstance(entry, dict):
            if name.startswith("narration_pass"):
                yield Narration(name, -1.0, {name: entry})
            continue
        listed = entry.get("narrations") or ()
        if not isinstance(listed, (list, tuple)):
            yield Narration(f"{name}_narrations".strip("_"), -1.0, {"narrations": listed})
            continue
        for index, item in enumerate(listed):
            label = f"{name}_{index:05d}".strip("_")
            if isinstance(item, dict):
                yield Narration(label, _seconds(item), item.get("narration_text", item.get("text")))
            else:
                yield Narration(label, -1.0, item)


def draw_subset(narrated: dict[str, list[Narration]], clips: int, seed: int) -> dict[str, list[Narration]]:
    """`clips` narrations, drawn uniformly; the order stays."""
    total = sum(map(len, narrated.values()))
    chosen = iter(np.isin(np.arange(total), np.random.default_rng(seed).permutation(total)[:clips]))
    picked = {uid: [narration for narration in found if next(chosen)] for uid, found in narrated.items()}
    return {uid: found for uid, found in picked.items() if found}


def _seconds(item: dict) -> float:
    value = item.get("timestamp_sec", item.get("time"))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return -1.0
    return float(value)


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _locate(root: Path) -> tuple[Path, Path]:
    """The annotation file and the folder of videos. Raises SourceError that suggests the right folder."""
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder")
    if root.name in (*FOLDERS, "annotations"):
        raise SourceError(f"{root} is one part of Ego4D's folder: give {root.parent}")
    versions = [*sorted(root.glob("v[0-9]*"), reverse=True), root]
    annotation = next(
        (
            path
            for version in versions
            for name in FILES
            if (path := version / "annotations" / name).is_file()
        ),
        None,
    )
    videos = next(
        (path for version in versions for name in FOLDERS if (path := version / name).is_dir()), None
    )
    if annotation and videos:
        return annotation, videos
    if annotation or videos:
        absent = f"annotations/{FILES[0]}" if videos else f"{FOLDERS[0]} or {FOLDERS[1]}"
        raise SourceError(
            f"{root}: {absent} is missing: get it with `ego4d --datasets "
            f"{'annotations' if videos else FOLDERS[0]} ...`"
        )
    below = next(
        (path.parents[2] for name in FILES for path in root.glob(f"*/v[12]/annotations/{name}")), None
    )
    hint = (
        f"did you mean {below}?"
        if below
        else f"expected v2/annotations/{FILES[0]} and v2/{FOLDERS[1]}/<uid>.mp4 in it"
    )
    raise SourceError(f"{root} is not a folder of Ego4D: {hint}")
