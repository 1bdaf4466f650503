"""The arm node: the ROS face of the motion process, which has the arm and its gate. Topics and services:
docs/reference/interfaces.md.
"""

from __future__ import annotations

import array
import math
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial

from geometry_msgs.msg import PoseStamped, TwistStamped, Wrench, WrenchStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Empty, Float32, Header, String
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

from gr1_common.conventions import BASE_FRAME, STOPPED, TICK
from gr1_common.dds import leave_shared_memory
from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.messages import (
    command_time,
    from_twist,
    nanoseconds,
    send_time,
    to_pose,
    to_stamp,
    to_twist,
    to_vector,
)
from gr1_common.parameters import ParameterError, declare, declare_options, refuse_renamed
from gr1_common.process import run_node
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_common.stop_socket import SHUTTING_DOWN, socket_file
from gr1_core.rig import Rig, RigError
from gr1_robot import renamed
from gr1_robot.arm import drivers
from gr1_robot.arm.backend import ArmError, backend_names, backend_options
from gr1_robot.arm.controller import DRIVER_TIMEOUT_S, HOMING_MESSAGES, Snapshot
from gr1_robot.arm.markers import Markers
from gr1_robot.arm.motion_client import MotionClient
from gr1_robot.arm.motion_link import GripperCommand, Refusal, Release, Start, Tick, TwistCommand
from gr1_robot.arm.reason_messages import REASON_MESSAGES, REFUSAL_MESSAGES, WARNING_REASONS
from gr1_robot.arm.simulation import SimulationTopics

_GRIPPER_NAMES = ("closure", "closure_command")


class ArmNode(Node):
    """See the module's text. Raises ParameterError, RigError or ArmError for errors that the user can fix."""

    exit_code = 0

    def __init__(self):
        super().__init__("arm")
        refuse_renamed(self, renamed.ARM_PARAMETERS)
        robot = declare(
            self,
            "robot",
            "sim",
            "Name of the arm driver.",
            read_only=True,
            choices=backend_names(),
            renamed=renamed.ROBOTS,
        )
        self._robot = robot
        rig = Rig.load(
            declare(
                self, "rig", "kinova_gen2", "Name of a built-in rig or path of its YAML file.", read_only=True
            )
        )
        armed = declare(
            self,
            "arm_on_start",
            robot == "sim",
            "Whether the arm may move before a person has called arm/reset.",
            read_only=True,
        )
        markers_hz = declare(
            self, "markers_hz", 10.0, "Rate of arm/markers, Hz.", low=0.1, high=100.0, read_only=True
        )
        realtime = declare(
            self,
            "realtime",
            True,
            "Request real-time scheduling, so that cameras and networks do not delay the loop. Continues "
            "without it if refused.",
            read_only=True,
        )
        self._simulation = SimulationTopics(self) if robot == "sim" else None
        settings = declare_options(self, robot, backend_options(robot), self._set_option)

        self._expiry = 1.5 * rig.period
        self._marker_period_ticks = max(round(1.0 / (markers_hz * TICK)), 1)
        self._ticks = 0
        self._markers = Markers(rig.limits)
        self._missed = 0
        self._device, self._described_with = "", None
        self._describing = threading.Thread()
        self._measured_at = -math.inf
        self._reported_state = None
        self.finished = threading.Event()
        try:
            stop_file = str(socket_file(self.get_name(), self.get_namespace()))
        except OSError as error:
            raise ArmError(str(error)) from error
        start = Start(
            robot,
            rig,
            settings,
            armed,
            realtime,
            stop_file,
            self._simulation.state_hz if self._simulation else 0.0,
            list(drivers.__path__),
        )
        with ExitStack() as undo:
            self._motion = MotionClient(start)
            undo.callback(self._motion.close)
            self._open_topics()
            self._diagnostics = Diagnostics(self, self._report)
            self._motion.listen(
                self._publish, self._on_publishing_failed, self._warn_refused, self._on_motion_ended
            )
            self._describe("")
            if self._simulation:
                self._simulation.attach(self._motion)
            undo.pop_all()
        if self._motion.ready.notice:
            self.get_logger().warning(self._motion.ready.notice)
        self.get_logger().info(
            f"arm '{robot}' with rig '{rig.name}', "
            f"{'armed' if armed and not self._motion.ready.notice else 'stopped until arm/reset is called'}"
        )

    def _open_topics(self) -> None:
        self._pose = self.create_publisher(PoseStamped, "arm/pose", SENSOR)
        self._commanded_pose = self.create_publisher(PoseStamped, "arm/commanded_pose", SENSOR)
        self._commanded_twist = self.create_publisher(TwistStamped, "arm/commanded_twist", SENSOR)
        self._wrench = self.create_publisher(WrenchStamped, "arm/wrench", SENSOR)
        # The arm's own bringup publishes these for `ros2`; an echo of them would be read as the arm's state.
        own = "arm/joint_states" if self._robot == "ros2" else "joint_states"
        self._joints = self.create_publisher(JointState, own, SENSOR)
        if self._motion.ready.urdf:
            self._description = self.create_publisher(String, "robot_description", LATCHED)
            self._description.publish(String(data=self._motion.ready.urdf))
        self._gripper = self.create_publisher(JointState, "arm/gripper", SENSOR)
        self._marker_array = self.create_publisher(MarkerArray, "arm/markers", SENSOR)
        for source in ("teleop", "policy"):
            self.create_subscription(
                TwistStamped, f"command/{source}/twist", partial(self._on_twist, source), COMMAND
            )
            self.create_subscription(
                Float32, f"command/{source}/gripper", partial(self._on_gripper, source), COMMAND
            )
        self.create_subscription(Empty, "command/teleop/release", self._on_release, COMMAND)
        self.create_service(Trigger, "arm/stop", self._on_stop)
        self.create_service(Trigger, "arm/reset", self._on_reset)
        self.create_service(Trigger, "arm/home", self._on_home)
        self.create_service(Trigger, "arm/clear_faults", self._on_clear_faults)
        self.create_service(SetBool, "arm/slow_policy", self._on_slow_policy)

    def close(self) -> None:
        """Brings the arm to rest and disconnects, whatever else fails; a driver that hangs is left after a
        few seconds.
        """
        if trouble := self._motion.close():
            self.get_logger().error(trouble)

    # In the reader's thread

    def _warn_refused(self, refusal: Refusal) -> None:
        if refusal.reason in REFUSAL_MESSAGES:
            self.get_logger().warning(
                f"{refusal.what} from {refusal.source} refused: {REFUSAL_MESSAGES[refusal.reason]}",
                throttle_duration_sec=1.0,
            )

    def _on_motion_ended(self, failure: str) -> None:
        self.exit_code = 1
        self.finished.set()
        self.get_logger().fatal(f"the arm's loop has ended: {failure}")

    # In the publisher's thread

    def _on_publishing_failed(self, error: Exception) -> None:
        # The node ends, and its end brings the arm to rest.
        self.exit_code = 1
        self.finished.set()
        text = "".join(traceback.format_exception(error))
        self.get_logger().fatal(f"the arm's state cannot be published: {text}")

    def _publish(self, tick: Tick) -> None:
        snapshot = tick.snapshot
        motion = snapshot.motion
        clock_ns = self.get_clock().now().nanoseconds - round(1e9 * (time.monotonic() - tick.at))
        header = Header(stamp=to_stamp(clock_ns), frame_id=BASE_FRAME)
        self._commanded_twist.publish(
            TwistStamped(header=header, twist=to_twist(motion.linear, motion.angular))
        )
        # A state is published once only: a state that no longer changes must be visible as such.
        if self._measured_at < snapshot.state.at < math.inf:
            self._measured_at = snapshot.state.at
            stamp = to_stamp(clock_ns - round(1e9 * (tick.at - snapshot.state.at)))
            self._publish_state(Header(stamp=stamp, frame_id=BASE_FRAME), snapshot)
        if tick.sample:
            self._simulation.publish(tick.sample, header.stamp)
        if motion.state != self._reported_state:
            self._reported_state = motion.state
            self._report_gate(snapshot)

    def _publish_state(self, header: Header, snapshot: Snapshot) -> None:
        state = snapshot.state
        if state.measured:
            self._pose.publish(PoseStamped(header=header, pose=to_pose(*state.measured)))
        if state.commanded and self._commanded_pose.get_subscription_count():
            self._commanded_pose.publish(PoseStamped(header=header, pose=to_pose(*state.commanded)))
        commanded = math.nan if snapshot.closure is None else snapshot.closure
        self._gripper.publish(
            JointState(
                header=header, name=_GRIPPER_NAMES, position=array.array("d", (state.closure, commanded))
            )
        )
        if state.force is not None:
            torque = state.torque if state.torque is not None else (math.nan,) * 3
            self._wrench.publish(
                WrenchStamped(
                    header=header, wrench=Wrench(force=to_vector(state.force), torque=to_vector(torque))
                )
            )
        if self._joints.get_subscription_count():
            self._joints.publish(
                JointState(
                    header=header,
                    name=self._motion.ready.joint_names,
                    position=array.array("d", state.joints),
                    velocity=array.array("d", state.joint_velocities),
                )
            )
        self._ticks += 1
        if (
            state.commanded
            and self._ticks % self._marker_period_ticks == 0
            and self._marker_array.get_subscription_count()
        ):
            self._marker_array.publish(self._markers.to_message(header, state.commanded, snapshot.motion))

    # In the executor's thread

    def _on_twist(self, source: str, msg: TwistStamped, info) -> None:
        stamp = msg.header.stamp
        at = command_time(stamp, info, self.get_clock().now().nanoseconds, self._expiry)
        twist = from_twist(msg.twist)
        self._motion.post(TwistCommand(source, *twist, at, nanoseconds(stamp), msg.header.frame_id))

    def _on_gripper(self, source: str, msg: Float32, info) -> None:
        self._motion.post(GripperCommand(source, msg.data, send_time(info)))

    def _on_release(self, _: Empty, info) -> None:
        self._motion.post(Release(send_time(info)))

    def _on_stop(self, _, response: Trigger.Response) -> Trigger.Response:
        self.get_logger().warning("emergency stop: call arm/reset to release it")
        return _call_motion(response, self._motion.stop, "stopped until arm/reset is called")

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        return _call_motion(response, self._motion.reset, "the arm may move")

    def _on_home(self, _, response: Trigger.Response) -> Trigger.Response:
        return _call_motion(response, self._motion.go_home, "moving home")

    def _on_clear_faults(self, _, response: Trigger.Response) -> Trigger.Response:
        return _call_motion(
            response,
            self._motion.clear_faults,
            "fault reset requested: call arm/reset when it is safe",
        )

    def _on_slow_policy(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        done = f"the policy's commands are carried out at {'half' if request.data else 'full'} speed"
        return _call_motion(response, lambda: self._motion.slow_policy(request.data), done)

    def _set_option(self, option: str, value) -> None:
        try:
            self._motion.set_option(option, value)
        except ArmError as error:
            self.get_logger().error(f"{option} is not set: {error}")

    def _report(self) -> None:
        tick, report = self._motion.tick, self._motion.report
        if tick is None or report is None:
            return
        self._report_gate(tick.snapshot)
        self._report_loop(tick, report.loop)
        self._report_backend(tick, report.driver)

    def _report_loop(self, tick: Tick, figures: Mapping[str, object]) -> None:
        level = WARN if figures["missed"] > self._missed else OK
        self._missed = figures["missed"]
        message = (
            "on time"
            if level == OK
            else "missed its deadline within the last second: the computer is too busy"
        )
        values = {**figures, "state_age_ms": 1e3 * (time.monotonic() - tick.snapshot.state.at)}
        self._diagnostics.status("loop", level, message, values)

    def _report_backend(self, tick: Tick, figures: Mapping[str, object]) -> None:
        faults, homing = "; ".join(tick.snapshot.faults), tick.snapshot.homing
        # Asked only when it may have changed: it needs the driver's lock, which the loop needs a hundred
        # times a second. In a thread of its own: a driver that hangs must not delay arm/stop.
        if faults != self._described_with and not self._describing.is_alive():
            self._describing = threading.Thread(target=self._describe, args=(faults,), daemon=True)
            self._describing.start()
        silent = time.monotonic() - tick.at > DRIVER_TIMEOUT_S
        if silent:
            faults = f"the arm's driver has not answered for {DRIVER_TIMEOUT_S:g} s"
        level = ERROR if silent else WARN if homing else ERROR if faults else OK
        values = {
            "device": self._device,
            "homing": HOMING_MESSAGES.get(homing, ""),
            "faults": faults,
            **figures,
        }
        self._diagnostics.status("backend", level, faults or "ready", values, state=faults)

    def _describe(self, faults: str) -> None:
        try:
            self._device, self._described_with = self._motion.describe(), faults
        except ArmError as error:
            self._device = str(error)

    def _report_gate(self, snapshot: Snapshot) -> None:
        motion = snapshot.motion
        level = ERROR if motion.state == STOPPED else WARN if motion.reason in WARNING_REASONS else OK
        if motion.reason == SHUTTING_DOWN:
            level = WARN  # wanted
        message = REASON_MESSAGES.get(motion.reason, motion.reason) + (
            f" ({motion.detail})" if motion.detail else ""
        )
        values = {
            "state": motion.state,
            "reason": motion.reason,
            "detail": motion.detail,
            "source": motion.source,
            **self._motion.counts,
        }
        latched = motion.reason if motion.state == STOPPED else ""
        self._diagnostics.status("gate", level, message, values, state=(motion.state, latched))


def _call_motion(response, action, done: str):
    """Answers with the refusal that `action` returns, or with the ArmError that it raises, else with
    `done`.
    """
    try:
        refusal = action() or ""
    except ArmError as error:
        refusal = str(error)
    response.success, response.message = not refusal, refusal or done
    return response


def main(args=None) -> int:
    # Closing the terminal must bring the arm to rest like Ctrl-C, unless SIGHUP is ignored (nohup).
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    leave_shared_memory()
    return run_node(ArmNode, args, errors=(ParameterError, RigError, ArmError))


if __name__ == "__main__":
    sys.exit(main())
