"""A running rig (`gr1 up --driver teleop`, or arm and camera nodes alone) as a robot of LeRobot.

Observations are what the policy node would see: the newest pair of frames, and the arm's state at their time.
Actions are the twist that carries them out in one control period, on the policy's command topics; the gate
of the arm node limits them, and each expires after 1.5 control periods. So LeRobot's loop has to run at the
rig's rate: --fps equal to control_hz.
"""

from __future__ import annotations

import functools
import threading
import time

import numpy as np
from lerobot.robots.robot import Robot
from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError

from gr1_core.rig import ROLES, Rig
from lerobot_robot_gr1.config_gr1_robot import GR1RobotConfig

STATE = ("x", "y", "z", "rx", "ry", "rz", "gripper")
ACTION = ("dx", "dy", "dz", "drx", "dry", "drz", "gripper")


class GR1Robot(Robot):
    """See the module. The numbers have the names, units and order of our datasets' state and action."""

    config_class = GR1RobotConfig
    name = "gr1"

    def __init__(self, config: GR1RobotConfig):
        super().__init__(config)
        self.config, self.rig = config, Rig.load(config.rig)
        self.cameras = {role: self.rig.cameras[role] for role in ROLES}
        self._link: _Link | None = None
        self._arm: np.ndarray | None = None

    @property
    def observation_features(self) -> dict:
        images = {role: (camera.height, camera.width, 3) for role, camera in self.cameras.items()}
        return dict.fromkeys(STATE, float) | images

    @property
    def action_features(self) -> dict:
        return dict.fromkeys(ACTION, float)

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    @property
    def is_calibrated(self) -> bool:
        return True

    def calibrate(self) -> None:
        """Nothing: the rig's file holds what there is."""

    def configure(self) -> None:
        """Nothing: the nodes have their own parameters."""

    def connect(self, calibrate: bool = True) -> None:
        """Waits until cameras, pose and gripper deliver. Raises DeviceNotConnectedError, which names the one
        that does not.
        """
        if self._link:
            raise DeviceAlreadyConnectedError(f"{self} is connected already")
        link = _Link(self.rig, self.config)
        until = time.monotonic() + self.config.timeout_s
        while why := link.fault():
            if time.monotonic() > until:
                link.close()
                raise DeviceNotConnectedError(f"{self}: {why}. Start the rig first: `gr1 up --driver teleop`")
            link.await_frames()
        self._link = link

    def get_observation(self) -> dict:
        """The state as floats and both frames u8[H, W, 3]. Raises DeviceNotConnectedError for old data."""
        link = self._connected()
        if why := link.fault():
            link.rest()
            raise DeviceNotConnectedError(f"{self}: {why}")
        state, frames = link.observation()
        self._arm = state[:6].astype(np.float64)
        return {name: float(value) for name, value in zip(STATE, state)} | frames

    def send_action(self, action: dict) -> dict:
        """Publishes one action, computed from the last observation -> the same action. The gate may carry out
        less of it.
        """
        link = self._connected()
        numbers = np.array([float(action[name]) for name in ACTION])
        if not np.isfinite(numbers).all():
            link.rest()
            raise ValueError(f"action {numbers.tolist()} is not finite")
        if self._arm is None:
            raise DeviceNotConnectedError(f"{self}: call get_observation before send_action")
        linear, angular = self.rig.twist(numbers[:6], self._arm)
        link.send(linear, angular, 0.0 if numbers[6] > 0 else 1.0)
        return {name: float(value) for name, value in zip(ACTION, numbers)}

    def disconnect(self) -> None:
        """Sends a zero twist and leaves the ROS graph."""
        link, self._link, self._arm = self._connected(), None, None
        link.rest()
        link.close()

    def _connected(self) -> _Link:
        if self._link is None:
            raise DeviceNotConnectedError(f"{self} is not connected: call connect()")
        return self._link


class _Link:
    """The robot's node in the ROS graph, spun by a thread of its own."""

    def __init__(self, rig: Rig, config: GR1RobotConfig):
        # ROS is imported when a robot is connected: LeRobot's --help works without it.
        import rclpy
        from geometry_msgs.msg import PoseStamped, TwistStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import Float32

        from gr1_common import messages, qos
        from gr1_policy import checks
        from gr1_policy.inputs import Inputs

        self._rig, self._messages, self._checks = rig, messages, checks
        self._twist_type, self._float_type = TwistStamped, Float32
        ages = {role: rig.cameras[role].max_age for role in ROLES}
        ages |= dict.fromkeys(("arm", "gripper"), rig.state.max_age)
        self.inputs = Inputs(ages, config.max_skew_s)
        self._used: dict[str, float] = {}
        self._rclpy, self._context = rclpy, rclpy.Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = node = rclpy.create_node(
            "lerobot", context=self._context, namespace=config.namespace or None
        )
        images = qos.sensor_profile(config.image_reliability)
        for role in ROLES:
            node.create_subscription(
                Image, f"camera/{role}/image_raw", functools.partial(self._image, role), images
            )
        node.create_subscription(PoseStamped, "arm/pose", self._pose, qos.SENSOR)
        node.create_subscription(JointState, "arm/gripper", self._gripper, qos.SENSOR)
        self._twist = node.create_publisher(TwistStamped, "command/policy/twist", qos.COMMAND)
        self._closure = node.create_publisher(Float32, "command/policy/gripper", qos.COMMAND)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="lerobot_robot_gr1", daemon=True)
        self._thread.start()

    def fault(self) -> str:
        return self.inputs.fault(self._now(), time.monotonic())

    def await_frames(self) -> None:
        """Waits a little for a pair of frames."""
        self.inputs.await_new_pair(self._used, 0.05)

    def observation(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The state f32[7] and both frames; waits up to one control period for frames that are new."""
        self.inputs.await_new_pair(self._used, self._rig.period)
        samples = self.inputs.step_input()
        self._used = {role: samples[role].stamp for role in ROLES}
        state = self._rig.state_vector(*samples["arm"].value, samples["gripper"].value)
        return state, {role: samples[role].value for role in ROLES}

    def send(self, linear, angular, closure: float | None = None) -> None:
        message = self._twist_type(twist=self._messages.to_twist(linear, angular))
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = "base_link"
        self._twist.publish(message)
        if closure is not None:
            self._closure.publish(self._float_type(data=closure))

    def rest(self) -> None:
        self.send(np.zeros(3), np.zeros(3))

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._rclpy.try_shutdown(context=self._context)

    def _spin(self) -> None:
        while not self._ending.is_set():
            self._executor.spin_once(0.05)

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _put(self, stream: str, message, value) -> None:
        stamp = self._messages.seconds(message.header.stamp)
        self.inputs.add_sample(stream, stamp, time.monotonic(), value)

    def _image(self, role: str, message) -> None:
        try:
            image = self._messages.msg_to_image(message)
            self._rig.cameras[role].view(image)
        except ValueError as error:
            return self.inputs.refuse_sample(role, time.monotonic(), str(error))
        self._put(role, message, image)

    def _pose(self, message) -> None:
        pose = self._messages.from_pose(message.pose)
        if why := self._checks.check_pose(*pose, self._rig.limits):
            return self.inputs.refuse_sample("arm", time.monotonic(), why)
        self._put("arm", message, pose)

    def _gripper(self, message) -> None:
        closure = dict(zip(message.name, message.position)).get("closure_command")
        why = self._checks.check_closure(closure) if closure is not None else "it has no 'closure_command'"
        if why:
            return self.inputs.refuse_sample("gripper", time.monotonic(), why)
        self._put("gripper", message, closure)
