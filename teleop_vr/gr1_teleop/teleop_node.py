"""The teleoperation node: pages and their server, the clutch, the recorder's buttons. docs/how-to/collect_demonstrations.md says how it is used.

Sends command/teleop/twist and command/teleop/gripper at the control rate, and only while the operator squeezes; one zero twist ends it.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.clock import Clock as SteadyClock
from rclpy.clock import ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float32, Header, String

from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.loop import Loop
from gr1_common.messages import from_pose, made, to_twist
from gr1_common.parameters import ParameterError, declare
from gr1_common.process import run
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_core.rig import ROLES, Rig, RigError
from gr1_robot.arm.backend import Pose
from gr1_robot.arm.gate import FRAME
from gr1_teleop.certificate import CertificateError
from gr1_teleop.clock import Clock
from gr1_teleop.clutch import Clutch
from gr1_teleop.control_loop import BEAT_S, Driver
from gr1_teleop.episodes import Episodes
from gr1_teleop.link import Link
from gr1_teleop.pairing import TokenError
from gr1_teleop.recording import Recording
from gr1_teleop.robot_state import Robot, closure_of
from gr1_teleop.scene_reset import TableError, Tables
from gr1_teleop.server import PORT, Server, ServerError
from gr1_teleop.settings import Command, Settings
from gr1_teleop.topics import Topic

_GATE, _EPISODE = "arm: gate", "recorder: episode"
_LOOK_S = 0.1
_POSE, _GRIPPER, _PICTURES = "arm/commanded_pose", "arm/gripper", "camera/{}/image_raw/compressed"


class TeleopNode(Node):
    """See the module's text. Raises ParameterError, RigError, ServerError, TokenError or CertificateError for what the user can mend."""

    exit_code = 0

    def __init__(self):
        super().__init__("teleop")
        rig = Rig.load(
            declare(self, "rig", "kinova_gen2", "Built-in rig or path of its YAML file.", read_only=True)
        )
        host = declare(
            self,
            "host",
            "0.0.0.0",
            "Address that the pages are served on; 0.0.0.0: all of this computer's.",
            read_only=True,
        )
        port = declare(
            self,
            "port",
            PORT,
            "Port of the pages (HTTPS); 0: any free one.",
            low=0,
            high=65535,
            read_only=True,
        )
        token = declare(
            self,
            "token",
            "",
            "Pairing token, part of the address; empty: a random one for each start.",
            read_only=True,
        )
        bags = declare(
            self,
            "bags",
            "bags",
            "Folder that the recorder puts its bags into, for the list of episodes.",
            read_only=True,
        )
        instruction = declare(
            self,
            "instruction",
            "",
            "What is to be demonstrated, said at the start; empty: nothing.",
            read_only=True,
        )
        text = "Simulated rig only: lay a new table after each episode that a page has ended."
        new_tables = declare(self, "new_tables", False, text, read_only=True)
        hz = {
            role: declare(
                self, f"hz.camera_{role}", 20.0, "Nominal rate of this camera.", low=0.1, read_only=True
            )
            for role in ROLES
        }
        hz["arm"] = declare(
            self,
            "hz.arm",
            100.0,
            "Nominal rate of arm/commanded_pose and arm/gripper.",
            low=0.1,
            read_only=True,
        )
        settings = self._settings()

        self._expiry = 1.5 * rig.period
        began, age = time.monotonic(), rig.state.max_age
        topics = [Topic(_PICTURES.format(role), hz[role], rig.cameras[role].max_age, began) for role in ROLES]
        self._robot = Robot(
            age, [*topics, *(Topic(name, hz["arm"], age, began) for name in (_POSE, _GRIPPER))]
        )
        self._link = Link(Clutch(settings, rig.limits, rig.period), Clock())
        self._driver = Driver(self._link, self._robot, rig.period, self._send)
        self.finished = threading.Event()
        self._open_topics()
        self._diagnostics, self._told = Diagnostics(self, self._report), (None, "")
        self.create_timer(_LOOK_S, self._look, clock=SteadyClock(clock_type=ClockType.STEADY_TIME))
        self._loop = Loop(self._driver.step, BEAT_S, self._on_failure, "teleop")
        with ExitStack() as undo:
            self._tables = Tables(self, self._instruct) if new_tables else None
            recording = Recording(
                self.get_namespace(), self._robot.recorder_state, self._instruct, self._on_ended
            )
            undo.callback(recording.close)
            self._server = Server(self._link, Episodes(recording, bags), self._robot, host, port, token)
            self._server.start()
            undo.callback(self._server.close)
            self._loop.start()
            self._undo = undo.pop_all()
        if instruction:
            self._instruct(instruction)
        # Before the first word on /diagnostics: whoever waits for that has the address then.
        print(self._server.invitation, flush=True)
        self._report()
        self.get_logger().info(f"ready: rig '{rig.name}', pages on port {self._server.port}")

    def _settings(self) -> Settings:
        text = "Metres of the arm for one of the hand."
        scale = declare(self, "scale", 0.8, text, low=0.5, high=1.0, read_only=True)
        rotation = declare(self, "rotation", True, "Whether the hand also turns the arm.", read_only=True)
        text = "Fastest {} of the arm under teleoperation in {}; 0: the rig's limit, which it never exceeds."
        speeds = {
            "max_linear": declare(
                self, "max_linear", 0.0, text.format("motion", "m/s"), low=0.0, high=2.0, read_only=True
            ),
            "max_angular": declare(
                self, "max_angular", 0.0, text.format("turn", "rad/s"), low=0.0, high=6.0, read_only=True
            ),
        }
        text = "Seconds without a word from the hand after which the clutch opens."
        silence = declare(self, "silence_s", 0.15, text, low=0.05, high=0.5, read_only=True)
        text = "Metres between two samples from which on the hand has jumped, and the clutch opens."
        jump = declare(self, "jump", 0.05, text, low=0.01, high=0.5, read_only=True)
        limits = {name: speed or math.inf for name, speed in speeds.items()}
        return Settings(scale=scale, rotation=rotation, silence_s=silence, jump=jump, **limits)

    def _open_topics(self) -> None:
        self._twist = self.create_publisher(TwistStamped, "command/teleop/twist", COMMAND)
        self._gripper = self.create_publisher(Float32, "command/teleop/gripper", COMMAND)
        self._instruction = self.create_publisher(String, "instruction", LATCHED)
        self.create_subscription(PoseStamped, _POSE, self._on_pose, SENSOR)
        self.create_subscription(JointState, _GRIPPER, self._on_gripper, SENSOR)
        for role in ROLES:
            self.create_subscription(
                CompressedImage, _PICTURES.format(role), partial(self._on_picture, role), SENSOR
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.create_subscription(
            String, "recorder/state", lambda message: self._robot.recorder(message.data), LATCHED
        )
        self.create_subscription(String, "instruction", self._on_instruction, LATCHED)

    def close(self) -> None:
        """Opens the clutch, sends the last zero twist, and then says goodbye to the operator, which may take seconds."""
        self._loop.end()
        self._link.release("teleoperation has ended")
        self._driver.rest(time.monotonic())
        self._undo.close()

    # The loop's thread

    def _send(self, command: Command) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=FRAME)
        self._twist.publish(TwistStamped(header=header, twist=to_twist(command.linear, command.angular)))
        if command.engaged:
            self._gripper.publish(Float32(data=command.closure))

    def _on_failure(self, error: Exception) -> None:
        self.get_logger().fatal(f"the control loop has ended: {''.join(traceback.format_exception(error))}")
        self._end()

    def _end(self) -> None:
        self.exit_code = 1
        self.finished.set()

    # The executor's thread

    def _on_pose(self, message: PoseStamped, info) -> None:
        self._robot.heard(_POSE)
        self._robot.at(Pose(*from_pose(message.pose)), self._made(message, info))

    def _on_gripper(self, message: JointState, info) -> None:
        self._robot.heard(_GRIPPER)
        self._robot.told(closure_of(dict(zip(message.name, message.position))), self._made(message, info))

    def _made(self, message, info) -> float:
        return made(message.header.stamp, info, self.get_clock().now().nanoseconds, self._expiry)

    def _on_picture(self, role: str, message: CompressedImage) -> None:
        self._robot.heard(_PICTURES.format(role))
        self._robot.saw(role, bytes(message.data))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == _GATE:
                self._robot.gate(status.message, {pair.key: pair.value for pair in status.values})
            elif status.name == _EPISODE:
                self._robot.recording(status.message if status.level != OK else "")

    def _on_instruction(self, message: String) -> None:
        if message.data.strip():
            self._robot.instruction = message.data.strip()

    def _look(self) -> None:
        """A clutch that catches or opens is told at once."""
        now = self._link.operator, self._link.figures()["clutch"]
        if now[0] != self._told[0]:
            self._driver.forget()
        if now != self._told:
            self._told = now
            self._report()

    def _report(self) -> None:
        if not self._server.alive:
            self.get_logger().fatal("the server of the pages has ended: its error is above")
            self._end()
        operator, figures, robot = self._link.operator, self._link.figures(), self._robot.status()
        kind, device = operator or ("", "")
        values = {
            "operator": device,
            "kind": kind,
            **{
                name: figures[name]
                for name in ("clutch", "why", "rtt_ms", "rtt_p99_ms", "offset_ms", "age_ms", "lost", "old")
            },
            **self._driver.figures(time.monotonic()),
            "missed": self._loop.missed,
            "port": self._server.port,
        }
        troubles = [f"{row['topic']}: {row['trouble']}" for row in robot["topics"] if row["trouble"]]
        told = "; ".join(filter(None, [self._robot.blocked, *troubles, *robot["warnings"]]))
        usual = (
            f"{device} drives"
            if figures["clutch"] == "engaged"
            else f"{device} is here"
            if device
            else "waiting for an operator"
        )
        level = ERROR if self.finished.is_set() else WARN if told else OK
        self._diagnostics.status("operator", level, told or usual, values, state=(device, figures["clutch"]))

    # The server's threads

    def _on_ended(self) -> None:
        if not self._tables:
            return
        self._link.release("a new table is laid")
        try:
            self._tables.next()
        except TableError as error:
            self.get_logger().error(str(error))

    def _instruct(self, text: str) -> None:
        self._instruction.publish(String(data=text))


def main(args=None) -> int:
    return run(TeleopNode, args, errors=(ParameterError, RigError, ServerError, TokenError, CertificateError))


if __name__ == "__main__":
    sys.exit(main())
