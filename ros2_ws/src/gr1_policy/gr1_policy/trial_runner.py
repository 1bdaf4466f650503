"""Runs trials of the policy on the simulated table, with new tables and instructions.

Each trial begins with the arm at home and an empty policy history. The policy node is deactivated, the table
is reset, the instruction is published, and the node is activated when every frame that it may still use
shows the new table.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from itertools import count

import numpy as np
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.messages import nanoseconds
from gr1_common.qos import LATCHED, SENSOR
from gr1_core.rig import Rig
from gr1_policy.episodes import Episode

TIMEOUT_S = 15.0
_ASK_AGAIN_S = 5.0
_MARGIN_S = 0.05  # beyond the age at which the policy refuses a frame


class TrialError(RuntimeError):
    """The stack does not do what a trial needs."""


class TrialsClosed(Exception):
    """`close` was called."""


class TrialRunner:
    """Works through `node`, which another thread spins; its methods block and belong to one thread.

    rig: the stack's rig. on_state(stamp s, state): called for every sim/state, in the spinning thread; None:
    nothing is.
    """

    def __init__(self, node: Node, rig: Rig, on_state: Callable[[float, np.ndarray], None] | None = None):
        self._rig, self._on_state_too = rig, on_state
        self._changed, self._closed = threading.Condition(), False
        self._state, self._stamp = np.zeros(0), 0
        self._clock = node.get_clock()
        self._instruction = node.create_publisher(String, "instruction", LATCHED)
        self._change_state = node.create_client(ChangeState, "policy/change_state")
        self._get_state = node.create_client(GetState, "policy/get_state")
        self._set_parameters = node.create_client(SetParameters, "arm/set_parameters")
        self._reset = node.create_client(Trigger, "sim/reset")
        node.create_subscription(JointState, "sim/state", self._on_state, SENSOR)

    def close(self) -> None:
        """Every method that blocks raises TrialsClosed from now on. The policy stays as it is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def notify(self) -> None:
        """A condition that a method waits for may have changed."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_stack(self, waiting: Callable[[str], None]) -> None:
        """Waits without a time limit until arm and policy answer. waiting(text): every 5 s, for what."""
        for client in (self._set_parameters, self._reset, self._change_state, self._get_state):
            while not self._poll(client.service_is_ready, _ASK_AGAIN_S):
                waiting(f"the service {client.srv_name}")
        while True:  # a policy that still loads answers late
            answer = self._get_state.call_async(GetState.Request())
            answer.add_done_callback(lambda _: self.notify())
            if self._poll(answer.done, _ASK_AGAIN_S):
                return
            waiting("the policy, which is still loading")

    def set_up(self, task: str, seed: int, instruction: str = "") -> str:
        """A new table of that task's layout and an inactive policy; returns the instruction that was
        published.

        instruction: empty: the task's own. Raises TrialError.
        """
        self._set_policy_active(False)
        wanted = [Parameter("sim.task", value=task), Parameter("sim.seed", value=seed)]
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in wanted])
        answer = self._call(self._set_parameters, request)
        if refused := [result.reason for result in answer.results if not result.successful]:
            raise TrialError(f"the arm node refused {task}, seed {seed}: {'; '.join(refused)}")
        answer = self._call(self._reset, Trigger.Request())
        if not answer.success:
            raise TrialError(f"sim/reset failed: {answer.message}")
        reset_at = self._clock.now().nanoseconds
        instruction = instruction or json.loads(answer.message)["instruction"]
        self._instruction.publish(String(data=instruction))
        # Simulated time is real time here: whatever the policy still takes for new was then taken of this
        # table.
        old = max(camera.max_age for camera in self._rig.cameras.values()) + _MARGIN_S
        self.wait(
            lambda: self._stamp > reset_at and self.simulated_time() > old, "sim/state of the new table"
        )
        return instruction

    def activate(self) -> None:
        """Lets the policy act."""
        self._set_policy_active(True)

    def run(
        self,
        episode: Episode,
        success: Callable[[np.ndarray], bool],
        interrupted: Callable[[], bool] = lambda: False,
        on_step: Callable[[float], None] = lambda seconds: None,
    ) -> Episode:
        """Follows the active policy until the episode has an outcome, or until it is interrupted: the
        outcome is None then.

        success(state): the task's test, asked once a control period. on_step(s): simulated seconds since
        this call.
        """
        began, steps = self.simulated_time(), count()
        while episode.outcome is None:
            due = began + next(steps) * self._rig.period
            self.wait(lambda due=due: interrupted() or self.simulated_time() >= due, "sim/state")
            if interrupted():
                break
            state = self._state
            seconds = float(state[0]) - began
            on_step(seconds)
            episode.step(seconds, success(state))
        return episode

    @property
    def state(self) -> np.ndarray:
        """The twin's newest state."""
        return self._state

    def simulated_time(self) -> float:
        """Simulated seconds since the last reset."""
        return float(self._state[0]) if len(self._state) else 0.0

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Raises TrialError when the condition does not come true in time."""
        if not self._poll(condition, TIMEOUT_S):
            raise TrialError(f"{what}: nothing within {TIMEOUT_S:.0f} s")

    def _poll(self, condition: Callable[[], bool], timeout: float) -> bool:
        until = time.monotonic() + timeout
        with self._changed:
            while not self._closed and not condition():
                if time.monotonic() > until:
                    return False
                self._changed.wait(0.1)
            if self._closed:
                raise TrialsClosed
        return True

    def _set_policy_active(self, active: bool) -> None:
        """rclpy ends a lifecycle node at a transition that its state does not have, so the state is asked
        for first.
        """
        wanted = State.PRIMARY_STATE_ACTIVE if active else State.PRIMARY_STATE_INACTIVE
        if self._call(self._get_state, GetState.Request()).current_state.id == wanted:
            return
        which = Transition.TRANSITION_ACTIVATE if active else Transition.TRANSITION_DEACTIVATE
        if not self._call(self._change_state, ChangeState.Request(transition=Transition(id=which))).success:
            raise TrialError(f"the policy node cannot be {'' if active else 'de'}activated: see its log")

    def _call(self, client, request):
        self.wait(client.service_is_ready, f"the service {client.srv_name}")
        future = client.call_async(request)
        future.add_done_callback(lambda _: self.notify())
        self.wait(future.done, f"the answer of {client.srv_name}")
        return future.result()

    def _on_state(self, message: JointState) -> None:
        with self._changed:
            self._stamp = nanoseconds(message.header.stamp)
            self._state = np.frombuffer(message.position, np.float64)
            self._changed.notify_all()
        if self._on_state_too:
            self._on_state_too(1e-9 * self._stamp, self._state)
