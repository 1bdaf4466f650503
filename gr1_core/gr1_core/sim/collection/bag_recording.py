"""One episode of the scripted expert as a bag, with the messages that the live stack's nodes would have sent; no ROS needed.

Stamps are simulated time on a fixed date, so that a seed gives the same bytes on every run. As on the rig a frame is sent a little
after its exposure and a command a little after the state that it answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from gr1_core import images
from gr1_core.data import schemas
from gr1_core.data.bag_writer import BagWriter
from gr1_core.rig import ROLES, Rig
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.rollout import HELD, episode
from gr1_core.sim.state import View
from gr1_core.sim.twin import TICK, Twin

STARTED = datetime(2024, 1, 1, tzinfo=UTC)
CAMERA_HZ, STATE_HZ = 20.0, 50.0  # as the live stack's cameras and sim/state
FRAME = "base_link"
JOINTS = tuple(f"joint_{number}" for number in range(1, 8))
IMAGES = {
    "jpeg": ("image_raw/compressed", "sensor_msgs/msg/CompressedImage"),
    "raw": ("image_raw", "sensor_msgs/msg/Image"),
}
_FRAME_DELAY, _COMMAND_DELAY = 2_000_000, 5_000_000  # ns after the exposure, after the state
_START = int(STARTED.timestamp()) * 1_000_000_000
_POSE, _TWIST, _JOINTS = (
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/TwistStamped",
    "sensor_msgs/msg/JointState",
)
_SENSOR = {
    "/arm/pose": _POSE,
    "/arm/commanded_pose": _POSE,
    "/arm/commanded_twist": _TWIST,
    "/arm/gripper": _JOINTS,
    "/joint_states": _JOINTS,
    "/sim/state": _JOINTS,
}
_RELIABLE = {
    "/command/policy/twist": _TWIST,
    "/command/policy/gripper": "std_msgs/msg/Float32",
    "/sim/success": "std_msgs/msg/Bool",
}
_LATCHED = {"/instruction": "std_msgs/msg/String", "/sim/task": "std_msgs/msg/String"}


def topics(kind: str) -> dict[str, str]:
    """Topic -> type of a simulated bag; kind "jpeg" or "raw"."""
    name, type = IMAGES[kind]
    pictures = {f"/camera/{role}/{name}": type for role in ROLES}
    return (
        pictures
        | {f"/camera/{role}/camera_info": "sensor_msgs/msg/CameraInfo" for role in ROLES}
        | _SENSOR
        | _RELIABLE
        | _LATCHED
    )


class Studio:
    """A twin with its cameras, for many episodes in one thread. A context manager."""

    def __init__(self, rig: Rig, kind: str = "jpeg"):
        self.rig, self.kind, self.twin = rig, kind, Twin()
        home = self.twin.home().position
        low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
        if not (np.all(home >= low) and np.all(home <= high)):
            raise ValueError(
                f"rig '{rig.name}' is not the simulated arm's: its workspace {low.tolist()} .. {high.tolist()} m does not hold the "
                f"home position {home.round(3).tolist()}"
            )
        self.cameras = {
            role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height) for role in ROLES
        }

    def record(
        self, folder: Path, task: str, seed: int, stopped: Callable[[], bool] = lambda: False
    ) -> tuple[bool, float]:
        """Plays and records one episode into the new bag `folder`. Returns (goal reached, simulated seconds).

        Once `stopped` says so the bag stays unfinished and KeyboardInterrupt is raised.
        """
        self.twin.reset(task, seed)
        labels = {
            "instruction": self.twin.instruction,
            "operator": "expert",
            "task": task,
            "seed": str(seed),
            "started": STARTED.isoformat(timespec="milliseconds"),
            "rig": yaml.safe_dump(self.rig.to_dict(), sort_keys=False),
        }
        known = topics(self.kind)
        qos = (
            {name: "best_effort" for name in known}
            | dict.fromkeys(_RELIABLE, "reliable")
            | dict.fromkeys(_LATCHED, "transient_local")
        )
        with BagWriter(folder, known, labels, qos=qos) as writer:
            nodes = _Nodes(writer, known, self)
            said = {"task": task, "seed": seed, "instruction": self.twin.instruction, "episode": 0}
            nodes.send("/sim/task", _START, data=json.dumps(said))
            nodes.send("/instruction", _START, data=self.twin.instruction)
            held = 0
            for _, command, done in episode(
                self.twin, Expert(task, self.rig.control_hz), self.rig, observe=nodes.tick
            ):
                nodes.answer(command, done)
                held = held + 1 if done else 0
                if stopped():
                    raise KeyboardInterrupt
            nodes.end()
            success = held >= HELD
            writer.close({"outcome": "success" if success else "failure"})
        return success, self.twin.time

    def close(self) -> None:
        for camera in self.cameras.values():
            camera.close()

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _Nodes:
    """What the arm, the cameras and the expert publish."""

    def __init__(self, writer: BagWriter, types: dict[str, str], studio: Studio):
        self._writer, self._types = writer, types
        self._twin, self._cameras, self._kind = studio.twin, studio.cameras, studio.kind
        self._camera_every, self._state_every = round(1 / (CAMERA_HZ * TICK)), round(1 / (STATE_HZ * TICK))
        self._ticks = 0
        self._answer: tuple[Command, bool] | None = None

    def answer(self, command: Command, done: bool) -> None:
        """What the expert and the task's test say of the present state; sent with it."""
        self._answer = command, done

    def tick(self, linear, angular) -> None:
        """Sends what belongs to the present moment; the twist, m/s and rad/s, is what the arm is about to be given."""
        now = _START + round(self._twin.time * 1e9)
        header = _header(now, FRAME)
        state = self._twin.state()
        view = View(state)
        self.send("/arm/commanded_twist", now, header=header, twist=_twist(linear, angular))
        self.send("/arm/pose", now, header=header, pose=_pose(view.pose("measured")))
        self.send("/arm/commanded_pose", now, header=header, pose=_pose(view.pose("commanded")))
        closures = (view.closure, view.closure_target)
        self.send("/arm/gripper", now, header=header, name=("closure", "closure_command"), position=closures)
        self.send(
            "/joint_states",
            now,
            header=header,
            name=JOINTS,
            position=self._twin.joints,
            velocity=self._twin.joint_velocities,
        )
        if self._ticks % self._state_every == 0:
            self.send("/sim/state", now, header=header, position=state)
        if self._ticks % self._camera_every == 0:
            for role, camera in self._cameras.items():
                self._frame(role, camera, state, now)
        if self._answer:
            self._command(*self._answer, now)
            self._answer = None
        self._ticks += 1

    def end(self) -> None:
        """The last state, which no tick follows."""
        if self._answer:
            self.tick(np.zeros(3), np.zeros(3))

    def send(self, topic: str, at: int, **fields) -> None:
        type = self._types[topic]
        self._writer.write(topic, schemas.serialize(schemas.message(type, **fields), type), at, at)

    def _frame(self, role: str, camera: Renderer, state: np.ndarray, now: int) -> None:
        header = _header(now, f"camera_{role}_optical_frame")
        image, k = camera.render(state), camera.intrinsics
        height, width = image.shape[:2]
        if self._kind == "jpeg":
            fields = {"format": "rgb8; jpeg compressed bgr8", "data": images.encode_jpeg(image)}
        else:
            fields = {
                "height": height,
                "width": width,
                "encoding": "rgb8",
                "step": 3 * width,
                "data": image.tobytes(),
            }
        sent = now + _FRAME_DELAY
        self.send(f"/camera/{role}/{IMAGES[self._kind][0]}", sent, header=header, **fields)
        matrices = {
            "d": np.zeros(5),
            "k": k.ravel(),
            "r": np.eye(3).ravel(),
            "p": np.hstack([k, np.zeros((3, 1))]).ravel(),
        }
        info = {"height": height, "width": width, "distortion_model": "plumb_bob", **matrices}
        self.send(f"/camera/{role}/camera_info", sent, header=header, **info)

    def _command(self, command: Command, done: bool, now: int) -> None:
        self.send("/sim/success", now, data=done)
        sent = now + _COMMAND_DELAY
        self.send(
            "/command/policy/twist",
            sent,
            header=_header(sent, FRAME),
            twist=_twist(command.linear, command.angular),
        )
        self.send("/command/policy/gripper", sent, data=command.closure)


def _header(ns: int, frame: str) -> dict:
    return {"stamp": {"sec": ns // 1_000_000_000, "nanosec": ns % 1_000_000_000}, "frame_id": frame}


def _pose(pose) -> dict:
    return {"position": _named("xyz", pose.position), "orientation": _named("xyzw", pose.quaternion)}


def _twist(linear, angular) -> dict:
    return {"linear": _named("xyz", linear), "angular": _named("xyz", angular)}


def _named(names: str, values) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))
