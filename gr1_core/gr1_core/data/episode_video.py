"""A video of recorded episodes: both cameras, instruction, gripper, speed, events and marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from gr1_core import atomic_write, images
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.episode_view import episode_view, jpeg_of
from gr1_core.data.schemas import SchemaError
from gr1_core.data.verification import image_topic
from gr1_core.rig import ROLES

FPS = 15
_VIEW, _HEAD, _FOOT = (
    (360, 480),
    44,
    116,
)  # pixels: a camera's height and width, the bar above, the curves below
_WIDTH = 2 * _VIEW[1]
_INK, _DIM, _GROUND = (233, 238, 244), (154, 167, 182), (15, 19, 25)
_SPEED, _GRIPPER, _MARK = (143, 184, 222), (99, 210, 151), (240, 185, 82)
_COLOURS = {
    "gap": (255, 123, 114),
    "stop": (255, 123, 114),
    "gate": (240, 185, 82),
    "takeover": (143, 184, 222),
    "success": (99, 210, 151),
}


def write_video(path: Path, bags: Iterable[Bag], fps: int = FPS) -> int:
    """Writes the bags one after another as H.264; returns the number of frames.

    Raises BagError for a bag without images or that cannot be read, OSError where `path` cannot be written.
    """
    import av

    count = 0
    with (
        atomic_write.replacing(path) as partial,
        av.open(str(partial), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = _HEAD + _VIEW[0] + _FOOT, _WIDTH, "yuv420p"
        stream.options = {"crf": "21", "preset": "fast"}
        for bag in bags:
            for frame in episode_frames(bag, fps):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                count += 1
        container.mux(stream.encode())
    return count


def episode_frames(bag: Bag, fps: int = FPS) -> Iterator[np.ndarray]:
    """u8[520, 960, 3] RGB, `fps` a second, of the whole recording; the trimmed ends are dark."""
    view = episode_view(bag)
    topics = {topic: role for role in ROLES if (topic := image_topic(bag, role))}
    if not topics:
        raise BagError(f"{bag.folder}: no image of any camera: there is nothing to show")
    still, shown = _still(view), dict.fromkeys(ROLES, np.zeros((*_VIEW, 3), np.uint8))
    messages = bag.messages(list(topics))
    pending = next(messages, None)
    marks = view["marks"]
    end_s = view["seconds"] if marks["trim_end_s"] is None else marks["trim_end_s"]
    for number in range(max(1, round(view["seconds"] * fps) + 1)):
        at, fresh = number / fps, {}
        while pending is not None and (pending.log_time - bag.start_ns) * 1e-9 <= at + 1e-9:
            # A copy: the reader may reuse the message's memory.
            fresh[topics[pending.topic]] = pending.type, bytes(pending.data)
            pending = next(messages, None)
        for role, (type, data) in fresh.items():
            try:
                shown[role] = _fitted(images.decode(jpeg_of(type, data)))
            except (SchemaError, images.ImageError) as error:
                raise BagError(f"{bag.folder}: an image of camera '{role}': {error}") from error
        frame = still.copy()
        row = np.hstack([shown[role] for role in ROLES])
        kept = not marks["excluded"] and marks["trim_start_s"] <= at < end_s + 1e-9
        frame[_HEAD : _HEAD + _VIEW[0]] = row if kept else row // 3
        _playhead(frame, at / max(view["seconds"], 1e-3), f"{at:.1f} s", _event_text(view, at))
        yield frame


def _fitted(image: np.ndarray) -> np.ndarray:
    """The image scaled into a view, with black bars."""
    height, width = image.shape[:2]
    scale = min(_VIEW[0] / height, _VIEW[1] / width)
    size = round(width * scale), round(height * scale)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, size, interpolation=method)
    fitted = np.zeros((*_VIEW, 3), np.uint8)
    top, left = (_VIEW[0] - size[1]) // 2, (_VIEW[1] - size[0]) // 2
    fitted[top : top + size[1], left : left + size[0]] = small
    return fitted


def _still(view: dict) -> np.ndarray:
    """What does not change during an episode: texts and curves."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (_WIDTH, _HEAD + _VIEW[0] + _FOOT), _GROUND)
    draw = ImageDraw.Draw(canvas, "RGBA")
    large, small = ImageFont.load_default(size=20), ImageFont.load_default(size=14)
    labels, marks = view["labels"], view["marks"]
    draw.text((12, 10), labels["instruction"], font=large, fill=_INK)
    facts = f"{labels['outcome']}, {view['seconds']:.1f} s"
    if marks["excluded"]:
        facts += f", excluded: {marks['excluded']}"
    draw.text((_WIDTH - 12, 14), facts, font=small, fill=_MARK if marks["excluded"] else _DIM, anchor="ra")
    top, bottom = _HEAD + _VIEW[0] + 8, _HEAD + _VIEW[0] + _FOOT - 26
    seconds = max(view["seconds"], 1e-3)

    def x(at: float) -> float:
        return at / seconds * _WIDTH

    for event in view["events"]:
        left, right = x(event["start_s"]), max(x(event["end_s"]), x(event["start_s"]) + 2)
        draw.rectangle((left, top, right, bottom), fill=(*_COLOURS[event["kind"]], 60))
        draw.rectangle((left, top, right, top + 3), fill=_COLOURS[event["kind"]])
    speed = view["curves"]["speed"]
    most = 1.05 * max([value for _, value in speed] + [view["speed_limit"] or 0.0, 1e-3])
    for points, full, colour in ((speed, most, _SPEED), (view["curves"]["gripper"], 1.0, _GRIPPER)):
        line = [(x(at), bottom - value / full * (bottom - top - 8)) for at, value in points]
        if len(line) > 1:
            draw.line(line, fill=colour, width=2)
    end = seconds if marks["trim_end_s"] is None else marks["trim_end_s"]
    for left, right in ((0.0, marks["trim_start_s"]), (end, seconds)):
        if right > left:
            draw.rectangle((x(left), top, x(right), bottom), fill=(*_GROUND, 190))
    limit = f", limit {view['speed_limit']:g} m/s" if view["speed_limit"] else ""
    draw.text((12, bottom + 5), f"speed{limit}", font=small, fill=_SPEED)
    draw.text((220, bottom + 5), "gripper, up: closed", font=small, fill=_GRIPPER)
    return np.array(canvas)


def _playhead(frame: np.ndarray, share: float, time: str, event: str) -> None:
    top, bottom = _HEAD + _VIEW[0] + 8, _HEAD + _VIEW[0] + _FOOT - 26
    left = min(round(share * _WIDTH), _WIDTH - 2)
    frame[top : bottom + 1, left : left + 2] = 255
    at = bottom + 20
    cv2.putText(frame, time, (_WIDTH - 76, at), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _DIM, 1, cv2.LINE_AA)
    cv2.putText(frame, event, (400, at), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _MARK, 1, cv2.LINE_AA)


def _event_text(view: dict, at: float) -> str:
    now = [each["text"] for each in view["events"] if each["start_s"] - 0.04 <= at <= each["end_s"] + 0.5]
    return now[-1][:56] if now else ""
