"""The arm node: commands in, the gate at 100 Hz, the arm, its state out. Names and types are in docs/interfaces.md."""

from __future__ import annotations

import array
import math
import sys
import threading
import traceback
from functools import partial

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from gr1_core.rig import Rig, RigError
from gr1_robot import backend as backends
from gr1_robot.arm import Arm
from gr1_robot.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_robot.gate import STOPPED, TICK
from gr1_robot.loop import Loop
from gr1_robot.mailbox import Mailbox
from gr1_robot.markers import Markers
from gr1_robot.messages import from_twist, sent, to_pose, to_twist
from gr1_robot.parameters import ParameterError, declare, declare_options
from gr1_robot.process import run, take_precedence
from gr1_robot.qos import COMMAND, SENSOR
from gr1_robot.simulation import Simulation

FRAME = "base_link"
_SWITCH_S = 5e-4
_GRIPPER = ("closure", "closure_command")
_WORRYING = ("expired", "not_finite", "jump", "no_pose", "leash")
_TOLD = {
    "not_finite": "it is not finite",
    "jump": "it is far beyond the speed limit",
    "old": "it was sent too long ago: the network is slow, or the clocks of two computers differ",
}
_MESSAGES = {
    "none": "following commands",
    "speed": "following commands, slowed to the speed limit",
    "workspace": "kept inside the workspace",
    "leash": "the arm does not follow: something holds it, or it is at the end of its reach",
    "no_command": "waiting for a first command",
    "zero_command": "commanded to rest",
    "expired": "commands have stopped coming",
    "not_finite": "the last command was not finite",
    "jump": "the last command was far beyond the speed limit",
    "no_pose": "the arm reports no pose",
    "emergency_stop": "emergency stop: call arm/reset when it is safe",
    "not_armed": "not armed: call arm/reset when it is safe",
    "backend_fault": "the arm reports a fault: mend it, then call arm/reset",
    "shutting_down": "shutting down",
}


class ArmNode(Node):
    """See the module's text. Raises ParameterError, RigError or BackendError for what the user can mend."""

    exit_code = 0

    def __init__(self):
        super().__init__("arm")
        robot = declare(self, "robot", "sim", "Which arm: the name of a backend.", read_only=True, choices=backends.names())
        rig = Rig.load(declare(self, "rig", "kinova_gen2", "Name of a built-in rig or path of its YAML file.", read_only=True))
        armed = declare(
            self, "arm_on_start", robot == "sim", "Whether the arm may move before a person has called arm/reset.", read_only=True
        )
        markers_hz = declare(self, "markers_hz", 10.0, "Rate of arm/markers.", low=0.1, high=100.0, read_only=True)
        realtime = declare(
            self,
            "realtime",
            True,
            "Ask the system for real-time scheduling, so that cameras and networks do not delay the loop. Goes on without if refused.",
            read_only=True,
        )
        simulation = Simulation(self) if robot == "sim" else None
        backend = backends.load(robot, rig, declare_options(self, robot, backends.options(robot), self._set))
        backend.connect()

        self._arm = Arm(rig, backend, armed)
        self._marker_every = max(round(1.0 / (markers_hz * TICK)), 1)
        self._ticks = 0
        self._markers = Markers(rig.limits, FRAME)
        self._pose = self.create_publisher(PoseStamped, "arm/pose", SENSOR)
        self._commanded_pose = self.create_publisher(PoseStamped, "arm/commanded_pose", SENSOR)
        self._commanded_twist = self.create_publisher(TwistStamped, "arm/commanded_twist", SENSOR)
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR)
        self._gripper = self.create_publisher(JointState, "arm/gripper", SENSOR)
        self._marker_array = self.create_publisher(MarkerArray, "arm/markers", SENSOR)
        for source in ("teleop", "policy"):
            self.create_subscription(TwistStamped, f"command/{source}/twist", partial(self._on_twist, source), COMMAND)
            self.create_subscription(Float32, f"command/{source}/gripper", partial(self._on_gripper, source), COMMAND)
        self.create_service(Trigger, "arm/stop", self._on_stop)
        self.create_service(Trigger, "arm/reset", self._on_reset)
        self.create_service(Trigger, "arm/home", self._on_home)
        self._motion = None
        self._missed = 0
        self.finished = threading.Event()
        self._diagnostics = Diagnostics(self, self._refresh)
        self._scheduling = take_precedence() if realtime else "normal"
        # A thread that wants to run waits at most this long for one that is running Python code.
        sys.setswitchinterval(_SWITCH_S)
        self._reported = None
        self._outbox = Mailbox(self._publish, self._on_failure, "publisher")
        self._loop = Loop(self._step, TICK, self._on_failure, "arm")
        self._simulation = simulation
        if simulation:
            simulation.attach(self._arm, self._loop)
        self._loop.start()
        self.get_logger().info(f"arm '{robot}' with rig '{rig.name}', {'armed' if armed else 'stopped until arm/reset is called'}")

    def close(self) -> None:
        """Brings the arm to rest and lets go of it."""
        self._arm.stop("shutting_down")
        if self.exit_code == 0:
            self._arm.at_rest.wait(timeout=1.0)
        self._loop.end()
        self._outbox.end()
        self._arm.backend.close()

    # The loop's thread

    def _step(self, now: float) -> None:
        snapshot = self._arm.step()
        view = self._simulation.look() if self._simulation else None
        self._motion = snapshot.motion
        # Publishing may block for a second when a subscriber is killed: the motors' loop must not wait for it.
        self._outbox.put((self.get_clock().now().to_msg(), snapshot, view))

    def _on_failure(self, error: Exception) -> None:
        self._arm.backend.stop()
        self.get_logger().fatal(f"the arm's loop has ended: {''.join(traceback.format_exception(error))}")
        self.exit_code = 1
        self.finished.set()

    # The publisher's thread

    def _publish(self, item) -> None:
        stamp, (state, motion, closure, *_), view = item
        header = Header(stamp=stamp, frame_id=FRAME)
        self._commanded_twist.publish(TwistStamped(header=header, twist=to_twist(motion.linear, motion.angular)))
        if state.measured:
            self._pose.publish(PoseStamped(header=header, pose=to_pose(*state.measured)))
        if view:
            self._simulation.publish(view, stamp)
        if state.commanded and self._commanded_pose.get_subscription_count():
            self._commanded_pose.publish(PoseStamped(header=header, pose=to_pose(*state.commanded)))
        wanted = math.nan if closure is None else closure
        self._gripper.publish(JointState(header=header, name=_GRIPPER, position=array.array("d", (state.closure, wanted))))
        if self._joints.get_subscription_count():
            self._joints.publish(
                JointState(
                    header=header,
                    name=self._arm.backend.joint_names,
                    position=array.array("d", state.joints),
                    velocity=array.array("d", state.joint_velocities),
                )
            )
        self._ticks += 1
        if state.commanded and self._ticks % self._marker_every == 0 and self._marker_array.get_subscription_count():
            self._marker_array.publish(self._markers.message(header, state.commanded, motion))

        if motion.state != self._reported:
            self._reported = motion.state
            self._report_gate()

    # The executor's thread

    def _on_twist(self, source: str, msg: TwistStamped, info) -> None:
        self._warn(source, "twist", self._arm.command(source, *from_twist(msg.twist), sent(info)))

    def _on_gripper(self, source: str, msg: Float32, info) -> None:
        self._warn(source, "gripper command", self._arm.gripper(source, msg.data, sent(info)))

    def _warn(self, source: str, what: str, refusal: str) -> None:
        if refusal in _TOLD:
            self.get_logger().warning(f"{what} from {source} refused: {_TOLD[refusal]}", throttle_duration_sec=1.0)

    def _on_stop(self, _, response: Trigger.Response) -> Trigger.Response:
        self._arm.stop()
        self.get_logger().warning("emergency stop: call arm/reset to release it")
        return _answer(response, "", "stopped until arm/reset is called")

    def _on_reset(self, _, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self._arm.reset(), "the arm may move")

    def _on_home(self, _, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self._arm.go_home(), "on the way home")

    def _set(self, option: str, value) -> None:
        with self._arm.lock:
            self._arm.backend.set(option, value)

    def _refresh(self) -> None:
        self._report_gate()
        loop = self._loop
        level = WARN if loop.missed > self._missed else OK
        self._missed = loop.missed
        message = "keeps its beat" if level == OK else "missed its deadline within the last second: the computer is too busy"
        periods = loop.rate.periods
        values = {
            "rate_hz": loop.rate.hz,
            "period_p50_ms": 1e3 * periods.quantile(0.5),
            "period_p99_ms": 1e3 * periods.quantile(0.99),
            "missed": loop.missed,
            "scheduling": self._scheduling,
        }
        self._diagnostics.status("loop", level, message, values)

    def _report_gate(self) -> None:
        motion, latched = self._motion, self._arm.gate.latched
        if motion is None:
            return
        level = ERROR if motion.state == STOPPED else WARN if motion.reason in _WORRYING else OK
        message = _MESSAGES.get(motion.reason, motion.reason)
        values = {"state": motion.state, "reason": motion.reason, "source": motion.source, **self._arm.gate.counts}
        self._diagnostics.status("gate", level, message, values, state=(motion.state, latched))


def _answer(response: Trigger.Response, refusal: str, done: str) -> Trigger.Response:
    response.success, response.message = not refusal, refusal or done
    return response


def main(args=None) -> int:
    return run(ArmNode, args, errors=(ParameterError, RigError, backends.BackendError))


if __name__ == "__main__":
    sys.exit(main())
