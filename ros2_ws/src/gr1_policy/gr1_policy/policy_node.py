"""GR-1 as a lifecycle node. configure: load and warm up; activate: act; deactivate: rest.

docs/reference/interfaces.md has topics, services and parameters. Alone:
`gr1 node policy --ros-args -p checkpoint:=DIR -p autostart:=true`.
"""

from __future__ import annotations

import functools
import sys
import threading
import time

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import Image, JointState, TimeReference
from std_msgs.msg import Float32, String
from std_srvs.srv import Trigger

from gr1_common import messages, process, qos
from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.mailbox import Mailbox
from gr1_common.parameters import ParameterError, declare
from gr1_core import Rig
from gr1_core.rig import RigError
from gr1_policy import checks, demonstrator_topics, loading
from gr1_policy.call_topics import CallTopics
from gr1_policy.controller import Controller, Step
from gr1_policy.demonstrator import Demonstrator
from gr1_policy.inputs import Inputs
from gr1_policy.operator_call import OperatorCall
from gr1_policy.policy_parameters import declare_parameters
from gr1_policy.policy_source import open_source
from gr1_policy.prediction_monitor import PredictionMonitor
from gr1_policy.prediction_panel import Panel

_TOO_SLOW, _ASK_AGAIN = 0.8, 0.9
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """See the module's text. `load` makes the policy from (checkpoint, rig, precision, threads)."""

    def __init__(self, load=loading.load, **options):
        super().__init__("policy", **options)
        self._load = load
        declare_parameters(self)
        text = "configure and activate at start; the process ends if that fails"
        self.autostart = declare(self, "autostart", False, text, read_only=True)
        self.finished, self.exit_code = threading.Event(), 0
        self._controller: Controller | None = None
        self._monitor: PredictionMonitor | None = None
        self._demonstrator: Demonstrator | None = None
        self._instruction, self._latched, self._stop_called = "", False, float("-inf")
        self._entities: list[tuple] = []
        self._diagnostics = Diagnostics(self, self._refresh)
        self._diagnostics.status("step", WARN, "not configured", {})
        self.add_on_set_parameters_callback(self._check)
        self.add_post_set_parameters_callback(lambda _: self._set())

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        value = {name: parameter.value for name, parameter in self.get_parameters_by_prefix("").items()}
        began = time.monotonic()
        try:
            self._rig = Rig.load(value["rig"])
            self._source = open_source(value, self._rig, self._load, self.get_logger().warning)
        except (ValueError, OSError) as error:
            return self._refuse(str(error))
        except Exception as error:  # rclpy would swallow it
            return self._refuse(f"{type(error).__name__}: {error}")
        name, policy = self._source.name, self._source.policy
        if name == loading.UNTRAINED:
            self.get_logger().warning(loading.UNTRAINED_WARNING)
        self._runs_on = self._source.runs_on
        self.get_logger().info(
            f"checkpoint {name} is ready after {time.monotonic() - began:.1f} s: {self._runs_on}"
        )
        self._calibrated = self._source.find_calibration(value["prediction_limit"])
        baseline = self._calibrated.baseline if self._calibrated else None
        ages = {name: camera.max_age for name, camera in self._rig.cameras.items()}
        self._inputs = Inputs(
            ages | {"arm": self._rig.state.max_age, "gripper": self._rig.state.max_age}, value["max_skew_s"]
        )
        self._panel = Panel(policy.config.future_steps, self._rig.period)
        self._monitor = (
            PredictionMonitor(
                policy.config.future_steps, self._rig.period, baseline, cameras=tuple(self._rig.cameras)
            )
            if value["prediction_monitor"]
            else None
        )
        self._connect()
        self._calls = CallTopics(self, self._monitor)
        watch = not value["act"]
        self._demonstrator = (
            demonstrator_topics.watch(self._subscribe, self._rig, self._source) if watch else None
        )
        call = OperatorCall(value["prediction_call_s"], self._calls.on_change)
        self._controller = Controller(
            policy,
            self._rig,
            self._inputs,
            self,
            max_gap=value["max_gap_periods"] * self._rig.period,
            max_action_age=value["max_action_age_periods"] * self._rig.period,
            blend=value["blend_s"],
            monitor=self._monitor,
            act=value["act"],
            instruction=self._instruction or value["instruction"],
            decode_early=not self._source.remote,
            call=call,
            demonstrator=self._demonstrator,
        )
        self._calls.attach(self._controller)
        if self._source.remote:
            policy.on_lost = self._controller.interrupt
        self._set()
        self._viewer = Mailbox(self._publish_step, self._viewer_failed, "viewer")
        self._refresh()
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._controller.start()
        doing = (
            f"'{self._controller.instruction}'"
            if self._controller.instruction
            else "waiting for an instruction"
        )
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
        """Stops the arm, ends the threads, frees model and topics. May be called again."""
        if self._controller is None:
            return
        self._controller.stop()
        self._source.close()
        self._viewer.end()
        self._calls.close()
        for entity, destroy in self._entities:
            destroy(entity)
        self._entities, self._controller, self._monitor = [], None, None

    def destroy_node(self) -> None:
        super().destroy_node()
        # rclpy leaves it, and with it the node's name and services stay in the graph.
        self._state_machine.destroy_when_not_in_use()

    def _refuse(self, why: str) -> TransitionCallbackReturn:
        self.get_logger().error(f"cannot configure: {why}")
        self._diagnostics.status("step", ERROR, f"cannot configure: {why}", {})
        return FAILURE

    # Parameters that may be set while it runs

    def _check(self, changes) -> SetParametersResult:
        try:
            for change in changes:
                if change.name == "sim.delay_s":
                    loading.require_simulation(self.get_parameter("robot").value, change.value)
                elif change.name == "prediction_limit" and self._controller:
                    loading.require_monitor(self._monitor is not None, change.value)
                    self._source.find_calibration(change.value)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _set(self) -> None:
        if self._controller:
            self._controller.delay = self.get_parameter("sim.delay_s").value
        if self._monitor:
            asked = self.get_parameter("prediction_limit").value
            self._monitor.limit = self._calibrated.resolve(asked) if self._calibrated else asked

    # Topics

    def _connect(self) -> None:
        reliability = self.get_parameter("image_reliability").value
        for name in self._rig.cameras:
            callback = functools.partial(self._image, name)
            self._subscribe(Image, f"camera/{name}/image_raw", callback, qos.sensor_profile(reliability))
        self._subscribe(PoseStamped, "arm/pose", self._pose, qos.SENSOR)
        self._subscribe(JointState, "arm/gripper", self._gripper, qos.SENSOR)
        self._subscribe(String, "instruction", self._instruct, qos.LATCHED)
        self._twist = self._publisher(TwistStamped, "command/policy/twist", qos.COMMAND)
        self._closure = self._publisher(Float32, "command/policy/gripper", qos.COMMAND)
        self._predicted = {
            name: self._publisher(Image, f"policy/predicted/{name}", qos.SENSOR) for name in self._rig.cameras
        }
        self._panels = self._publisher(Image, "policy/panel", qos.SENSOR)
        self._steps = self._publisher(TimeReference, "policy/step", qos.SENSOR)
        self._stop = self.create_client(Trigger, "arm/stop")
        self._entities.append((self._stop, self.destroy_client))

    def _subscribe(self, kind, topic: str, callback, profile) -> None:
        self._entities.append(
            (self.create_subscription(kind, topic, callback, profile), self.destroy_subscription)
        )

    def _publisher(self, kind, topic: str, profile):
        publisher = self.create_publisher(kind, topic, profile)
        self._entities.append((publisher, self.destroy_publisher))
        return publisher

    def _put(self, stream: str, stamp, value) -> None:
        self._inputs.add_sample(stream, messages.seconds(stamp), time.monotonic(), value)

    def _image(self, name: str, message: Image) -> None:
        try:
            image = messages.msg_to_image(message)
        except messages.ImageError as error:
            return self._inputs.refuse_sample(name, time.monotonic(), str(error))
        self._put(name, message.header.stamp, image)

    def _pose(self, message: PoseStamped) -> None:
        pose = messages.from_pose(message.pose)
        if why := checks.check_pose(*pose, self._rig.limits):
            return self._inputs.refuse_sample("arm", time.monotonic(), why)
        self._put("arm", message.header.stamp, pose)

    def _gripper(self, message: JointState) -> None:
        closure = dict(zip(message.name, message.position)).get("closure_command")
        why = (
            checks.check_closure(closure)
            if closure is not None
            else f"it has no 'closure_command', only {list(message.name)}"
        )
        if why:
            return self._inputs.refuse_sample("gripper", time.monotonic(), why)
        self._put("gripper", message.header.stamp, closure)

    def _instruct(self, message: String) -> None:
        self._instruction = message.data.strip()
        if not self._instruction:
            return self.get_logger().warning(
                "an empty instruction is ignored; deactivate the node to stop it"
            )
        self.get_logger().info(f"instruction: '{self._instruction}'")
        self._controller.instruct(self._instruction)
        if self._demonstrator:
            self._demonstrator.reset()

    # What the controller calls, in its own threads

    def now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def send_command(self, linear: np.ndarray, angular: np.ndarray, closure: float) -> None:
        message = TwistStamped(twist=messages.to_twist(linear, angular))
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), "base_link"
        self._twist.publish(message)
        self._closure.publish(Float32(data=closure))

    def send_rest(self) -> None:
        message = TwistStamped()
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), "base_link"
        self._twist.publish(message)

    def stop_arm(self, reason: str) -> None:
        self.get_logger().error(f"the policy has halted and stops the arm: {reason}")
        self._latched = False
        self._call_stop()

    def slow_policy(self, slow: bool) -> bool:
        return self._calls.slow_policy(slow)

    def wants_future(self) -> bool:
        return any(
            publisher.get_subscription_count() for publisher in (*self._predicted.values(), self._panels)
        )

    def publish_step(self, step: Step) -> None:
        self._viewer.post(step)

    def report_failure(self, error: str) -> None:
        self.get_logger().error(f"no step: {error}", throttle_duration_sec=1.0)

    def fault_changed(self) -> None:
        self._refresh()

    def _call_stop(self) -> None:
        """Calls arm/stop, at most once a second: an answer takes its time."""
        if time.monotonic() - self._stop_called < _ASK_AGAIN:
            return
        self._stop_called = time.monotonic()
        if not self._stop.service_is_ready():
            return self.get_logger().error(
                "the service arm/stop is not there: the arm is only commanded to rest",
                throttle_duration_sec=5.0,
            )
        self._stop.call_async(Trigger.Request()).add_done_callback(self._on_stopped)

    def _on_stopped(self, answer) -> None:
        self._latched = answer.result() is not None and answer.result().success

    # Viewers and diagnostics

    def _publish_step(self, step: Step) -> None:
        stamp = messages.to_stamp(round(step.stamp * 1e9))
        reference = TimeReference(time_ref=stamp, source="cameras")
        reference.header.stamp = messages.to_stamp(round(step.sent * 1e9))
        self._steps.publish(reference)
        if step.future is not None:
            for name, publisher in self._predicted.items():
                publisher.publish(
                    messages.image_to_msg(getattr(step.future, name), stamp, f"camera_{name}_optical_frame")
                )
        panel = self._panel.add(step)
        if panel is not None and self._panels.get_subscription_count():
            self._panels.publish(messages.image_to_msg(panel, stamp, "policy_panel"))

    def _viewer_failed(self, error: Exception) -> None:
        # The arm does not depend on these images, so the policy goes on and the log says why they have
        # ended.
        self.get_logger().error(f"predicted frames and panel have ended: {error!r}")

    def _refresh(self) -> None:
        if self._controller is None:
            return
        controller, steady = self._controller, time.monotonic()
        if controller.halted and not self._latched:
            self._call_stop()
        self._calls.refresh()
        self._report_inputs(steady)
        self._report_prediction()
        self._report_server()
        if self._demonstrator:
            values = self._demonstrator.values(steady)
            self._diagnostics.status("disagreement", OK, demonstrator_topics.STATUS, values)
        statistics, hz = controller.statistics, self._rig.control_hz
        if controller.halted:
            level, message = (
                ERROR,
                f"halted: {controller.halted}. Look at the rig, call arm/reset, then give an instruction",
            )
        elif controller.error:
            level, message = ERROR, controller.error
        elif self._state_machine.current_state[1] != "active":
            level, message = WARN, "not active"
        elif not controller.instruction:
            level, message = WARN, "waiting for an instruction"
        elif statistics.steps > 2 * hz and statistics.rate(steady) < _TOO_SLOW * hz:
            level, message = WARN, f"fewer than {hz:g} steps a second: the computer or a camera is too slow"
        else:
            level, message = (
                OK,
                "acting" if self.get_parameter("act").value else "watching, sends no commands",
            )
        values = statistics.values(steady) | {"runs_on": self._runs_on}
        self._diagnostics.status("step", level, message, values)

    def _report_inputs(self, steady: float) -> None:
        ages, pair = self._inputs.ages(self.now(), steady), self._inputs.pair()
        values = {
            f"{name}_age_ms": 1e3 * ages[name] if name in ages else "none"
            for name in (*self._rig.cameras, "arm")
        }
        stamps = [sample.stamp for sample in pair.values()]
        values["skew_ms"] = 1e3 * (max(stamps) - min(stamps)) if stamps else "none"
        fault = self._inputs.fault(self.now(), steady)
        self._diagnostics.status("inputs", ERROR if fault else OK, fault or "all streams are fresh", values)

    def _report_server(self) -> None:
        if self._source.remote:
            server = self._source.policy
            lost = server.connection_error
            said = f"no connection to {server.url}: {lost}" if lost else f"connected to {server.url}"
            self._diagnostics.status("server", ERROR if lost else OK, said, server.latency.values())

    def _report_prediction(self) -> None:
        if self._monitor is None:
            return self._diagnostics.status("prediction", OK, "off", {})
        level = WARN if self._monitor.limit and self._monitor.blind() else OK
        message = self._monitor.summary()
        if self._controller.halted:
            level, message = ERROR, self._controller.halted
        elif call := self._controller.call.call:
            level, message = WARN, f"calls the operator: {call.reason}"
        self._diagnostics.status("prediction", level, message, self._monitor.values())


def main(args: list[str] | None = None) -> int:
    def make() -> PolicyNode:
        node = PolicyNode()
        if node.autostart:
            node.start()
        return node

    return process.run_node(make, args, (ParameterError, RigError), prepare=loading.import_model)


if __name__ == "__main__":
    sys.exit(main())
