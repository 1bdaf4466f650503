"""The running stack as an evaluation on the rig uses it: through its topics and services."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.qos import LATCHED, SENSOR
from gr1_common.stack_monitor import StackMonitor
from gr1_core import Rig
from gr1_evaluation.rig.judging import FAILURE, SUCCESS, Verdict, VerdictQueue
from gr1_evaluation.rig.trial_video import TrialVideo
from gr1_policy.episodes import Episode
from gr1_policy.trial_runner import TrialRunner

_ANSWER_S, _LOAD_S, _HOME_S = 15.0, 300.0, 90.0
_HOMING_STARTS_S, _SHOWN_S, _STATUS_S = 2.0, 1.0, 2.0
_STATIC = "camera/static/image_raw/compressed"


class RigError(RuntimeError):
    """The stack does not do what the evaluation needs; the text says what to do."""


class StackClient:
    """See `trials.Rig`. Its methods block and belong to one thread; `close` ends it.

    rig: the checkpoints' rig. seconds: of a trial. Set `automatic` before the first trial.
    """

    def __init__(self, namespace: str, rig: Rig, verdicts: VerdictQueue, seconds: float):
        self._monitor = StackMonitor("rig_evaluation", namespace)
        self._rig, self.automatic, self._seconds = rig, False, seconds
        node = self._node = self._monitor.node
        self._changed = threading.Condition()
        self._get_state = node.create_client(GetState, "policy/get_state")
        self._change_state = node.create_client(ChangeState, "policy/change_state")
        self._set_parameters = node.create_client(SetParameters, "policy/set_parameters")
        self._home = node.create_client(Trigger, "arm/home")
        self._twin = node.create_client(Trigger, "sim/reset")
        self._instruction = node.create_publisher(String, "instruction", LATCHED)
        self._state = node.create_publisher(String, "evaluation/state", LATCHED)
        self._scene = node.create_publisher(CompressedImage, "evaluation/start_scene", LATCHED)
        self._jpeg, self._shown, self._shown_at, self._overlay = b"", None, 0.0, None
        self._calls: list[str] = []
        self._taken_over = False
        node.create_subscription(CompressedImage, _STATIC, self._on_image, SENSOR)
        node.create_subscription(String, "policy/call", self._on_call, QoSProfile(depth=10))
        node.create_subscription(
            String,
            "evaluation/verdict",
            lambda message: self._on_verdict(message, verdicts),
            QoSProfile(depth=10),
        )
        # Silent without a twin.
        self._runner = TrialRunner(node, rig)
        self._video: TrialVideo | None = None
        self._episode: Episode | None = None
        self._monitor.start()

    def require(self) -> None:
        """Raises RigError where no stack runs, or one that cannot be evaluated."""
        until = time.monotonic() + _ANSWER_S
        while not (self._get_state.service_is_ready() and self._home.service_is_ready()):
            if time.monotonic() > until:
                raise RigError(
                    "no running stack with a policy was found: start one with gr1 up --checkpoint ... "
                    "--instruction TEXT, in the same ROS_DOMAIN_ID"
                )
            time.sleep(0.05)
        if self._monitor.node_counts()["task_sequence"]:
            raise RigError(
                "this stack does one task after the other by itself: start it with gr1 up --instruction "
                "TEXT, so that the evaluation sets the tasks"
            )
        self._wait(lambda: bool(self._jpeg), _ANSWER_S, f"an image on {_STATIC} (jpeg_quality above 0)")

    def simulated(self) -> bool:
        """Whether the arm is the twin. Known after `require`."""
        return self._twin.service_is_ready()

    def load(self, checkpoint: str) -> None:
        """Always anew, also where it is there already: the time that it takes tells nothing."""
        state = self._lifecycle()
        if state == State.PRIMARY_STATE_ACTIVE:
            self._change(Transition.TRANSITION_DEACTIVATE, _ANSWER_S)
            state = State.PRIMARY_STATE_INACTIVE
        if state == State.PRIMARY_STATE_INACTIVE:
            self._change(Transition.TRANSITION_CLEANUP, _ANSWER_S)
        request = SetParameters.Request(
            parameters=[Parameter("checkpoint", value=checkpoint).to_parameter_msg()]
        )
        answer = self._call(self._set_parameters, request, _ANSWER_S)
        if refused := [one.reason for one in answer.results if not one.successful]:
            raise RigError(f"the policy node refused the checkpoint: {'; '.join(refused)}")
        self._change(Transition.TRANSITION_CONFIGURE, _LOAD_S)

    def go_home(self) -> None:
        answer = self._call(self._home, Trigger.Request(), _ANSWER_S)
        if not answer.success:
            raise RigError(f"the arm does not go home: {answer.message}")
        began = time.monotonic()
        seen = False
        while time.monotonic() - began < _HOME_S:
            gate = self._monitor.snapshot().statuses.get("arm: gate")
            homing = bool(gate) and gate.values.get("source") == "home"
            seen |= homing
            if gate and gate.values.get("state") == "stopped":
                raise RigError(f"the arm stopped on its way home: {gate.message}")
            if not homing and (seen or time.monotonic() - began > _HOMING_STARTS_S):
                return
            time.sleep(0.1)
        raise RigError(f"the arm is not home after {_HOME_S:g} s: look after it, then give the command again")

    def arrange(self, task: str, seed: int, instruction: str) -> str:
        if self.simulated():
            from gr1_core.sim.tasks import find_task

            self._task = find_task(task) if self.automatic else None
            return self._runner.set_up(task, seed, instruction)
        self._instruction.publish(String(data=instruction))
        return instruction

    def start(self, image: Path, video: Path) -> None:
        self._calls, self._taken_over = [], False
        image.write_bytes(self._jpeg)
        self._video = TrialVideo(video, lambda: self._jpeg)
        self._change(Transition.TRANSITION_ACTIVATE, _ANSWER_S)
        if self.automatic:
            self._episode = Episode("", 0, self._seconds)
            self._task_began, self._states = self._runner.simulated_time(), []

    def judgement(self) -> Verdict | None:
        from gr1_core.eval.failures import failure_kind

        runner, episode = self._runner, self._episode
        due = self._task_began + len(self._states) * self._rig.period
        runner.wait(lambda: runner.simulated_time() >= due, "sim/state")
        self._states.append(np.array(runner.state))
        episode.step(runner.simulated_time() - self._task_began, self._task.is_success(runner.state))
        if episode.outcome is None:
            return None
        if episode.outcome:
            return Verdict(SUCCESS, "", "automatic")
        return Verdict(FAILURE, failure_kind(self._task.name, np.array(self._states)), "automatic")

    def stop(self) -> None:
        if self._lifecycle() == State.PRIMARY_STATE_ACTIVE:
            self._change(Transition.TRANSITION_DEACTIVATE, _ANSWER_S)
        if self._video:
            self._video.close()

    def calls(self) -> tuple[tuple[str, ...], bool]:
        return tuple(self._calls), self._taken_over

    def show(self, phase: str, state: dict, overlay: Path | None) -> None:
        """Published when it changes, and once a second for pages that have come late."""
        document = json.dumps({"phase": phase, "overlay": overlay is not None, **state})
        now = time.monotonic()
        if overlay != self._overlay:
            self._overlay = overlay
            data = overlay.read_bytes() if overlay else b""
            self._scene.publish(CompressedImage(format="jpeg", data=data))
        if phase != self._shown or now - self._shown_at > _SHOWN_S:
            self._shown, self._shown_at = phase, now
            self._state.publish(String(data=document))

    def close(self) -> None:
        """The policy rests; it keeps the last checkpoint."""
        if self._video:
            self._video.close()
        self._runner.close()
        self._monitor.close()

    # Internals

    def _lifecycle(self) -> int:
        return self._call(self._get_state, GetState.Request(), _LOAD_S).current_state.id

    def _change(self, transition: int, timeout: float) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        if not self._call(self._change_state, request, timeout).success:
            raise RigError(f"the policy node refuses: {self._refusal()}")

    def _refusal(self) -> str:
        """What the policy node says; its status comes a moment after its answer."""
        until = time.monotonic() + _STATUS_S
        while time.monotonic() < until:
            status = self._monitor.snapshot().statuses.get("policy: step")
            if status and status.level == "ERROR":
                return status.message
            time.sleep(0.05)
        return "see its log"

    def _call(self, client, request, timeout: float):
        self._wait(client.service_is_ready, _ANSWER_S, f"the service {client.srv_name}")
        future = client.call_async(request)
        future.add_done_callback(lambda _: self._notify())
        self._wait(future.done, timeout, f"the answer of {client.srv_name}")
        return future.result()

    def _wait(self, condition, timeout: float, what: str) -> None:
        until = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if time.monotonic() > until:
                    raise RigError(f"{what}: nothing within {timeout:g} s")
                self._changed.wait(0.1)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # The monitor's thread

    def _on_image(self, message: CompressedImage) -> None:
        self._jpeg = bytes(message.data)

    def _on_call(self, message: String) -> None:
        call = json.loads(message.data)
        if call["state"] == "calling" and call["reason"] not in self._calls:
            self._calls.append(call["reason"])
        self._taken_over |= call["state"] == "taken_over"

    def _on_verdict(self, message: String, verdicts: VerdictQueue) -> None:
        try:
            verdicts.put(Verdict.parse(message.data, "desk"))
        except ValueError as error:
            self._node.get_logger().warning(str(error))
