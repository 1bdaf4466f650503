"""The arm node: commands in, the gate at 100 Hz, the arm, its state out. Topics and services:
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
from contextlib import ExitStack
from functools import partial

from geometry_msgs.msg import PoseStamped, TwistStamped, Wrench, WrenchStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from gr1_common.conventions import BASE_FRAME, STOPPED, TICK
from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.loop import Loop
from gr1_common.mailbox import Mailbox
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
from gr1_common.qos import COMMAND, SENSOR
from gr1_common.scheduling import raise_scheduling_priority
from gr1_core.rig import Rig, RigError
from gr1_robot import renamed
from gr1_robot.arm.backend import ArmError, backend_names, backend_options, check_rig_limits, load_backend
from gr1_robot.arm.controller import DRIVER_TIMEOUT_S, HOMING_MESSAGES, ArmController, Snapshot
from gr1_robot.arm.markers import Markers
from gr1_robot.arm.simulation import SimulationTopics

_SWITCH_INTERVAL_S = 5e-4
_GRIPPER_NAMES = ("closure", "closure_command")
_WARNING_REASONS = (
    "expired",
    "not_finite",
    "jump",
    "no_pose",
    "following_error",
    "joint_limit",
    "table",
    "contact",
)
_REFUSAL_MESSAGES = {
    "frame": f"its header's frame_id is not {BASE_FRAME}",
    "not_finite": "it is not finite",
    "jump": "it is far beyond the speed limit",
    "old": "its stamp is too old: a slow network, a replay, no stamp at all, or clocks that differ",
    "out_of_order": "a newer command, or the same one, has been received already",
}
_REASON_MESSAGES = {
    "none": "following commands",
    "speed": "following commands, limited to the maximum speed",
    "workspace": "kept inside the workspace",
    "following_error": "the arm does not follow: something holds it, or it is at the end of its reach",
    "joint_limit": "slowed near the end of a joint's range",
    "table": "slowed near the table: a part of the arm behind the hand is close to it",
    "contact": "the hand presses too hard: only teleoperation or homing may move it, away from the contact",
    "no_command": "waiting for the first command",
    "zero_command": "commanded to rest",
    "expired": "no new commands: the last one has expired",
    "not_finite": "the last command was not finite",
    "jump": "the last command was far beyond the speed limit",
    "no_pose": "the arm reports no pose",
    "emergency_stop": "emergency stop: call arm/reset when it is safe",
    "force": "the force on the hand was too high: call arm/reset when the hand is free",
    "stuck": "the arm does not follow: free it, then call arm/reset",
    "homing_timeout": "homing took too long: free the arm, then call arm/reset",
    "loop_stalled": "the computer or this program stalled: call arm/reset when it is safe",
    "not_armed": "not armed: call arm/reset when it is safe",
    "backend_fault": "the arm reports a fault: fix it, then call arm/reset",
    "shutting_down": "shutting down",
}


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
        backend = load_backend(robot, rig, settings)
        check_rig_limits(rig, backend.vendor_limits)

        self._open_topics()
        self._marker_period_ticks = max(round(1.0 / (markers_hz * TICK)), 1)
        self._ticks = 0
        self._markers = Markers(rig.limits)
        self._snapshot: Snapshot | None = None
        self._missed = 0
        self._device, self._described_with = "", None
        self._measured_at = -math.inf
        self._reported_state = None
        self.finished = threading.Event()
        self._diagnostics = Diagnostics(self, self._report)
        self._scheduling = raise_scheduling_priority() if realtime else "normal"
        # The longest that a thread waits for another one that runs Python code.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with ExitStack() as undo:
            undo.callback(backend.close)
            backend.connect()
            self._controller = ArmController(rig, backend, armed)
            self._outbox = Mailbox(self._publish, self._on_failure, "publisher")
            undo.callback(self._outbox.end)
            self._loop = Loop(self._step, TICK, self._on_failure, "arm")
            if self._simulation:
                self._simulation.attach(self._controller, self._loop)
            self._loop.start()
            undo.pop_all()
        self.get_logger().info(
            f"arm '{robot}' with rig '{rig.name}', "
            f"{'armed' if armed else 'stopped until arm/reset is called'}"
        )

    def _open_topics(self) -> None:
        self._pose = self.create_publisher(PoseStamped, "arm/pose", SENSOR)
        self._commanded_pose = self.create_publisher(PoseStamped, "arm/commanded_pose", SENSOR)
        self._commanded_twist = self.create_publisher(TwistStamped, "arm/commanded_twist", SENSOR)
        self._wrench = self.create_publisher(WrenchStamped, "arm/wrench", SENSOR)
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR)
        self._gripper = self.create_publisher(JointState, "arm/gripper", SENSOR)
        self._marker_array = self.create_publisher(MarkerArray, "arm/markers", SENSOR)
        for source in ("teleop", "policy"):
            self.create_subscription(
                TwistStamped, f"command/{source}/twist", partial(self._on_twist, source), COMMAND
            )
            self.create_subscription(
                Float32, f"command/{source}/gripper", partial(self._on_gripper, source), COMMAND
            )
        self.create_service(Trigger, "arm/stop", self._on_stop)
        self.create_service(Trigger, "arm/reset", self._on_reset)
        self.create_service(Trigger, "arm/home", self._on_home)
        self.create_service(Trigger, "arm/clear_faults", self._on_clear_faults)

    def close(self) -> None:
        """Brings the arm to rest and disconnects, whatever else fails; a driver that hangs is left after a
        few seconds.
        """
        with ExitStack() as last:
            last.callback(self._close_arm)
            last.callback(self._outbox.end)
            last.callback(self._loop.end)
            self._controller.stop("shutting_down")
            if self._loop.alive:
                self._controller.at_rest.wait(timeout=1.0)

    def _close_arm(self) -> None:
        if trouble := self._controller.close():
            self.get_logger().error(trouble)

    # In the loop's thread

    def _step(self, now: float) -> None:
        snapshot = self._controller.step()
        sample = self._simulation.sample() if self._simulation else None
        self._snapshot, self._stepped = snapshot, time.monotonic()
        # Publishing may block for a second when a subscriber is killed: the motors' loop must not wait for
        # it.
        self._outbox.post((self.get_clock().now().nanoseconds, time.monotonic(), snapshot, sample))

    def _on_failure(self, error: Exception) -> None:
        self.exit_code = 1
        self._controller.stop("shutting_down")
        # Before the driver is called: it may be what hangs, and the process must end nevertheless.
        self.finished.set()
        try:
            self._controller.halt()
        finally:
            # Last: a log entry passes through the middleware, which may block.
            text = "".join(traceback.format_exception(error))
            self.get_logger().fatal(f"the arm's loop has ended: {text}")

    # In the publisher's thread

    def _publish(self, item) -> None:
        clock_ns, steady, snapshot, sample = item
        motion = snapshot.motion
        header = Header(stamp=to_stamp(clock_ns), frame_id=BASE_FRAME)
        self._commanded_twist.publish(
            TwistStamped(header=header, twist=to_twist(motion.linear, motion.angular))
        )
        # A state is published once only: a state that no longer changes must be visible as such.
        if self._measured_at < snapshot.state.at < math.inf:
            self._measured_at = snapshot.state.at
            stamp = to_stamp(clock_ns - round(1e9 * (steady - snapshot.state.at)))
            self._publish_state(Header(stamp=stamp, frame_id=BASE_FRAME), snapshot)
        if sample:
            self._simulation.publish(sample, header.stamp)
        if motion.state != self._reported_state:
            self._reported_state = motion.state
            self._report_gate()

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
                    name=self._controller.backend.joint_names,
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
        at = command_time(stamp, info, self.get_clock().now().nanoseconds, self._controller.gate.expiry)
        refusal = self._controller.submit_command(
            source, *from_twist(msg.twist), at, nanoseconds(stamp), msg.header.frame_id
        )
        self._warn_refused(source, "twist", refusal)

    def _on_gripper(self, source: str, msg: Float32, info) -> None:
        refusal = self._controller.submit_gripper(source, msg.data, send_time(info))
        self._warn_refused(source, "gripper command", refusal)

    def _warn_refused(self, source: str, what: str, refusal: str) -> None:
        if refusal in _REFUSAL_MESSAGES:
            self.get_logger().warning(
                f"{what} from {source} refused: {_REFUSAL_MESSAGES[refusal]}", throttle_duration_sec=1.0
            )

    def _on_stop(self, _, response: Trigger.Response) -> Trigger.Response:
        self._controller.stop()
        self.get_logger().warning("emergency stop: call arm/reset to release it")
        return _answer(response, "", "stopped until arm/reset is called")

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self._controller.reset(), "the arm may move")

    def _on_home(self, _, response: Trigger.Response) -> Trigger.Response:
        return _call_driver(response, self._controller.go_home, "moving home")

    def _on_clear_faults(self, _, response: Trigger.Response) -> Trigger.Response:
        return _call_driver(
            response,
            self._controller.clear_faults,
            "fault reset requested: call arm/reset when it is safe",
        )

    def _set_option(self, option: str, value) -> None:
        try:
            self._controller.set_option(option, value)
        except ArmError as error:
            self.get_logger().error(f"{option} is not set: {error}")

    def _report(self) -> None:
        if self._snapshot is None:
            return
        self._report_gate()
        self._report_loop()
        self._report_backend()

    def _report_loop(self) -> None:
        loop = self._loop
        level = WARN if loop.missed > self._missed else OK
        self._missed = loop.missed
        message = (
            "on time"
            if level == OK
            else "missed its deadline within the last second: the computer is too busy"
        )
        periods = loop.rate.periods
        values = {
            "rate_hz": loop.rate.hz,
            "period_p50_ms": 1e3 * periods.quantile(0.5),
            "period_p99_ms": 1e3 * periods.quantile(0.99),
            "period_max_ms": 1e3 * periods.quantile(1.0),
            "missed": loop.missed,
            "state_age_ms": 1e3 * (time.monotonic() - self._snapshot.state.at),
            "scheduling": self._scheduling,
        }
        self._diagnostics.status("loop", level, message, values)

    def _report_backend(self) -> None:
        faults, homing = "; ".join(self._snapshot.faults), self._snapshot.homing
        # Asked only when it may have changed: it needs the driver's lock, which the loop needs a hundred
        # times a second.
        if faults != self._described_with:
            try:
                self._device, self._described_with = self._controller.describe(), faults
            except ArmError as error:
                self._device = str(error)
        silent = time.monotonic() - self._stepped > DRIVER_TIMEOUT_S
        if silent:
            faults = f"the arm's driver has not answered for {DRIVER_TIMEOUT_S:g} s"
        level = ERROR if silent else WARN if homing else ERROR if faults else OK
        values = {
            "device": self._device,
            "homing": HOMING_MESSAGES.get(homing, ""),
            "faults": faults,
            **self._controller.backend.diagnostic_values(),
        }
        self._diagnostics.status("backend", level, faults or "ready", values, state=faults)

    def _report_gate(self) -> None:
        gate, motion = self._controller.gate, self._snapshot.motion
        latched = gate.latched
        level = ERROR if motion.state == STOPPED else WARN if motion.reason in _WARNING_REASONS else OK
        message = _REASON_MESSAGES.get(motion.reason, motion.reason) + (
            f" ({motion.detail})" if motion.detail else ""
        )
        values = {
            "state": motion.state,
            "reason": motion.reason,
            "detail": motion.detail,
            "source": motion.source,
            **gate.counts,
        }
        self._diagnostics.status("gate", level, message, values, state=(motion.state, latched))


def _call_driver(response: Trigger.Response, action, done: str) -> Trigger.Response:
    """Answers with the refusal that `action` returns, or with the ArmError that it raises, else with
    `done`.
    """
    try:
        return _answer(response, action() or "", done)
    except ArmError as error:
        return _answer(response, str(error), done)


def _answer(response: Trigger.Response, refusal: str, done: str) -> Trigger.Response:
    response.success, response.message = not refusal, refusal or done
    return response


def main(args=None) -> int:
    # Closing the terminal must bring the arm to rest like Ctrl-C, unless SIGHUP is ignored (nohup).
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    return run_node(ArmNode, args, errors=(ParameterError, RigError, ArmError))


if __name__ == "__main__":
    sys.exit(main())
