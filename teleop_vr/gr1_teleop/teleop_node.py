"""The teleoperation node: web pages and their server, the clutch, the recorder's buttons.

Publishes command/teleop/twist and command/teleop/gripper at the control rate while the clutch is engaged,
then one zero twist, and command/teleop/release where the person has let go. Usage:
docs/how-to/collect_demonstrations.md.
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
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Empty, Float32, Header, String

from gr1_common.conventions import BASE_FRAME
from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.loop import Loop
from gr1_common.messages import command_time, from_pose, to_twist
from gr1_common.parameters import ParameterError, declare
from gr1_common.process import run_node
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_core import images
from gr1_core.pose import Pose
from gr1_core.remote.certificate import CertificateError
from gr1_core.rig import ROLES, Rig, RigError
from gr1_teleop.clutch import RELEASED, Clutch
from gr1_teleop.clutch_settings import ClutchEvent, ClutchSettings, TeleopCommand
from gr1_teleop.control_loop import CHECK_PERIOD_S, ControlLoop
from gr1_teleop.emergency_stop import EmergencyStop
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.evaluation_client import EvaluationClient
from gr1_teleop.operator_link import OperatorLink
from gr1_teleop.page_clock import PageClock
from gr1_teleop.pairing import TokenError
from gr1_teleop.policy_call import PolicyCall
from gr1_teleop.recorder_client import RecorderClient
from gr1_teleop.robot_state import RobotState, closure_of
from gr1_teleop.scene_reset import SceneReset, SceneResetError
from gr1_teleop.server import PORT, Server, ServerError
from gr1_teleop.task_list import TaskList, TaskListError
from gr1_teleop.topic_monitor import TopicMonitor

_GATE, _EPISODE, _POLICY = "arm: gate", "recorder: episode", "policy: "
_FIGURES = "rtt_ms", "rtt_p99_ms", "offset_ms", "age_ms", "lost", "old"
_CHECK_PERIOD_S = 0.1
_POSE, _GRIPPER, _IMAGES = "arm/commanded_pose", "arm/gripper", "camera/{}/image_raw/compressed"
_PREDICTED, _PREDICTED_QUALITY = "policy/predicted/{}", 85


class TeleopNode(Node):
    """See the module's docstring. Raises ParameterError, RigError, ServerError, TokenError,
    CertificateError or TaskListError."""

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
            "Address on which the pages are served; 0.0.0.0: all addresses of this computer.",
            read_only=True,
        )
        port = declare(
            self,
            "port",
            PORT,
            "Port of the pages (HTTPS); 0: any free port.",
            low=0,
            high=65535,
            read_only=True,
        )
        token = declare(
            self,
            "token",
            "",
            "Pairing token, part of the address; empty: a random token per start.",
            read_only=True,
        )
        bags = declare(
            self,
            "bags",
            "bags",
            "Folder of the recorder's bags, for the list of episodes.",
            read_only=True,
        )
        instruction = declare(
            self,
            "instruction",
            "",
            "Instruction that is published at the start; empty: none.",
            read_only=True,
        )
        tasks = declare(
            self,
            "task_list",
            "",
            "YAML file with the instructions to demonstrate and how many episodes of each; empty: none.",
            read_only=True,
        )
        text = "Whether `instruction` is the simulated scene's own, which the next scene may replace."
        from_scene = declare(self, "scene_instruction", False, text, read_only=True)
        text = "Whether a page may move the arm; false: the pages watch and control the recorder only."
        operate = declare(self, "operate", True, text, read_only=True)
        text = "Simulated rig only: reset the scene (next seed) after each episode that a page has ended."
        reset_scene = declare(self, "reset_scene", False, text, read_only=True)
        hz = {
            role: declare(
                self, f"hz.camera_{role}", 20.0, "Nominal rate of this camera, Hz.", low=0.1, read_only=True
            )
            for role in ROLES
        }
        hz["arm"] = declare(
            self,
            "hz.arm",
            100.0,
            "Nominal rate of arm/commanded_pose and arm/gripper, Hz.",
            low=0.1,
            read_only=True,
        )
        settings = self._settings()

        self._expiry = 1.5 * rig.period
        began, age = time.monotonic(), rig.state.max_age
        topics = [
            TopicMonitor(_IMAGES.format(role), hz[role], rig.cameras[role].max_age, began) for role in ROLES
        ]
        self._robot = RobotState(
            age, [*topics, *(TopicMonitor(name, hz["arm"], age, began) for name in (_POSE, _GRIPPER))]
        )
        self._link = OperatorLink(Clutch(settings, rig.limits, rig.period), PageClock())
        self._control = ControlLoop(self._link, self._robot, rig.period, self._send)
        self.finished = threading.Event()
        self._predicted: list = []
        self._of_scene = ""
        """The instruction that the simulated scene gave last."""
        self._open_topics()
        self._diagnostics, self._reported = Diagnostics(self, self._report), (None, "")
        self.create_timer(
            _CHECK_PERIOD_S, self._check_clutch, clock=SteadyClock(clock_type=ClockType.STEADY_TIME)
        )
        self._loop = Loop(self._control.step, CHECK_PERIOD_S, self._on_failure, "teleop")
        with ExitStack() as undo:
            self._scene_reset = None
            if reset_scene:
                self._scene_reset = SceneReset(self, self._keep_instruction, self._publish_of_scene)
            recording = RecorderClient(
                self.get_namespace(),
                self._robot.recorder_state,
                self._publish_instruction,
                self._on_episode_ended,
                lambda: self._robot.evaluation,
                self._robot.judge,
            )
            undo.callback(recording.close)
            self._episodes = EpisodeControl(recording, bags, tasks=TaskList.load(tasks) if tasks else None)
            self._server = Server(
                self._link,
                self._episodes,
                self._robot,
                host,
                port,
                token,
                operate=operate,
                stop=EmergencyStop(self),
                timeout_s=settings.timeout_s,
                max_sample_age_s=settings.max_sample_age_s,
            )
            self._server.start()
            undo.callback(self._server.close)
            self._loop.start()
            self._undo = undo.pop_all()
        if instruction and from_scene and not tasks:
            self._publish_of_scene(instruction)
        else:
            self._episodes.begin("" if from_scene else instruction)
        # Printed before the first message on /diagnostics: a client that waits for it then has the address.
        print(self._server.pairing_text, flush=True)
        self._report()
        self.get_logger().info(f"ready: rig '{rig.name}', pages on port {self._server.port}")

    def _settings(self) -> ClutchSettings:
        text = "Arm motion per hand motion, m/m."
        scale = declare(self, "scale", 0.8, text, low=0.5, high=1.0, read_only=True)
        rotation = declare(
            self, "rotation", True, "Whether the hand's rotation turns the arm.", read_only=True
        )
        text = "Maximum {} speed in teleoperation, {}; 0: the rig's limit. The rig's limit always holds."
        speeds = {
            "max_linear": declare(
                self, "max_linear", 0.0, text.format("linear", "m/s"), low=0.0, high=2.0, read_only=True
            ),
            "max_angular": declare(
                self, "max_angular", 0.0, text.format("angular", "rad/s"), low=0.0, high=6.0, read_only=True
            ),
        }
        text = "Time without a sample of the hand after which the clutch opens, s."
        timeout = declare(self, "timeout_s", 0.15, text, low=0.05, high=0.5, read_only=True)
        text = "Distance between two samples of the hand from which the clutch opens, m."
        max_jump = declare(self, "max_jump", 0.05, text, low=0.01, high=0.5, read_only=True)
        limits = {name: speed or math.inf for name, speed in speeds.items()}
        return ClutchSettings(scale=scale, rotation=rotation, timeout_s=timeout, max_jump=max_jump, **limits)

    def _open_topics(self) -> None:
        self._twist = self.create_publisher(TwistStamped, "command/teleop/twist", COMMAND)
        self._gripper = self.create_publisher(Float32, "command/teleop/gripper", COMMAND)
        self._release = self.create_publisher(Empty, "command/teleop/release", COMMAND)
        self._instruction = self.create_publisher(String, "instruction", LATCHED)
        self.create_subscription(PoseStamped, _POSE, self._on_pose, SENSOR)
        self.create_subscription(JointState, _GRIPPER, self._on_gripper, SENSOR)
        for role in ROLES:
            self.create_subscription(
                CompressedImage, _IMAGES.format(role), partial(self._on_image, role), SENSOR
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.create_subscription(
            String, "recorder/state", lambda message: self._robot.set_recorder(message.data), LATCHED
        )
        self.create_subscription(String, "instruction", self._on_instruction, LATCHED)
        PolicyCall(self, self._robot)
        EvaluationClient(self, self._robot)

    def close(self) -> None:
        """Opens the clutch, sends the last zero twist, then closes the operator's connection, which may take
        seconds."""
        self._loop.end()
        self._link.release("teleoperation has ended")
        self._control.send_final_stop(time.monotonic())
        self._undo.close()

    # The loop's thread

    def _send(self, command: TeleopCommand) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=BASE_FRAME)
        self._twist.publish(TwistStamped(header=header, twist=to_twist(command.linear, command.angular)))
        if command.engaged:
            self._gripper.publish(Float32(data=command.closure))
        if any(event == ClutchEvent("released", RELEASED) for event in command.events):
            # After the zero twist. A person who was lost sends none: the arm then waits for a person.
            self._release.publish(Empty())

    def _on_failure(self, error: Exception) -> None:
        self.get_logger().fatal(f"the control loop has ended: {''.join(traceback.format_exception(error))}")
        self._end()

    def _end(self) -> None:
        self.exit_code = 1
        self.finished.set()

    # The executor's thread

    def _on_pose(self, message: PoseStamped, info) -> None:
        self._robot.on_message(_POSE)
        self._robot.set_pose(Pose(*from_pose(message.pose)), self._stamp_s(message, info))

    def _on_gripper(self, message: JointState, info) -> None:
        self._robot.on_message(_GRIPPER)
        self._robot.set_closure(
            closure_of(dict(zip(message.name, message.position))), self._stamp_s(message, info)
        )

    def _stamp_s(self, message, info) -> float:
        return command_time(message.header.stamp, info, self.get_clock().now().nanoseconds, self._expiry)

    def _on_image(self, role: str, message: CompressedImage) -> None:
        self._robot.on_message(_IMAGES.format(role))
        self._robot.set_image(role, bytes(message.data))

    def _subscribe_predicted(self, wanted: bool) -> None:
        """The policy decodes its predicted frames only while somebody subscribes to them."""
        if wanted == bool(self._predicted):
            return
        for subscription in self._predicted:
            self.destroy_subscription(subscription)
        self._predicted = [
            self.create_subscription(
                Image, _PREDICTED.format(role), partial(self._on_predicted, role), SENSOR
            )
            for role in (ROLES if wanted else ())
        ]

    def _on_predicted(self, role: str, message: Image) -> None:
        array = images.from_raw(message.encoding, message.height, message.width, message.step, message.data)
        self._robot.set_image(f"predicted_{role}", images.encode_jpeg(array, _PREDICTED_QUALITY))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == _GATE:
                self._robot.set_gate(status.message, {pair.key: pair.value for pair in status.values})
            elif status.name.startswith(_POLICY):
                values = {pair.key: pair.value for pair in status.values}
                subject = status.name.removeprefix(_POLICY)
                self._robot.set_policy(subject, int.from_bytes(status.level), status.message, values)
            elif status.name == _EPISODE:
                self._robot.set_recording_problem(status.message if status.level != OK else "")

    def _on_instruction(self, message: String) -> None:
        if message.data.strip():
            self._robot.instruction = message.data.strip()

    def _check_clutch(self) -> None:
        """Reports at once when the clutch engages or opens; follows the pages' wish for predicted frames."""
        self._subscribe_predicted(self._robot.predicted_wanted)
        now = self._link.operator, self._link.figures()["clutch"]
        if now[0] != self._reported[0]:
            self._control.reset_latencies()
        if now != self._reported:
            self._reported = now
            self._report()

    def _report(self) -> None:
        if not self._server.alive:
            self.get_logger().fatal("the web server has ended: see its error above")
            self._end()
        operator, figures, robot = self._link.operator, self._link.figures(), self._robot.status()
        kind, device = operator or ("", "")
        values = {
            "operator": device,
            "kind": kind,
            **{name: figures[name] for name in ("clutch", "why", "hand", *_FIGURES)},
            **self._control.figures(time.monotonic()),
            "missed": self._loop.missed,
            "port": self._server.port,
        }
        problems = [f"{row['topic']}: {row['problem']}" for row in robot["topics"] if row["problem"]]
        trouble = "; ".join(filter(None, [self._robot.blocked, *problems, *robot["warnings"]]))
        if figures["clutch"] == "engaged":
            usual = f"{device} moves the arm"
        else:
            usual = f"{device} is connected" if device else "waiting for an operator"
        level = ERROR if self.finished.is_set() else WARN if trouble else OK
        self._diagnostics.status(
            "operator", level, trouble or usual, values, state=(device, figures["clutch"])
        )

    # The server's threads

    def _on_episode_ended(self) -> None:
        if not self._scene_reset:
            return
        self._link.release("the scene is reset")
        try:
            self._scene_reset.next_scene()
        except SceneResetError as error:
            self.get_logger().error(str(error))

    def _keep_instruction(self) -> bool:
        """Whether a person gave the present instruction, here or from another program."""
        now = self._robot.instruction
        return bool(now) and (now != self._of_scene or now == self._episodes.instruction)

    def _publish_of_scene(self, text: str) -> None:
        self._of_scene = text
        self._publish_instruction(text)

    def _publish_instruction(self, text: str) -> None:
        self._instruction.publish(String(data=text))


def main(args=None) -> int:
    return run_node(
        TeleopNode,
        args,
        errors=(ParameterError, RigError, ServerError, TokenError, CertificateError, TaskListError),
    )


if __name__ == "__main__":
    sys.exit(main())
