"""Writes videos of a person's hands with narrations in Ego4D's layout, for pre-training.

OUT/v2/annotations/narration.json and OUT/v2/full_scale/<uid>.mp4, as `gr1 convert ego4d OUT` reads them. The
annotations are written first: they define the videos of the folder, so that an interrupted run can be resumed
and a run with other arguments is refused.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gr1_core import atomic_write
from gr1_core.pool import run_units
from gr1_core.sim.hands import rendering, scene
from gr1_core.sim.hands.rendering import FPS, IMAGE_SIZE

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster

PER_VIDEO = 6  # narrations per video
_UUID_NAMESPACE = uuid.UUID("6f0f9f0c-7a7e-4a83-9b0e-6f1b6d6a3d11")


class HandsError(ValueError):
    """A folder that hand videos cannot be written to."""


@dataclass(frozen=True)
class VideoSpec:
    """One video to write."""

    seed: int
    index: int
    narrations: int

    @property
    def uid(self) -> str:
        """Unique name of the video, derived from seed and index."""
        return str(uuid.uuid5(_UUID_NAMESPACE, f"{self.seed}/{self.index}"))


def plan_videos(clips: int, seed: int) -> list[VideoSpec]:
    """Plans videos of PER_VIDEO narrated clips each; the last one has the remainder of `clips`."""
    return [
        VideoSpec(seed, index, min(PER_VIDEO, clips - first))
        for index, first in enumerate(range(0, clips, PER_VIDEO))
    ]


def collect_videos(
    specs: list[VideoSpec], out: Path, workers: int = 1, cluster: Cluster | None = None
) -> Iterator[tuple[VideoSpec, bool]]:
    """Writes the missing videos. Yields (spec, new) for each complete video, existing ones first.

    workers: processes of this machine; cluster: renders there instead. Raises HandsError where the folder
    holds something else, OSError where it cannot be written, RuntimeError without OpenGL, PoolError or
    ClusterError where workers end.
    """
    videos = _prepare_folder(specs, out)
    missing = []
    for spec in specs:
        if (videos / f"{spec.uid}.mp4").is_file():
            yield spec, False
        else:
            missing.append(spec)
    if cluster and missing:
        cluster.require(writes=[videos])
    work, workers = _Rendering(Path(os.path.abspath(videos))), min(workers, len(missing))
    for spec, _ in run_units(work, missing, workers if workers > 1 else 0, cluster):
        yield spec, True


def annotations(specs: list[VideoSpec]) -> dict:
    """Returns narration.json in Ego4D's form: uid -> annotations."""
    return {spec.uid: _annotate(spec) for spec in specs}


def _annotate(spec: VideoSpec) -> dict:
    script = scene.sample_video(spec.seed, spec.index, spec.narrations).script
    narrations = [
        {
            "timestamp_sec": narration.seconds,
            "timestamp_frame": round(narration.seconds * FPS),
            "narration_text": narration.text,
            "annotation_uid": str(uuid.uuid5(_UUID_NAMESPACE, f"{spec.uid}/{number}")),
        }
        for number, narration in enumerate(script.narrations)
    ]
    return {"status": "complete", "narration_pass_1": {"narrations": narrations, "summaries": []}}


def _prepare_folder(specs: list[VideoSpec], out: Path) -> Path:
    """Writes the annotations, removes partial videos and returns the folder of the videos."""
    file, videos = out / "v2" / "annotations" / "narration.json", out / "v2" / "full_scale"
    text = json.dumps(annotations(specs), indent=1)
    if file.is_file():
        if file.read_text() != text:
            raise HandsError(
                f"{out} holds videos of another --clips or --seed (or Ego4D's own): choose "
                "another --out, or delete it"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HandsError(f"{out} exists and holds no hand videos: choose another --out")
    else:
        file.parent.mkdir(parents=True)
        partial = file.with_suffix(".partial")
        partial.write_text(text)
        os.replace(partial, file)
    videos.mkdir(exist_ok=True)
    for path in videos.glob("*.partial"):
        path.unlink()
    return videos


@dataclass(frozen=True)
class _Rendering:
    """Specs -> videos in the folder `videos`."""

    videos: Path
    name = "hands"
    checks_stop = False  # a video appears by a rename, so a worker may end at any moment

    def open(self) -> _Rendering:
        return self

    def label(self, spec: VideoSpec) -> str:
        return f"video {spec.index}"

    def run(self, spec: VideoSpec) -> None:
        with atomic_write.replacing(self.videos / f"{spec.uid}.mp4") as partial:
            _write_video(spec, partial)

    def close(self) -> None:
        """Nothing is held."""


def _write_video(spec: VideoSpec, path: Path) -> None:
    import av

    video = scene.sample_video(spec.seed, spec.index, spec.narrations)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=FPS,
            options={"crf": "16", "preset": "veryfast", "tune": "zerolatency", "g": str(5 * FPS)},
        )
        stream.width = stream.height = IMAGE_SIZE
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for frame in rendering.render_video(video):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
