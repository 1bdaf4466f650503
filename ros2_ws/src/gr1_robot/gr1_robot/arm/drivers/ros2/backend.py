"""Any arm that ros2_control drives. ROS-free: two bridge processes speak with the ROS graph.

Guide: docs/how-to/connect_a_ros2_arm.md.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_common.conventions import BASE_FRAME, TICK
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_core.urdf import UrdfError
from gr1_core.urdf_arm import UrdfArm, load_arm
from gr1_robot.arm.backend import ArmBackend, ArmError, ArmLimits, ArmState
from gr1_robot.arm.capsules import body_of
from gr1_robot.arm.drivers.ros2 import bridges
from gr1_robot.arm.drivers.ros2.bridge_link import SILENCE_S
from gr1_robot.arm.drivers.ros2.settings import (
    NO_GRIPPER,
    OPTIONS,
    TRAJECTORY,
    TWIST,
    check,
    for_bridge,
)

__all__ = ["OPTIONS", "Arm"]

_WAIT_S = 15.0
_FRESH_S = 0.25
"""s after which a joint state no longer counts as one."""
_DAMPING = 0.02
"""Of the inverse Jacobian: near a singularity the hand is slow instead of the joints fast."""
_MOVED, _MOVED_RAD = 1.2, 0.5
"""Further than so many times the rig's following error, or rad of a joint, from where it was sent, an arm was
moved by something else.
"""
_FAULT_SHOWN_S = 1.0
"""s that a fault of a moment is shown, so that no tick of the loop misses it."""
_TURN_WEIGHT = 0.1
"""m for a radian: an arm with fewer than six joints gives up turning before it gives up moving."""


class Arm(ArmBackend):
    """Twists become the controller's kind of commands here; everything else is in the bridges."""

    def __init__(self, rig: Rig, **settings):
        check(settings)
        self._rig, self._settings = rig, settings
        self._bridges = bridges.Bridges(for_bridge(settings, BASE_FRAME))
        self._kind = settings["command_type"]
        self._arm: UrdfArm | None = None
        self._state: ArmState | None = None
        self._heard_state: dict | None = None
        self._commanded: np.ndarray | None = None
        self._closure = 0.0
        self._shown: dict[str, float] = {}
        speeds = settings["linear_speed"], settings["angular_speed"]
        self.vendor_limits = ArmLimits(
            *speeds,
            linear_braking=settings["linear_braking"],
            angular_braking=settings["angular_braking"],
            # A velocity controller keeps its last command until a bridge notices the silence.
            carries_on=0.0 if self._kind == TRAJECTORY else SILENCE_S,
        )

    # Start and end

    def connect(self) -> None:
        if self._settings["urdf"]:
            self._load(Path(self._settings["urdf"]))
        self._bridges.start(6 if self._kind == TWIST else len(self._order or [0]))
        try:
            if self._arm is None:
                self._load_from_topic()
            self._await_joints()
            self._await_controller()
            if self._settings["enable_service"]:
                self._bridges.call("enable_service")
        except BaseException:
            self._bridges.close()
            raise

    def _load(self, path: Path) -> None:
        settings = self._settings
        try:
            text = path.read_text()
            self._arm = load_arm(
                text, settings["base_link"], settings["tip_link"], settings["tool_xyz"],
                settings["link_radius"], str(path),
            )  # fmt: skip
        except OSError as error:
            raise ArmError(f"ros2.urdf: {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ArmError(f"ros2.urdf: {path} is not text: {error}") from error
        except UrdfError as error:
            raise ArmError(f"ros2.urdf: {error}") from error
        arm = self._arm
        self.joint_names, self.joint_limits = arm.joint_names, arm.chain.limits
        self.joint_speeds = arm.velocities
        self.body = body_of(self._rig, arm.chain, arm.parts, settings["table_height"])
        home = np.array(settings["home"], np.float64)
        if home.shape != (len(arm.joint_names),):
            raise ArmError(
                f"ros2.home is {home.tolist()}, expected an angle in rad for each of the joints "
                f"{', '.join(arm.joint_names)}"
            )
        self._home = Pose(*arm.chain.forward(home))
        limits = self._rig.limits
        if not np.all(
            (self._home.position >= limits.workspace_min) & (self._home.position <= limits.workspace_max)
        ):
            raise ArmError(
                f"ros2.home puts the fingertips at {self._home.position.round(3).tolist()} m, "
                f"outside of the workspace of rig '{self._rig.name}' ({list(limits.workspace_min)} .. "
                f"{list(limits.workspace_max)}): change one of them"
            )
        if wrong := sorted(set(self._order) ^ set(arm.joint_names)):
            raise ArmError(
                f"ros2.command_joints and the URDF's joints between {settings['base_link']} and "
                f"{settings['tip_link']} differ: {', '.join(wrong)}"
            )

    @property
    def _order(self) -> tuple[str, ...]:
        """Joints in the order of the controller's commands."""
        given = tuple(filter(None, self._settings["command_joints"]))
        return given or (self._arm.joint_names if self._arm else ())

    def _load_from_topic(self) -> None:
        heard, topic = self._bridges.heard, self._settings["description_topic"]
        if not self._bridges.wait_for(lambda: heard.urdf_file, _WAIT_S):
            raise ArmError(
                f"nobody publishes a URDF on {topic} (std_msgs/String, transient local): start the arm's "
                "bringup, or give a file with ros2.urdf"
            )
        try:
            self._load(Path(heard.urdf_file))
        finally:
            bridges.remove(heard.urdf_file)
        if self._kind != TWIST:
            self._bridges.set_joints(len(self._order))

    def _await_joints(self) -> None:
        heard, topic = self._bridges.heard, self._settings["joint_states_topic"]
        if not self._bridges.wait_for(lambda: heard.state and not self._missing(heard.state), _WAIT_S):
            if heard.state is None:
                raise ArmError(
                    f"nothing has come on {topic} for {_WAIT_S:g} s: start the arm's bringup and its "
                    "joint_state_broadcaster, or name the topic with ros2.joint_states_topic"
                )
            raise ArmError(
                f"{topic} has no joint {', '.join(self._missing(heard.state))}, but "
                f"{', '.join(heard.state['names'])}: do ros2.base_link and ros2.tip_link belong to this arm?"
            )
        self.read_state()
        self._commanded = self._state.joints.copy()

    def _missing(self, state: dict) -> list[str]:
        return [name for name in self.joint_names if name not in state["names"]]

    def _await_controller(self) -> None:
        heard, topic = self._bridges.heard, self._settings["command_topic"]
        if not self._bridges.wait_for(lambda: heard.heard_by_controller, _WAIT_S):
            raise ArmError(
                f"no controller listens on {topic} ({self._kind}): activate it (`ros2 control "
                "list_controllers`), or name its topic with ros2.command_topic"
            )

    def close(self) -> None:
        self._bridges.rest()
        self._bridges.close()

    # State

    def read_state(self) -> ArmState:
        heard = self._bridges.heard.state
        if heard is not None and heard is not self._heard_state and self._arm is not None:
            self._heard_state = heard
            if not self._missing(heard):
                self._state = self._from_message(heard)
        state = self._state
        if self._bridges.lost or time.monotonic() - state.at > _FRESH_S:
            return replace(state, measured=None, commanded=None)
        return state

    def _from_message(self, message: dict) -> ArmState:
        index = [message["names"].index(name) for name in self.joint_names]
        joints = _numbers(message["position"], index)
        velocities = _numbers(message["velocity"], index, 0.0)
        pose = commanded = None
        if np.isfinite(joints).all():
            commanded = pose = Pose(*self._arm.chain.forward(joints))
            if self._kind == TRAJECTORY and self._commanded is not None:
                commanded = Pose(*self._arm.chain.forward(self._commanded))
                if self._was_moved(pose, commanded, joints):
                    # Sent back to where it was, it would go there without the gate, as fast as it can.
                    self._commanded, commanded = joints.copy(), pose
                    self._show("something else has moved the arm: it holds where it is now")
        force, torque = self._wrench(pose)
        return ArmState(
            pose, commanded, joints, velocities, self._measured_closure(message), message["at"], force, torque
        )

    def _was_moved(self, measured: Pose, commanded: Pose, joints: np.ndarray) -> bool:
        limits, turn = self._rig.limits, measured.rotation.inv() * commanded.rotation
        return bool(
            np.linalg.norm(measured.position - commanded.position) > _MOVED * limits.max_following_error
            or turn.magnitude() > _MOVED * limits.max_following_angle
            or np.abs(joints - self._commanded).max() > _MOVED_RAD
        )

    def _show(self, fault: str) -> None:
        now = time.monotonic()
        recent = {text: until for text, until in self._shown.items() if now < until}
        self._shown = recent | {fault: now + _FAULT_SHOWN_S}

    def _measured_closure(self, message: dict) -> float:
        name = self._settings["gripper_joint"]
        if not name or name not in message["names"]:
            return self._closure
        [value] = _numbers(message["position"], [message["names"].index(name)])
        low, high = self._settings["gripper_open"], self._settings["gripper_closed"]
        return float(np.clip((value - low) / (high - low), 0.0, 1.0)) if np.isfinite(value) else self._closure

    def _wrench(self, pose: Pose | None) -> tuple[np.ndarray | None, np.ndarray | None]:
        heard = self._bridges.heard.wrench
        if heard is None or pose is None or time.monotonic() - heard["at"] > _FRESH_S:
            return None, None
        wrench = _numbers(heard["wrench"], range(6))
        if self._settings["wrench_frame"] == "tip":
            turn = Rotation.from_quat(pose.quaternion)
            return turn.apply(wrench[:3]), turn.apply(wrench[3:])
        return wrench[:3], wrench[3:]

    # Commands

    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        twist = np.concatenate([linear, angular])
        state, joints = self._state, self._state.joints
        known = np.isfinite(joints).all() and time.monotonic() - state.at <= _FRESH_S
        if not known or not np.isfinite(twist).all():
            # Silence would let a velocity controller carry its last command on.
            return self._bridges.rest()
        if self._kind == TWIST:
            self._send_cartesian(twist)
            return
        if not twist.any():
            velocities = np.zeros(len(joints))
        else:
            velocities = self._joint_velocities(joints, twist)
        if self._kind == TRAJECTORY:
            self._commanded = self._commanded + velocities * TICK
            ahead = self._commanded + velocities * (self._settings["point_time"] - TICK)
            command = {"positions": self._in_order(ahead), "joints": list(self._order)}
            command["time"] = self._settings["point_time"]
        elif not twist.any():
            return self._bridges.rest()
        else:
            command = {}
        self._bridges.send(command | {"values": self._in_order(velocities)})

    def _send_cartesian(self, twist: np.ndarray) -> None:
        if not twist.any():
            return self._bridges.rest()
        if self._settings["twist_frame"] == "tip":
            back = self._state.measured.rotation.inv()
            twist = np.concatenate([back.apply(twist[:3]), back.apply(twist[3:])])
        self._bridges.send({"values": twist.tolist()})

    def _joint_velocities(self, joints: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """Damped least squares; scaled as a whole where a joint would be faster than its vendor allows."""
        weights = np.array([1.0, 1.0, 1.0, _TURN_WEIGHT, _TURN_WEIGHT, _TURN_WEIGHT])
        jacobian = self._arm.chain.jacobian(joints) * weights[:, None]
        square = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
        velocities = jacobian.T @ np.linalg.solve(square, twist * weights)
        excess = np.max(np.abs(velocities) / self.joint_speeds)
        return velocities / max(excess, 1.0)

    def _in_order(self, values: np.ndarray) -> list[float]:
        by_name = dict(zip(self.joint_names, values.tolist()))
        return [by_name[name] for name in self._order]

    def send_gripper(self, closure: float) -> None:
        self._closure = closure
        if self._settings["gripper_type"] != NO_GRIPPER:
            low, high = self._settings["gripper_open"], self._settings["gripper_closed"]
            self._bridges.send_gripper(low + closure * (high - low))

    def hold_gripper(self) -> None:
        if self._settings["gripper_joint"]:
            self.send_gripper(self._state.closure)

    def stop(self) -> None:
        self._bridges.rest()
        if self._state is not None and np.isfinite(self._state.joints).all():
            self._commanded = self._state.joints.copy()
        if self._settings["stop_service"]:
            self._bridges.ask("stop_service")

    # Facts

    def home_pose(self) -> Pose:
        return self._home

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return self._arm.chain.jacobian(joints)

    def describe(self) -> str:
        return (
            f"ros2_control arm {self._settings['base_link']} .. {self._settings['tip_link']}, "
            f"{len(self.joint_names)} joints, {self._kind} on {self._settings['command_topic']}"
        )

    def faults(self) -> list[str]:
        heard, now, settings = self._bridges.heard, time.monotonic(), self._settings
        if self._bridges.lost:
            return [self._bridges.lost]
        found = [fault for fault, until in self._shown.items() if now < until]
        age = now - (heard.state["at"] if heard.state else now)
        if age > _FRESH_S:
            found.append(f"no new joint state on {settings['joint_states_topic']} for {age:.1f} s")
        elif not np.isfinite(self._state.joints).all():
            found.append(f"{settings['joint_states_topic']} has a joint position that is not a number")
        if not heard.heard_by_controller:
            found.append(f"no controller listens on {settings['command_topic']} to both ROS bridges")
        if others := heard.graph.get("others"):
            found.append(f"{', '.join(others)} also commands {settings['command_topic']}: end it")
        return found

    def diagnostic_values(self) -> dict[str, object]:
        graph = self._bridges.heard.graph
        return {
            "listeners": graph.get("listeners", 0),
            "other_publishers": ", ".join(graph.get("others", [])),
        }

    def clear_faults(self) -> None:
        if self._state is not None and np.isfinite(self._state.joints).all():
            self._commanded = self._state.joints.copy()
        if self._settings["reset_service"]:
            # Not waited for: the loop stands still meanwhile.
            self._bridges.ask(
                "reset_service", lambda error: error and self._show(f"ros2.reset_service: {error}")
            )


def _numbers(values: list, index, missing: float = np.nan) -> np.ndarray:
    """Those of `values` at `index`, f64; None and what is not there: `missing`."""
    return np.array(
        [missing if number >= len(values) or values[number] is None else values[number] for number in index],
        np.float64,
    )
