"""The arm node: commands in, the gate at 100 Hz, the arm, its state out. Names and types are in docs/reference/interfaces.md."""

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

from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.loop import Loop
from gr1_common.mailbox import Mailbox
from gr1_common.messages import from_twist, made, nanoseconds, sent, to_pose, to_stamp, to_twist, to_vector
from gr1_common.parameters import ParameterError, declare, declare_options
from gr1_common.process import run, take_precedence
from gr1_common.qos import COMMAND, SENSOR
from gr1_core.rig import Rig, RigError
from gr1_robot.arm import backend as backends
from gr1_robot.arm.arm import HOMING, PATIENCE_S, Arm, Snapshot
from gr1_robot.arm.gate import FRAME, STOPPED, TICK
from gr1_robot.arm.markers import Markers
from gr1_robot.arm.simulation import Simulation

_SWITCH_S = 5e-4
_GRIPPER = ("closure", "closure_command")
_WORRYING = ("expired", "not_finite", "jump", "no_pose", "leash", "joint_limit")
_TOLD = {
    "frame": f"its header's frame_id is not {FRAME}",
    "not_finite": "it is not finite",
    "jump": "it is far beyond the speed limit",
    "old": "its stamp is not of this moment: a slow network, a replay, no stamp at all, or clocks that differ",
    "out_of_order": "one that is newer, or the same one, is known already",
}
_MESSAGES = {
    "none": "following commands",
    "speed": "following commands, slowed to the speed limit",
    "workspace": "kept inside the workspace",
    "leash": "the arm does not follow: something holds it, or it is at the end of its reach",
    "joint_limit": "slowed near the end of a joint's range",
    "no_command": "waiting for a first command",
    "zero_command": "commanded to rest",
    "expired": "commands have stopped coming",
    "not_finite": "the last command was not finite",
    "jump": "the last command was far beyond the speed limit",
    "no_pose": "the arm reports no pose",
    "emergency_stop": "emergency stop: call arm/reset when it is safe",
    "force": "the hand met too much force: call arm/reset when it is free",
    "loop_stalled": "the computer or this program stood still: call arm/reset when it is safe",
    "not_armed": "not armed: call arm/reset when it is safe",
    "backend_fault": "the arm reports a fault: mend it, then call arm/reset",
    "shutting_down": "shutting down",
}


class ArmNode(Node):
    """See the module's text. Raises ParameterError, RigError or BackendError for what the user can mend."""

    exit_code = 0

    def __init__(self):
        super().__init__("arm")
        robot = declare(
            self,
            "robot",
            "sim",
            "Which arm: the name of a backend.",
            read_only=True,
            choices=backends.names(),
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
            self, "markers_hz", 10.0, "Rate of arm/markers.", low=0.1, high=100.0, read_only=True
        )
        realtime = declare(
            self,
            "realtime",
            True,
            "Ask the system for real-time scheduling, so that cameras and networks do not delay the loop. Goes on without if refused.",
            read_only=True,
        )
        self._simulation = Simulation(self) if robot == "sim" else None
        backend = backends.load(robot, rig, declare_options(self, robot, backends.options(robot), self._set))
        backends.require_allowed(rig, backend.ceilings)

        self._open_topics()
        self._marker_every = max(round(1.0 / (markers_hz * TICK)), 1)
        self._ticks = 0
        self._markers = Markers(rig.limits, FRAME)
        self._snapshot: Snapshot | None = None
        self._missed = 0
        self._device, self._described_with = "", None
        self._measured_at = -math.inf
        self._reported = None
        self.finished = threading.Event()
        self._diagnostics = Diagnostics(self, self._refresh)
        self._scheduling = take_precedence() if realtime else "normal"
        # A thread that wants to run waits at most this long for one that is running Python code.
        sys.setswitchinterval(_SWITCH_S)
        with ExitStack() as undo:
            undo.callback(backend.close)
            backend.connect()
            self._arm = Arm(rig, backend, armed)
            self._outbox = Mailbox(self._publish, self._on_failure, "publisher")
            undo.callback(self._outbox.end)
            self._loop = Loop(self._step, TICK, self._on_failure, "arm")
            if self._simulation:
                self._simulation.attach(self._arm, self._loop)
            self._loop.start()
            undo.pop_all()
        self.get_logger().info(
            f"arm '{robot}' with rig '{rig.name}', {'armed' if armed else 'stopped until arm/reset is called'}"
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
        """Brings the arm to rest and lets go of it, whatever else fails; a driver that hangs is left behind after a few seconds."""
        with ExitStack() as last:
            last.callback(self._let_go)
            last.callback(self._outbox.end)
            last.callback(self._loop.end)
            self._arm.stop("shutting_down")
            if self._loop.alive:
                self._arm.at_rest.wait(timeout=1.0)

    def _let_go(self) -> None:
        if trouble := self._arm.close():
            self.get_logger().error(trouble)

    # The loop's thread

    def _step(self, now: float) -> None:
        snapshot = self._arm.step()
        view = self._simulation.look() if self._simulation else None
        self._snapshot, self._stepped = snapshot, time.monotonic()
        # Publishing may block for a second when a subscriber is killed: the motors' loop must not wait for it.
        self._outbox.put((self.get_clock().now().nanoseconds, time.monotonic(), snapshot, view))

    def _on_failure(self, error: Exception) -> None:
        self.get_logger().fatal(f"the arm's loop has ended: {''.join(traceback.format_exception(error))}")
        self.exit_code = 1
        # Before the driver is asked for anything: it may be what hangs, and the process must end all the same.
        self.finished.set()
        self._arm.stop("shutting_down")
        self._arm.halt()

    # The publisher's thread

    def _publish(self, item) -> None:
        clock_ns, steady, snapshot, view = item
        motion = snapshot.motion
        header = Header(stamp=to_stamp(clock_ns), frame_id=FRAME)
        self._commanded_twist.publish(
            TwistStamped(header=header, twist=to_twist(motion.linear, motion.angular))
        )
        # A state that has been published is not published again: what stands still must look like it.
        if self._measured_at < snapshot.state.at < math.inf:
            self._measured_at = snapshot.state.at
            self._publish_state(
                Header(stamp=to_stamp(clock_ns - round(1e9 * (steady - snapshot.state.at))), frame_id=FRAME),
                snapshot,
            )
        if view:
            self._simulation.publish(view, header.stamp)
        if motion.state != self._reported:
            self._reported = motion.state
            self._report_gate()

    def _publish_state(self, header: Header, snapshot: Snapshot) -> None:
        state = snapshot.state
        if state.measured:
            self._pose.publish(PoseStamped(header=header, pose=to_pose(*state.measured)))
        if state.commanded and self._commanded_pose.get_subscription_count():
            self._commanded_pose.publish(PoseStamped(header=header, pose=to_pose(*state.commanded)))
        wanted = math.nan if snapshot.closure is None else snapshot.closure
        self._gripper.publish(
            JointState(header=header, name=_GRIPPER, position=array.array("d", (state.closure, wanted)))
        )
        if state.force is not None:
            torque = state.torque if state.torque is not None else (math.nan,) * 3
            self._wrench.publish(
                WrenchStamped(
                    header=header, wrench=Wrench(force=to_vector(state.force), torque=to_vector(torque))
                )
            )
        if self._joints.get_subscription_count():
            names, position, velocity = self._arm.backend.joint_names, state.joints, state.joint_velocities
            self._joints.publish(
                JointState(
                    header=header,
                    name=names,
                    position=array.array("d", position),
                    velocity=array.array("d", velocity),
                )
            )
        self._ticks += 1
        if (
            state.commanded
            and self._ticks % self._marker_every == 0
            and self._marker_array.get_subscription_count()
        ):
            self._marker_array.publish(self._markers.message(header, state.commanded, snapshot.motion))

    # The executor's thread

    def _on_twist(self, source: str, msg: TwistStamped, info) -> None:
        stamp = msg.header.stamp
        at = made(stamp, info, self.get_clock().now().nanoseconds, self._arm.gate.expiry)
        self._warn(
            source,
            "twist",
            self._arm.command(source, *from_twist(msg.twist), at, nanoseconds(stamp), msg.header.frame_id),
        )

    def _on_gripper(self, source: str, msg: Float32, info) -> None:
        self._warn(source, "gripper command", self._arm.gripper(source, msg.data, sent(info)))

    def _warn(self, source: str, what: str, refusal: str) -> None:
        if refusal in _TOLD:
            self.get_logger().warning(
                f"{what} from {source} refused: {_TOLD[refusal]}", throttle_duration_sec=1.0
            )

    def _on_stop(self, _, response: Trigger.Response) -> Trigger.Response:
        self._arm.stop()
        self.get_logger().warning("emergency stop: call arm/reset to release it")
        return _answer(response, "", "stopped until arm/reset is called")

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self._arm.reset(), "the arm may move")

    def _on_home(self, _, response: Trigger.Response) -> Trigger.Response:
        return _try(response, self._arm.go_home, "on the way home")

    def _on_clear_faults(self, _, response: Trigger.Response) -> Trigger.Response:
        return _try(
            response,
            self._arm.clear_faults,
            "the arm was asked to forget its faults: call arm/reset when it is safe",
        )

    def _set(self, option: str, value) -> None:
        try:
            self._arm.set(option, value)
        except backends.BackendError as error:
            self.get_logger().error(f"{option} is not set: {error}")

    def _refresh(self) -> None:
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
            "keeps its beat"
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
        # Only when it may have changed: the question needs the driver's lock, which the loop needs a hundred times a second.
        if faults != self._described_with:
            try:
                self._device, self._described_with = self._arm.describe(), faults
            except backends.BackendError as error:
                self._device = str(error)
        silent = time.monotonic() - self._stepped > PATIENCE_S
        if silent:
            faults = f"the arm's driver has not answered for {PATIENCE_S:g} s"
        level = ERROR if silent else WARN if homing else ERROR if faults else OK
        values = {
            "device": self._device,
            "homing": HOMING.get(homing, ""),
            "faults": faults,
            **self._arm.backend.values(),
        }
        self._diagnostics.status("backend", level, faults or "ready", values, state=faults)

    def _report_gate(self) -> None:
        motion, latched, gate = self._snapshot.motion, self._arm.gate.latched, self._arm.gate
        level = ERROR if motion.state == STOPPED else WARN if motion.reason in _WORRYING else OK
        message = _MESSAGES.get(motion.reason, motion.reason) + (
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


def _try(response: Trigger.Response, act, done: str) -> Trigger.Response:
    """Answers with what `act` returns, if that is a refusal, or with what went wrong with the arm."""
    try:
        return _answer(response, act() or "", done)
    except backends.BackendError as error:
        return _answer(response, str(error), done)


def _answer(response: Trigger.Response, refusal: str, done: str) -> Trigger.Response:
    response.success, response.message = not refusal, refusal or done
    return response


def main(args=None) -> int:
    # A terminal that is closed must bring the arm to rest like Ctrl-C, unless it was told to outlive its terminal.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    return run(ArmNode, args, errors=(ParameterError, RigError, backends.BackendError))


if __name__ == "__main__":
    sys.exit(main())
