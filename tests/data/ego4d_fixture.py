"""A tiny Ego4D folder in the official layout: short h264 videos whose frames tell their own time, and
narration.json.

python -m tests.data.ego4d_fixture DIR      writes DIR/ego4d
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import numpy as np

UIDS = ("0a1b2c3d-0001-4000-8000-000000000001", "0a1b2c3d-0002-4000-8000-000000000002")
SECONDS = 10
NARRATIONS = {
    UIDS[0]: [
        (0.4, "#C C picks up the knife"),
        (4.0, "#C C cuts an onion"),
        (5.1, "#O A man X opens the #unsure"),
        (9.8, "#C C looks around"),
    ],
    UIDS[1]: [(3.0, "#C C opens the drawer"), (6.5, "#C C turns the tap off.")],
}


def make(root: Path, seconds: int = SECONDS) -> Path:
    """Writes root/ego4d/v2: two videos of `seconds` seconds at 30 frames a second, landscape and portrait."""
    root = root / "ego4d"
    (root / "v2" / "annotations").mkdir(parents=True)
    (root / "v2" / "full_scale").mkdir()
    for uid, size in zip(UIDS, ((384, 288), (240, 320))):
        write_video(root / "v2" / "full_scale" / f"{uid}.mp4", *size, seconds)
    write_narrations(root, NARRATIONS)
    return root


def write_narrations(root: Path, narrations: dict[str, list[tuple[float, str]]]) -> None:
    """The official form; the last narration of each video stands in the second pass, as a second annotator's
    would.
    """
    content = {
        uid: {
            "status": "complete",
            **{
                name: {"narrations": [_narration(uid, *item) for item in items], "summaries": []}
                for name, items in (("narration_pass_1", found[:-1]), ("narration_pass_2", found[-1:]))
            },
        }
        for uid, found in narrations.items()
    }
    content["0a1b2c3d-0003-4000-8000-000000000003"] = {"status": "redacted"}
    (root / "v2" / "annotations" / "narration.json").write_text(json.dumps(content))


def write_video(path: Path, width: int, height: int, seconds: float, fps: int = 30) -> None:
    """h264 with key frames 2 s apart.

    The left half of the centred square is as bright as the time (see `brightness`); a block moves over the
    right half.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"crf": "10", "g": str(2 * fps), "preset": "ultrafast"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(round(seconds * fps)):
            image = np.full((height, width, 3), (70, 90, 120), np.uint8)
            image[:, : width // 2] = round(brightness(index / fps))
            left = width // 2 + index % (width // 2 - 20)
            image[height // 2 - 15 : height // 2 + 15, left : left + 20] = (220, 60, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def brightness(time: float) -> float:
    """How bright a video is at a time in seconds: it tells the first ten of them apart."""
    return min(10 + 24 * time, 250)


def _narration(uid: str, seconds: float, text: str) -> dict:
    frame = round(seconds * 30)
    return {
        "timestamp_sec": seconds,
        "timestamp_frame": frame,
        "narration_text": text,
        "annotation_uid": f"{uid[:8]}-{frame:04d}",
    }


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
