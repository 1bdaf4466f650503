"""What is shown, as Rerun's entities; `layout` says where each one is shown.

One timeline, `time`: seconds since the beginning of the recording or of the watching.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import simplejpeg
from scipy.spatial.transform import Rotation

from gr1_core import images
from gr1_core.view.arm_model import GREY, ArmModel, Shape, hand_of

APPLICATION, TIMELINE = "gr1", "time"
LOG, INSTRUCTION = "log", "instruction"
_JPEG_QUALITY = 90
_BATCH_S = {True: 0.1, False: 2.0}
"""s for which images and states are gathered before they are passed on, live or not."""
_PATH_S = 5.0
"""s of the measured path that the 3D view shows."""
_MEASURED, _COMMANDED = (94, 178, 255), (255, 170, 70)
_RED, _GREEN, _YELLOW = (228, 95, 95), (112, 193, 120), (222, 190, 90)
_AXES = {"x": (235, 100, 100), "y": (110, 200, 110), "z": (100, 150, 245)}
CURVES = {
    **{f"position/{axis}": (f"{axis} measured", colour) for axis, colour in _AXES.items()},
    **{
        f"position/{axis}_commanded": (f"{axis} commanded", tuple(round(0.6 * part) for part in colour))
        for axis, colour in _AXES.items()
    },
    "speed/measured": ("measured", _MEASURED),
    "speed/commanded": ("commanded by the gate", _COMMANDED),
    "gripper/measured": ("measured", _MEASURED),
    "gripper/commanded": ("commanded", _COMMANDED),
    "gripper/in_force": ("last command", _MEASURED),
    "prediction/static": ("static camera", _MEASURED),
    "prediction/wrist": ("wrist camera", _COMMANDED),
    "prediction/limit": ("limit", _RED),
    "success_rate/all": ("successes of all so far", _GREEN),
    "tasks_in_a_row/mean": ("mean of the chains so far", _MEASURED),
}
"""Curve -> its name and colour. m, m/s, 0 open .. 1 closed, the monitor's score, share."""
LANES = ("instruction", "gate", "reason", "driver", "call", "episode", "outcome", "marks", "events")
_COLOURS = {
    "moving": _GREEN,
    "holding": _YELLOW,
    "stopped": _RED,
    "calling": _YELLOW,
    "success": _GREEN,
    "failure": _RED,
    "used": _GREEN,
    "trimmed": (110, 110, 118),
    "excluded": _RED,
    "policy": _MEASURED,
    "teleop": _COMMANDED,
}


class ViewError(ValueError):
    """What cannot be shown; the message says why and what to do."""


class Recording:
    """Writes entities to one Rerun recording.

    live: whether each image is wanted at once. jpeg_quality: that images are written with; 0: as they come.
    shown: groups of entities that something was written to, such as "cameras/static", "position", "lanes".
    """

    def __init__(self, name: str, jpeg_quality: int = 0, live: bool = False):
        import rerun

        self._rr = rerun
        self.name, self._quality, self.shown = name, jpeg_quality, set()
        batches = rerun.ChunkBatcherConfig.DEFAULT()
        batches.flush_tick = timedelta(seconds=_BATCH_S[live])
        self.stream = rerun.RecordingStream(APPLICATION, batcher_config=batches)
        self.stream.send_recording_name(name)
        self.stream.set_log_time_enabled(False)
        self.stream.set_log_tick_enabled(False)
        self._lanes: dict[str, str | None] = {}
        self._configured: dict[str, list[str]] = {}
        self._styled: set[str] = set()
        self._model: ArmModel | None = None
        self._positions: dict[str, float] = {}
        self._path: deque[tuple[float, tuple[float, ...]]] = deque()
        self._now = self._path_at = 0.0
        self._log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def at(self, seconds: float) -> None:
        """The time of what is written from now on."""
        self._now = seconds
        self.stream.set_time(TIMELINE, duration=seconds)

    def image(self, group: str, encoded) -> None:
        """group: "cameras/static", "predicted/wrist". encoded: JPEG or PNG bytes, kept as they are without
        jpeg_quality; WebP becomes JPEG.
        """
        encoded = bytes(encoded)
        if self._quality or images.is_webp(encoded[:12]):
            array = np.ascontiguousarray(images.decode(encoded))
            # Halved colour, as cameras' own JPEG: a person looks at it, no model.
            quality = self._quality or _JPEG_QUALITY
            encoded = simplejpeg.encode_jpeg(array, quality, "RGB", "420")
        kind = "image/png" if encoded.startswith(b"\x89PNG") else "image/jpeg"
        self._show(group, self._rr.EncodedImage(contents=encoded, media_type=kind))

    def curve(self, name: str, value: float) -> None:
        """One point of a curve of CURVES; a value that is not finite is left out."""
        if not np.isfinite(value):
            return
        if name not in self._styled:
            self._styled.add(name)
            title, colour = CURVES[name]
            self._log(name, self._rr.SeriesLines(colors=[colour], names=[title], widths=[1.5]), static=True)
        self._log(name, self._rr.Scalars(float(value)))
        self.shown.add(name.split("/")[0])

    def lane(self, name: str, state: str | None) -> None:
        """The state of a lane of LANES from now on; None: none. The same state again changes nothing."""
        if name not in self._lanes and state is None or self._lanes.get(name, "") == state:
            return
        self._lanes[name] = state
        path = f"lanes/{name}"
        known = self._configured.setdefault(name, [])
        if state is not None and state not in known and state in _COLOURS:
            known.append(state)
            colours = [(*_COLOURS[one], 255) for one in known]
            self._log(
                path, self._rr.StateConfiguration(values=known, labels=known, colors=colours), static=True
            )
        self._log(path, self._rr.StateChange(state=pa.array([state], pa.utf8())))
        self.shown.add("lanes")

    def text(self, text: str, level: str = "INFO") -> None:
        """A line of the log. level: INFO, WARN, ERROR."""
        self._show(LOG, self._rr.TextLog(text, level=level))

    def instruction(self, text: str, more: str = "") -> None:
        """The instruction from now on. more: Markdown below it; the same instruction again keeps its own."""
        if not more and self._lanes.get("instruction") == text:
            return
        self.lane("instruction", text)
        self.document(f"#### {plain(text)}\n\n{more}")

    def document(self, markdown: str) -> None:
        """The text beside the images from now on."""
        self._show(INSTRUCTION, self._rr.TextDocument(markdown, media_type="text/markdown"))

    # The arm

    def add_arm(self, model: ArmModel) -> None:
        """Shows a model's links. A joint whose position has not come yet is at 0."""
        self._model = model
        self.shown.add("world")
        positions = {link.joint.name: 0.0 for link in model.moving} | self._positions
        for link in model.links:
            path = f"world/{'/'.join(link.path)}"
            pose = model.pose(link, positions) if link.joint else model.root_pose()
            if pose is not None:
                self._place(path, *pose, static=link not in model.moving)
            for number, shape in enumerate(link.shapes):
                self._shape(f"{path}/shapes/{number}", shape, np.array(shape.xyz), shape.quaternion)
        for name in sorted(set(model.missing)):
            self.text(f"mesh {name} is not on this computer: this part of the arm is not shown", "WARN")

    def add_hand(self, model: ArmModel) -> None:
        """Shows the hand alone, at the measured pose."""
        self.shown.add("world")
        for number, (shape, xyz, turn) in enumerate(hand_of(model)):
            self._shape(f"world/measured/hand/{number}", shape, xyz, turn.as_quat())

    def joints(self, positions: Mapping[str, float]) -> None:
        """Turns the arm's joints: joint -> rad or m; others stay."""
        self._positions |= positions
        for link in self._model.moving if self._model else ():
            if (pose := self._model.pose(link, positions)) is not None:
                self._place(f"world/{'/'.join(link.path)}", *pose)

    def measured(self, position: Sequence[float], quaternion: Sequence[float]) -> None:
        """Pose of the point between the fingertips: m, xyzw; base frame."""
        self._pose("world/measured", position, quaternion, 0.05)
        for axis, value in zip("xyz", position):
            self.curve(f"position/{axis}", value)
        self._path.append((self._now, tuple(map(float, position))))
        while self._path and not 0.0 <= self._now - self._path[0][0] <= _PATH_S:
            self._path.popleft()
        if abs(self._now - self._path_at) >= 0.2 and len(self._path) > 1:
            self._path_at = self._now
            points = [place for _, place in self._path]
            self._log("world/path", self._rr.LineStrips3D([points], colors=[_MEASURED], radii=[0.0015]))

    def commanded(self, position: Sequence[float], quaternion: Sequence[float]) -> None:
        """Pose commanded by the gate, as `measured`."""
        self._pose("world/commanded", position, quaternion, 0.03)
        for axis, value in zip("xyz", position):
            self.curve(f"position/{axis}_commanded", value)

    def forget_path(self) -> None:
        """The path begins anew: another episode."""
        self._path.clear()
        self._log("world/path", self._rr.Clear(recursive=False))

    def workspace(self, low: Sequence[float], high: Sequence[float]) -> None:
        box = self._rr.Boxes3D(
            mins=[low],
            sizes=[np.array(high) - np.array(low)],
            colors=[(120, 120, 130)],
            radii=[0.001],
            fill_mode="majorwireframe",
        )
        self._log("world/workspace", box, static=True)

    def camera(self, role: str, matrix: Sequence[float], width: int, height: int) -> None:
        """The camera's field of view in the 3D view, where the URDF has its optical frame. matrix: K, row by
        row.
        """
        name = f"camera_{role}_optical_frame"
        link = next((one for one in self._model.links if one.name == name), None) if self._model else None
        if link is not None:
            lens = self._rr.Pinhole(
                image_from_camera=np.array(matrix, np.float64).reshape(3, 3),
                resolution=[width, height],
                image_plane_distance=0.08,
            )
            self._log(f"world/{'/'.join(link.path)}", lens, static=True)

    def _pose(self, path: str, position, quaternion, axes: float) -> None:
        if path not in self._styled:
            self._styled.add(path)
            self._log(path, self._rr.TransformAxes3D(axes), static=True)
        self.shown.add("world")
        self._place(path, position, quaternion)

    def _place(self, path: str, xyz, quaternion, static: bool = False) -> None:
        made = self._rr.Transform3D(translation=xyz, quaternion=self._rr.Quaternion(xyzw=quaternion))
        self._log(path, made, static=static)

    def _shape(self, path: str, shape: Shape, xyz: np.ndarray, quaternion) -> None:
        rr, solid = self._rr, {"colors": [shape.colour], "fill_mode": "solid"}
        place = {"centers": [xyz], "quaternions": [rr.Quaternion(xyzw=quaternion)]}
        if shape.kind == "box":
            made = rr.Boxes3D(sizes=[shape.size], **place, **solid)
        elif shape.kind == "cylinder":
            made = rr.Cylinders3D(radii=[shape.size[0]], lengths=[shape.size[1]], **place, **solid)
        elif shape.kind == "sphere":
            made = rr.Ellipsoids3D(radii=[shape.size[0]], **place, **solid)
        else:
            grey = {} if shape.colour == GREY else {"albedo_factor": shape.colour}
            made = rr.Asset3D(path=shape.file, **grey)
            where = rr.Transform3D(
                translation=xyz, quaternion=rr.Quaternion(xyzw=quaternion), scale=list(shape.size)
            )
            self._log(path, where, static=True)
        self._log(path, made, static=True)

    def _show(self, group: str, what) -> None:
        self._log(group, what)
        self.shown.add(group)

    def _log(self, path: str, what, static: bool = False) -> None:
        self.stream.log(path, what, static=static)


def require_rerun() -> None:
    """Raises ViewError without rerun-sdk, which is an optional dependency."""
    try:
        import rerun  # noqa: F401
    except ImportError as error:
        raise ViewError(
            'needs the Python package rerun-sdk, which is not installed here: pip install "gr1_core[view]"'
        ) from error


def euler_pose(state: np.ndarray, reference: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `Rig.arm_state`: f[6] xyz and Euler angles -> position f64[3], xyzw f64[4]."""
    turn = Rotation.from_euler("xyz", np.asarray(state[3:6], np.float64)) * Rotation.from_quat(reference)
    return np.asarray(state[:3], np.float64), turn.as_quat()


def plain(text: str) -> str:
    """Text of other people, without Markdown's marks and line breaks."""
    return "".join("\\" + mark if mark in "\\`*_{}[]<>()#+-!|" else mark for mark in " ".join(text.split()))
