"""Videos of someone's hands with narrations, in Ego4D's layout: what a policy can learn from before it has seen a robot.

OUT/v2/annotations/narration.json and OUT/v2/full_scale/<uid>.mp4, as `gr1 convert ego4d OUT` reads them. The annotations are written first:
they say which videos belong there, so that a run that was cut off goes on, and one with other arguments is refused.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from gr1_core.sim.hands import rendering, scene
from gr1_core.sim.hands.rendering import FPS, SIDE

PER_VIDEO = 6  # narrations
_WORLD = uuid.UUID("6f0f9f0c-7a7e-4a83-9b0e-6f1b6d6a3d11")


class HandsError(ValueError):
    """A folder that videos of hands cannot be written to."""


@dataclass(frozen=True)
class Order:
    """One video to make."""

    seed: int
    index: int
    narrations: int

    @property
    def uid(self) -> str:
        return str(uuid.uuid5(_WORLD, f"{self.seed}/{self.index}"))


def orders(clips: int, seed: int) -> list[Order]:
    """Videos of PER_VIDEO narrated moments each, the last with what is left of `clips`."""
    return [
        Order(seed, index, min(PER_VIDEO, clips - first))
        for index, first in enumerate(range(0, clips, PER_VIDEO))
    ]


def collect(wanted: list[Order], out: Path, workers: int = 1) -> Iterator[tuple[Order, bool]]:
    """Makes the videos that are not there yet; yields (order, new) as they become whole, first those that were there.

    Raises HandsError where the folder holds anything else, OSError where it cannot be written, RuntimeError without OpenGL.
    """
    videos = _begin(wanted, out)
    waiting = []
    for order in wanted:
        if (videos / f"{order.uid}.mp4").is_file():
            yield order, False
        else:
            waiting.append(order)
    workers = min(workers, len(waiting))
    if workers <= 1:
        for order in waiting:
            _make(order, videos)
            yield order, True
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        running = {pool.submit(_make, order, videos): order for order in waiting}
        for future in as_completed(running):
            future.result()
            yield running.pop(future), True
    finally:
        pool.shutdown(cancel_futures=True)


def annotations(wanted: list[Order]) -> dict:
    """narration.json in Ego4D's form, each video by its uid."""
    return {order.uid: _annotated(order) for order in wanted}


def _annotated(order: Order) -> dict:
    script = scene.draw(order.seed, order.index, order.narrations).script
    narrations = [
        {
            "timestamp_sec": narration.seconds,
            "timestamp_frame": round(narration.seconds * FPS),
            "narration_text": narration.text,
            "annotation_uid": str(uuid.uuid5(_WORLD, f"{order.uid}/{number}")),
        }
        for number, narration in enumerate(script.narrations)
    ]
    return {"status": "complete", "narration_pass_1": {"narrations": narrations, "summaries": []}}


def _begin(wanted: list[Order], out: Path) -> Path:
    """-> the folder of videos; the annotations are there, and no halves of videos."""
    file, videos = out / "v2" / "annotations" / "narration.json", out / "v2" / "full_scale"
    text = json.dumps(annotations(wanted), indent=1)
    if file.is_file():
        if file.read_text() != text:
            raise HandsError(
                f"{out} holds videos of another --clips or --seed (or Ego4D's own): choose another --out, or delete it"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HandsError(f"{out} is there and holds no videos of hands: choose another --out")
    else:
        file.parent.mkdir(parents=True)
        partial = file.with_suffix(".partial")
        partial.write_text(text)
        os.replace(partial, file)
    videos.mkdir(exist_ok=True)
    for path in videos.glob("*.partial"):
        path.unlink()
    return videos


def _prepare_worker() -> None:
    """Ctrl-C is the first process's affair, and no worker outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _make(order: Order, videos: Path) -> None:
    import av

    video, path = scene.draw(order.seed, order.index, order.narrations), videos / f"{order.uid}.partial"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=FPS,
            options={"crf": "16", "preset": "veryfast", "tune": "zerolatency", "g": str(5 * FPS)},
        )
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for picture in rendering.pictures(video):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    os.replace(path, path.with_suffix(".mp4"))
