"""Records an episode of the expert, or of a policy with a scripted operator, as a bag with the messages that
the live stack would have sent, without ROS.

Stamps are simulated time on a fixed date, so that a seed always gives the same bytes. As on the rig, a frame
is sent shortly after its exposure and a command shortly after the state that it answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from gr1_core import images
from gr1_core.data import schemas
from gr1_core.data.bag_writer import BagWriter
from gr1_core.rig import ROLES, Rig
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.rollout import MAX_SECONDS, SUCCESS_PERIODS, run_episode
from gr1_core.sim.state import StateView
from gr1_core.sim.twin import TICK, Twin

if TYPE_CHECKING:
    from gr1_core.policy import Policy
    from gr1_core.sim.collection.corrected import CorrectedDriver

STARTED = datetime(2024, 1, 1, tzinfo=UTC)
CAMERA_HZ, STATE_HZ = 20.0, 50.0  # of the live stack's cameras and of sim/state
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
TELEOP = "/command/teleop/twist"
_OPERATOR = {TELEOP: _TWIST, "/command/teleop/gripper": "std_msgs/msg/Float32"}
POLICY_LABEL = "policy"
"""Label of a corrected episode: digest of the policy's weights."""
_LATCHED = {"/instruction": "std_msgs/msg/String", "/sim/task": "std_msgs/msg/String"}


def bag_topics(kind: str, corrected: bool = False) -> dict[str, str]:
    """Topic -> type of a simulated bag. kind: "jpeg" or "raw". corrected: an operator watches a policy."""
    name, type = IMAGES[kind]
    image_topics = {f"/camera/{role}/{name}": type for role in ROLES}
    return (
        image_topics
        | {f"/camera/{role}/camera_info": "sensor_msgs/msg/CameraInfo" for role in ROLES}
        | _SENSOR
        | _RELIABLE
        | (_OPERATOR if corrected else {})
        | _LATCHED
    )


class EpisodeRecorder:
    """A twin with the rig's cameras that records any number of episodes in one thread. A context manager.

    kind: "jpeg" or "raw" images. Raises ValueError for a rig whose workspace does not hold the twin's home
    position.
    """

    def __init__(self, rig: Rig, kind: str = "jpeg"):
        self.rig, self.kind, self.twin = rig, kind, Twin()
        home = self.twin.home().position
        low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
        if not (np.all(home >= low) and np.all(home <= high)):
            raise ValueError(
                f"rig '{rig.name}' is not the simulated arm's: its workspace {low.tolist()} .. "
                f"{high.tolist()} m does not hold the home position {home.round(3).tolist()}"
            )
        self.cameras = {
            role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height) for role in ROLES
        }
        self._rendered: tuple[bytes, Mapping[str, np.ndarray]] = b"", {}

    def record_episode(
        self,
        folder: Path,
        task: str,
        seed: int,
        stopped: Callable[[], bool] = lambda: False,
        policy: Policy | None = None,
        digest: str = "",
    ) -> tuple[bool, float]:
        """Runs and records one episode into the new bag `folder`. Returns (success, simulated seconds).

        stopped: when it returns True, the bag stays unfinished and KeyboardInterrupt is raised. policy: it
        drives and a scripted operator corrects it (corrected.py); None: the expert drives. digest: of its
        weights.
        """
        self.twin.reset(task, seed)
        actor, driver, seconds = Expert(task, self.rig.control_hz), None, MAX_SECONDS
        if policy:
            from gr1_core.sim.collection import corrected

            actor = driver = corrected.CorrectedDriver(policy, actor, self.twin.instruction, self.render)
            seconds = corrected.MAX_SECONDS
        labels = {
            "instruction": self.twin.instruction,
            "operator": "policy" if policy else "expert",
            "task": task,
            "seed": str(seed),
            "started": STARTED.isoformat(timespec="milliseconds"),
            "rig": yaml.safe_dump(self.rig.to_dict(), sort_keys=False),
            **({POLICY_LABEL: digest} if policy else {}),
        }
        types = bag_topics(self.kind, corrected=policy is not None)
        qos = (
            {name: "best_effort" for name in types}
            | {name: "reliable" for name in (*_RELIABLE, *_OPERATOR) if name in types}
            | dict.fromkeys(_LATCHED, "transient_local")
        )
        with BagWriter(folder, types, labels, qos=qos) as writer:
            messages = _StackMessages(writer, types, self)
            scene = {"task": task, "seed": seed, "instruction": self.twin.instruction, "episode": 0}
            messages.send_message("/sim/task", _START, data=json.dumps(scene))
            messages.send_message("/instruction", _START, data=self.twin.instruction)
            successes = 0
            for _, command, success in run_episode(
                self.twin, actor, self.rig, seconds, on_tick=messages.send_tick
            ):
                messages.set_answer(command, success, driver)
                successes = successes + 1 if success else 0
                if stopped():
                    raise KeyboardInterrupt
            messages.send_last_state()
            success = successes >= SUCCESS_PERIODS
            note = {"note": str(driver.take_over)} if driver and driver.take_over else {}
            writer.close({"outcome": "success" if success else "failure", **note})
        return success, self.twin.time

    def render(self, state: np.ndarray) -> Mapping[str, np.ndarray]:
        """Role -> image u8[H, W, 3] of a state of the twin; the last state's are kept."""
        key = state.tobytes()
        if self._rendered[0] != key:
            self._rendered = key, {role: camera.render(state) for role, camera in self.cameras.items()}
        return self._rendered[1]

    def close(self) -> None:
        """Frees the cameras."""
        for camera in self.cameras.values():
            camera.close()

    def __enter__(self) -> EpisodeRecorder:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _StackMessages:
    """Writes what the arm, camera and expert nodes of the live stack publish."""

    def __init__(self, writer: BagWriter, types: dict[str, str], recorder: EpisodeRecorder):
        self._writer, self._types, self._render = writer, types, recorder.render
        self._twin, self._cameras, self._kind = recorder.twin, recorder.cameras, recorder.kind
        self._camera_every, self._state_every = round(1 / (CAMERA_HZ * TICK)), round(1 / (STATE_HZ * TICK))
        self._ticks = 0
        self._answer: tuple[Command, bool, CorrectedDriver | None] | None = None

    def set_answer(self, command: Command, success: bool, driver: CorrectedDriver | None) -> None:
        """Sets the command and the success for the current state; they are sent with it.

        driver: whose commands are sent, the policy's and the operator's; None: the command is the expert's.
        """
        self._answer = command, success, driver

    def send_tick(self, linear, angular) -> None:
        """Sends the messages of the current time. linear m/s, angular rad/s: the twist that the arm gets
        next.
        """
        now = _START + round(self._twin.time * 1e9)
        header = _header(now, FRAME)
        state = self._twin.state()
        view = StateView(state)
        self.send_message("/arm/commanded_twist", now, header=header, twist=_twist(linear, angular))
        self.send_message("/arm/pose", now, header=header, pose=_pose(view.pose("measured")))
        self.send_message("/arm/commanded_pose", now, header=header, pose=_pose(view.pose("commanded")))
        closures = (view.closure, view.closure_target)
        self.send_message(
            "/arm/gripper", now, header=header, name=("closure", "closure_command"), position=closures
        )
        self.send_message(
            "/joint_states",
            now,
            header=header,
            name=JOINTS,
            position=self._twin.joints,
            velocity=self._twin.joint_velocities,
        )
        if self._ticks % self._state_every == 0:
            self.send_message("/sim/state", now, header=header, position=state)
        if self._ticks % self._camera_every == 0:
            for role, camera in self._cameras.items():
                self._send_frame(role, camera, state, now)
        if self._answer:
            self._send_command(*self._answer, now)
            self._answer = None
        self._ticks += 1

    def send_last_state(self) -> None:
        """Sends the last state, which no tick follows."""
        if self._answer:
            self.send_tick(np.zeros(3), np.zeros(3))

    def send_message(self, topic: str, time_ns: int, **fields) -> None:
        type = self._types[topic]
        self._writer.write_message(
            topic, schemas.serialize(schemas.make_message(type, **fields), type), time_ns, time_ns
        )

    def _send_frame(self, role: str, camera: Renderer, state: np.ndarray, now: int) -> None:
        header = _header(now, f"camera_{role}_optical_frame")
        image, k = self._render(state)[role], camera.intrinsics
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
        self.send_message(f"/camera/{role}/{IMAGES[self._kind][0]}", sent, header=header, **fields)
        matrices = {
            "d": np.zeros(5),
            "k": k.ravel(),
            "r": np.eye(3).ravel(),
            "p": np.hstack([k, np.zeros((3, 1))]).ravel(),
        }
        info = {"height": height, "width": width, "distortion_model": "plumb_bob", **matrices}
        self.send_message(f"/camera/{role}/camera_info", sent, header=header, **info)

    def _send_command(
        self, command: Command, success: bool, driver: CorrectedDriver | None, now: int
    ) -> None:
        self.send_message("/sim/success", now, data=success)
        sent = now + _COMMAND_DELAY
        commands = {"policy": command}
        if driver:  # as live: the policy goes on sending while a person drives
            commands = {"policy": driver.policy_command, "teleop": driver.operator_command}
        for source, each in commands.items():
            if each is None:
                continue
            twist = _twist(each.linear, each.angular)
            self.send_message(f"/command/{source}/twist", sent, header=_header(sent, FRAME), twist=twist)
            self.send_message(f"/command/{source}/gripper", sent, data=each.closure)


def _header(ns: int, frame: str) -> dict:
    return {"stamp": {"sec": ns // 1_000_000_000, "nanosec": ns % 1_000_000_000}, "frame_id": frame}


def _pose(pose) -> dict:
    return {"position": _fields("xyz", pose.position), "orientation": _fields("xyzw", pose.quaternion)}


def _twist(linear, angular) -> dict:
    return {"linear": _fields("xyz", linear), "angular": _fields("xyz", angular)}


def _fields(names: str, values) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))
