"""A ROS bridge of `robot:=ros2`: the motion process, which has no ROS, speaks through it to a controller.

The motion process starts two of them. Both listen to the arm. One passes commands on; the other one, the
watchdog, only ever publishes rest: a velocity controller keeps its last command for ever, so somebody must be
left to end it when the first bridge is killed. Each bridge brings the arm to rest by itself when the motion
process falls silent while the arm moves, and when its end of the socket closes.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time

import rclpy
from geometry_msgs.msg import TwistStamped, WrenchStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, Float64MultiArray, String
from std_srvs.srv import Trigger

from gr1_common import dds
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_robot.arm.drivers.ros2 import bridge_link as link
from gr1_robot.arm.drivers.ros2.settings import FLOAT, NO_GRIPPER, TRAJECTORY, TWIST

_GRAPH_PERIOD_S = 0.5
_CHECK_S = 0.02
_UNNAMED, _NAMED_WITHIN_S = "_NODE_NAME_UNKNOWN_", 10.0
_RESTS, _REST_PERIOD_S = 10, 0.02
"""How often rest is published after a loss: a controller may drop a single message."""
_SERVICES = ("enable_service", "stop_service", "reset_service")


class Bridge(Node):
    """settings: `settings.for_bridge`. watchdog: publishes nothing but rest."""

    def __init__(self, settings: dict, watchdog: bool, connection: link.BridgeLink):
        super().__init__(
            f"gr1_arm_{'watchdog' if watchdog else 'bridge'}_{os.getpid()}", use_global_arguments=False
        )
        self._settings, self._watchdog, self._link = settings, watchdog, connection
        self._kind = settings["command_type"]
        self._size = 6
        self._unnamed: dict[bytes, float] = {}
        self._moving, self._heard = False, time.monotonic()
        self._message = _message_type(self._kind)
        self._commands = self.create_publisher(self._message, settings["command_topic"], COMMAND)
        self._gripper = None
        if settings["gripper_type"] != NO_GRIPPER and not watchdog:
            kind = Float32 if settings["gripper_type"] == FLOAT else Float64MultiArray
            self._gripper = self.create_publisher(kind, settings["gripper_topic"], COMMAND)
        self._calls = {
            name: self.create_client(Trigger, settings[name]) for name in _SERVICES if settings[name]
        }
        if not watchdog:
            self.create_subscription(JointState, settings["joint_states_topic"], self._on_joints, SENSOR)
            if settings["wrench_topic"]:
                self.create_subscription(WrenchStamped, settings["wrench_topic"], self._on_wrench, SENSOR)
            if settings["read_urdf"]:
                self.create_subscription(String, settings["description_topic"], self._on_urdf, LATCHED)
        self.create_timer(_GRAPH_PERIOD_S, self._tell_graph)

    # From the graph

    def _on_joints(self, message: JointState) -> None:
        content = {
            "names": list(message.name),
            "position": _finite_or_none(message.position),
            "velocity": _finite_or_none(message.velocity),
            "at": self._measured_at(message),
        }
        self._link.post(link.STATE, content)

    def _on_wrench(self, message: WrenchStamped) -> None:
        force, torque = message.wrench.force, message.wrench.torque
        numbers = _finite_or_none((force.x, force.y, force.z, torque.x, torque.y, torque.z))
        self._link.post(link.WRENCH, {"wrench": numbers, "at": self._measured_at(message)})

    def _measured_at(self, message) -> float:
        """s on the steady clock; a message without a stamp was measured when it came."""
        stamp, now = message.header.stamp, time.monotonic()
        if not stamp.sec and not stamp.nanosec:
            return now
        age = self.get_clock().now().nanoseconds / 1e9 - (stamp.sec + stamp.nanosec / 1e9)
        return now - max(age, 0.0)

    def _on_urdf(self, message: String) -> None:
        # A URDF with inline meshes may be larger than a packet.
        with tempfile.NamedTemporaryFile("w", prefix="gr1-urdf-", suffix=".urdf", delete=False) as file:
            file.write(message.data)
        self._link.post(link.URDF, file.name)

    def _tell_graph(self) -> None:
        topic = self._settings["command_topic"]
        others = self._other_publishers(topic)
        gripper = self._settings["gripper_topic"]
        content = {
            # Those that this process reaches: it may know of them before.
            "listeners": self._commands.get_subscription_count(),
            "others": others,
            "gripper_listeners": self.count_subscribers(gripper) if self._gripper else -1,
            "services": {name: client.service_is_ready() for name, client in self._calls.items()},
        }
        self._link.post(link.GRAPH, content)

    def _other_publishers(self, topic: str) -> list[str]:
        """Nodes beside this stack that publish there. A node's name comes a moment after its publisher."""
        now, found, unnamed = time.monotonic(), set(), {}
        for info in self.get_publishers_info_by_topic(topic):
            if info.node_name == _UNNAMED:
                gid = bytes(info.endpoint_gid)
                unnamed[gid] = self._unnamed.get(gid, now)
                if now - unnamed[gid] > _NAMED_WITHIN_S:
                    found.add("a node without a name")
            elif not info.node_name.startswith("gr1_arm_"):
                found.add(info.node_name)
        self._unnamed = unnamed
        return sorted(found)

    # From the motion process

    def serve(self) -> None:
        """Handles what has come. Raises EOFError when the motion process has gone or says farewell."""
        while (message := self._link.receive()) is not None:
            what, content = message
            self._heard = time.monotonic()
            match what:
                case link.MOVE:
                    # A command that waited in the socket is not carried out late.
                    late = self._heard - content["sent"] > link.SILENCE_S
                    self._move(None if late else content["command"])
                case link.REST:
                    self._size = content
                    self._move(None)
                case link.GRIPPER:
                    self._send_gripper(float(content))
                case link.CALL:
                    self._call(content["service"], content["number"])
                case link.END:
                    raise EOFError("farewell")
        if self._moving and time.monotonic() - self._heard > link.SILENCE_S:
            self._move(None)

    def _move(self, command: dict | None) -> None:
        """None: rest."""
        self._moving = command is not None
        if self._kind == TRAJECTORY:
            # A trajectory ends by itself with its last point.
            if command is not None and not self._watchdog:
                self._commands.publish(self._point(command))
            return
        values = [0.0] * self._size if command is None else command["values"]
        self._size = len(values)
        if self._watchdog and command is not None:
            return
        message = self._message()
        if self._kind == TWIST:
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = self._settings["frame"]
            linear, angular = message.twist.linear, message.twist.angular
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = values
        else:
            message.data = values
        self._commands.publish(message)

    def _point(self, command: dict):
        from rclpy.duration import Duration
        from trajectory_msgs.msg import JointTrajectoryPoint

        point = JointTrajectoryPoint(positions=command["positions"], velocities=command["values"])
        point.time_from_start = Duration(seconds=command["time"]).to_msg()
        return self._message(joint_names=command["joints"], points=[point])

    def _send_gripper(self, value: float) -> None:
        if self._gripper is not None:
            array = self._gripper.msg_type is Float64MultiArray
            self._gripper.publish(Float64MultiArray(data=[value]) if array else Float32(data=value))

    def _call(self, service: str, number: int) -> None:
        client = self._calls.get(service)
        name = self._settings[service]
        if client is None or not client.service_is_ready():
            text = f"no service '{name}' in the ROS graph"
            self._link.post(link.ANSWER, {"number": number, "error": text})
            return
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda done: self._answer(number, name, done))

    def _answer(self, number: int, name: str, done) -> None:
        result = done.result()
        error = "" if result.success else f"{name} answers: {result.message or 'no'}"
        self._link.post(link.ANSWER, {"number": number, "error": error})

    def rest_for_good(self) -> None:
        """The motion process has gone: several times, so that no single loss leaves the arm moving."""
        if "stop_service" in self._calls and self._calls["stop_service"].service_is_ready():
            self._calls["stop_service"].call_async(Trigger.Request())
        for _ in range(_RESTS):
            self._move(None)
            time.sleep(_REST_PERIOD_S)


def _message_type(kind: str):
    if kind == TRAJECTORY:
        from trajectory_msgs.msg import JointTrajectory

        return JointTrajectory
    return TwistStamped if kind == TWIST else Float64MultiArray


def _finite_or_none(numbers) -> list[float | None]:
    """JSON has no NaN."""
    return [float(value) if math.isfinite(value) else None for value in numbers]


def main(argv: list[str] | None = None) -> int:
    """argv: this end's file descriptor; "bridge" or "watchdog"."""
    number, role = sys.argv[1:] if argv is None else argv
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the motion process ends it, after the arm has come to rest
    connection = link.BridgeLink(socket.socket(fileno=int(number)))
    select.select([connection], [], [])
    try:
        _, settings = connection.receive()
    except EOFError:
        return 1
    # A controller that is killed must not make this process wait (gr1_common.dds).
    dds.leave_shared_memory()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    bridge = Bridge(settings, role == "watchdog", connection)
    executor = SingleThreadedExecutor()
    executor.add_node(bridge)
    connection.post(link.READY, os.getpid())
    # What moves the arm does not wait for what the graph says.
    threading.Thread(target=_serve, args=(bridge, connection), name="commands", daemon=True).start()
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()
    return 0


def _serve(bridge: Bridge, connection: link.BridgeLink) -> None:
    """Until the motion process ends."""
    try:
        while True:
            select.select([connection], [], [], _CHECK_S)
            bridge.serve()
    except EOFError:
        bridge.rest_for_good()
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
