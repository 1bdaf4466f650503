"""GR-1 as a lifecycle node. configure: load and warm up; activate: act; deactivate: rest. docs/interfaces.md has the names.
Start it with `python -m gr1_policy.policy_node --ros-args -p checkpoint:=DIR -p autostart:=true`.
"""

from __future__ import annotations

import functools
import sys
import threading
import time

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32, String

from gr1_core import Rig
from gr1_core.rig import RigError
from gr1_policy import loading
from gr1_policy.controller import Controller, Step
from gr1_policy.inputs import CAMERAS, Inputs
from gr1_policy.panel import Panel
from gr1_robot import messages, process, qos
from gr1_robot.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_robot.mailbox import Mailbox
from gr1_robot.parameters import ParameterError, declare

_TOO_SLOW = 0.8
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """See the module's text. `load` makes the policy from (checkpoint, rig, robot, precision, threads)."""

    def __init__(self, load=loading.load, **options):
        super().__init__("policy", **options)
        self._load = load
        declare(self, "checkpoint", "", "checkpoint folder; empty: a small seeded UNTRAINED model, for robot 'sim' only")
        declare(self, "rig", "kinova_gen2", "rig that the checkpoint must fit: name of a built-in one or a YAML file")
        declare(self, "robot", "sim", "robot that is driven", choices=("sim", "kinova_gen2", "kortex"))
        precisions = ("auto", "fp32", "bf16", "fp64")
        declare(self, "precision", "auto", "arithmetic of the model; auto: what this processor does fast", choices=precisions)
        declare(self, "threads", 0, "threads of the model's linear algebra; 0: the library's choice", low=0, high=256)
        declare(self, "instruction", "", "what to do until the topic 'instruction' says something; empty: wait for it")
        declare(self, "act", True, "false: run and predict, but send no commands")
        declare(self, "ignore_replay", False, "true: act even with a checkpoint that failed its open-loop replay (`gr1 replay`)")
        declare(self, "image_reliability", "best_effort", "QoS of the camera subscriptions", choices=qos.RELIABILITIES)
        text = "configure and activate at start; the process ends if that fails"
        self.autostart = declare(self, "autostart", False, text, read_only=True)
        self.finished, self.exit_code = threading.Event(), 0
        self._controller: Controller | None = None
        self._instruction, self._ready = "", ""
        self._entities: list[tuple] = []
        self._diagnostics = Diagnostics(self, self._refresh)
        self._diagnostics.status("step", WARN, "not configured", {})

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        names = ("checkpoint", "rig", "robot", "precision", "threads", "instruction", "act", "ignore_replay")
        value = {name: self.get_parameter(name).value for name in names}
        began = time.monotonic()
        try:
            self._rig = Rig.load(value["rig"])
            if value["act"]:
                loading.require_replay(value["checkpoint"], value["ignore_replay"])
            policy = self._load(value["checkpoint"], self._rig, value["robot"], value["precision"], value["threads"])
        except (ValueError, OSError) as error:
            return self._refuse(str(error))
        except Exception as error:  # rclpy would swallow it
            return self._refuse(f"{type(error).__name__}: {error}")
        if not value["checkpoint"]:
            self.get_logger().warning(loading.UNTRAINED)
        self.get_logger().info(f"{value['checkpoint'] or 'untrained demo model'} is ready after {time.monotonic() - began:.1f} s")
        ages = {name: self._rig.cameras[name].max_age for name in CAMERAS}
        self._inputs = Inputs(ages | {"arm": self._rig.state.max_age, "gripper": self._rig.state.max_age})
        self._panel = Panel(policy.config.future_steps, self._rig.period)
        self._connect()
        self._controller = Controller(policy, self._rig, self._inputs, self, value["act"], self._instruction or value["instruction"])
        self._viewer = Mailbox(self._publish_step, self._viewer_failed, "viewer")
        self._refresh()
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._controller.start()
        doing = f"'{self._controller.instruction}'" if self._controller.instruction else "waiting for an instruction"
        self.get_logger().info(f"active: {doing}")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._controller.stop()
        self._refresh()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        self.finished.set()
        return super().on_shutdown(state)

    def start(self) -> None:
        """configure and activate; where that fails, the process is to end with exit code 1."""
        if self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS:
            return
        self.exit_code = 1
        self.finished.set()

    def close(self) -> None:
        """Rest, end the threads, let go of model and topics. Harmless when there is nothing."""
        if self._controller is None:
            return
        self._controller.stop()
        self._viewer.end()
        for entity, destroy in self._entities:
            destroy(entity)
        self._entities, self._controller = [], None

    def destroy_node(self) -> None:
        super().destroy_node()
        # rclpy leaves it, and with it the node's name and services stay in the graph.
        self._state_machine.destroy_when_not_in_use()

    def _refuse(self, why: str) -> TransitionCallbackReturn:
        self.get_logger().error(f"cannot configure: {why}")
        self._diagnostics.status("step", ERROR, f"cannot configure: {why}", {})
        return FAILURE

    # Topics

    def _connect(self) -> None:
        reliability = self.get_parameter("image_reliability").value
        for name in CAMERAS:
            callback = functools.partial(self._image, name)
            self._subscribe(Image, f"camera/{name}/image_raw", callback, qos.sensor(reliability))
        self._subscribe(PoseStamped, "arm/pose", self._pose, qos.SENSOR)
        self._subscribe(JointState, "arm/gripper", self._gripper, qos.SENSOR)
        self._subscribe(String, "instruction", self._instruct, qos.LATCHED)
        self._twist = self._publisher(TwistStamped, "command/policy/twist", qos.COMMAND)
        self._closure = self._publisher(Float32, "command/policy/gripper", qos.COMMAND)
        self._predicted = {name: self._publisher(Image, f"policy/predicted/{name}", qos.SENSOR) for name in CAMERAS}
        self._panels = self._publisher(Image, "policy/panel", qos.SENSOR)

    def _subscribe(self, kind, topic: str, callback, profile) -> None:
        self._entities.append((self.create_subscription(kind, topic, callback, profile), self.destroy_subscription))

    def _publisher(self, kind, topic: str, profile):
        publisher = self.create_publisher(kind, topic, profile)
        self._entities.append((publisher, self.destroy_publisher))
        return publisher

    def _put(self, stream: str, stamp, value) -> None:
        self._inputs.put(stream, messages.seconds(stamp), time.monotonic(), value)

    def _image(self, name: str, message: Image) -> None:
        try:
            self._put(name, message.header.stamp, messages.msg_to_image(message))
        except messages.ImageError as error:
            self.get_logger().error(f"camera/{name}/image_raw: {error}", throttle_duration_sec=1.0)

    def _pose(self, message: PoseStamped) -> None:
        self._put("arm", message.header.stamp, messages.from_pose(message.pose))

    def _gripper(self, message: JointState) -> None:
        closure = dict(zip(message.name, message.position)).get("closure_command")
        if closure is None:
            return self.get_logger().error(f"arm/gripper has no 'closure_command', only {list(message.name)}", throttle_duration_sec=1.0)
        self._put("gripper", message.header.stamp, closure)

    def _instruct(self, message: String) -> None:
        self._instruction = message.data.strip()
        if not self._instruction:
            return self.get_logger().warning("an empty instruction is ignored; deactivate the node to stop it")
        self.get_logger().info(f"instruction: '{self._instruction}'")
        self._controller.instruct(self._instruction)

    # What the controller calls, in its own threads

    def now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def send(self, linear: np.ndarray, angular: np.ndarray, closure: float) -> None:
        message = TwistStamped(twist=messages.to_twist(linear, angular))
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), "base_link"
        self._twist.publish(message)
        self._closure.publish(Float32(data=closure))

    def rest(self) -> None:
        message = TwistStamped()
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), "base_link"
        self._twist.publish(message)

    def wants_future(self) -> bool:
        return any(publisher.get_subscription_count() for publisher in (*self._predicted.values(), self._panels))

    def show(self, step: Step) -> None:
        self._viewer.put(step)

    def report(self, error: str) -> None:
        self.get_logger().error(f"no step: {error}", throttle_duration_sec=1.0)

    def fault_changed(self) -> None:
        self._refresh()

    # Viewers and diagnostics

    def _publish_step(self, step: Step) -> None:
        stamp = messages.to_stamp(round(step.stamp * 1e9))
        if step.future is not None:
            for name, publisher in self._predicted.items():
                publisher.publish(messages.image_to_msg(getattr(step.future, name), stamp, f"camera_{name}_optical_frame"))
        panel = self._panel.add(step)
        if panel is not None and self._panels.get_subscription_count():
            self._panels.publish(messages.image_to_msg(panel, stamp, "policy_panel"))

    def _viewer_failed(self, error: Exception) -> None:
        # The arm does not depend on pictures: it goes on, and the user reads why there are none.
        self.get_logger().error(f"predicted frames and panel have ended: {error!r}")

    def _refresh(self) -> None:
        if self._controller is None:
            return
        controller, steady = self._controller, time.monotonic()
        ages = self._inputs.ages(self.now(), steady)
        values = {f"{name}_age_ms": 1e3 * ages[name] if name in ages else "none" for name in ("static", "wrist", "arm")}
        fault = self._inputs.fault(self.now(), steady)
        self._diagnostics.status("inputs", ERROR if fault else OK, fault or "all streams are fresh", values)
        active = self._state_machine.current_state[1] == "active"
        if controller.error:
            level, message = ERROR, controller.error
        elif not active:
            level, message = WARN, "not active"
        elif not controller.instruction:
            level, message = WARN, "waiting for an instruction"
        elif (
            controller.statistics.steps > 2 * self._rig.control_hz and controller.statistics.rate(steady) < _TOO_SLOW * self._rig.control_hz
        ):
            level, message = WARN, f"fewer than {self._rig.control_hz:g} steps a second: the computer or a camera is too slow"
        else:
            level, message = OK, "acting" if self.get_parameter("act").value else "watching, sends no commands"
        self._diagnostics.status("step", level, message, controller.statistics.values(steady))


def main(args: list[str] | None = None) -> int:
    def make() -> PolicyNode:
        node = PolicyNode()
        if node.autostart:
            node.start()
        return node

    return process.run(make, args, (ParameterError, RigError))


if __name__ == "__main__":
    sys.exit(main())
