"""The scripted expert: does episodes of the simulated rig on the policy's command topics. Simulation only."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable

import numpy as np
import scipy.spatial.transform  # noqa: F401  else the expert imports it at its first command
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32, Header, String
from std_srvs.srv import Trigger

from gr1_common.diagnostics import OK, WARN, Diagnostics
from gr1_common.messages import nanoseconds, to_twist
from gr1_common.parameters import ParameterError, declare
from gr1_common.process import run_node
from gr1_common.qos import COMMAND, LATCHED, SENSOR
from gr1_core.rig import Rig, RigError
from gr1_policy.episode_plan import declare_plan
from gr1_policy.episodes import Episode, Tally

FRAME = "base_link"


class ExpertNode(Node):
    """See the module's text. Raises ParameterError or RigError for what the user can mend."""

    exit_code = 0

    def __init__(self):
        super().__init__("expert")
        rig = Rig.load(
            declare(self, "rig", "kinova_gen2", "Built-in rig or path of its YAML file.", read_only=True)
        )
        self._plan = declare_plan(self, seeds=10, timeout=30.0)
        self._exit = declare(
            self, "exit_when_done", True, "Whether the process ends after the last episode.", read_only=True
        )
        record = declare(
            self, "record", False, "Record each episode through the recorder's services.", read_only=True
        )
        arm = declare(
            self,
            "arm_node",
            "arm",
            "Name of the arm node, whose sim.task and sim.seed are set.",
            read_only=True,
        )

        self._control_hz, self._max_age_ns = rig.control_hz, int(rig.state.max_age * 1e9)
        self._episodes, self.tally = self._plan.episodes(), Tally()
        self._episode: Episode | None = None
        self._expert = None
        self._state: JointState | None = None
        self._since = 0
        self._success = False
        self._busy = self._done = False
        self.finished = threading.Event()

        self._twist = self.create_publisher(TwistStamped, "command/policy/twist", COMMAND)
        self._gripper = self.create_publisher(Float32, "command/policy/gripper", COMMAND)
        self._instruction = self.create_publisher(String, "instruction", LATCHED)
        self.create_subscription(JointState, "sim/state", self._on_state, SENSOR)
        self.create_subscription(Bool, "sim/success", self._on_success, COMMAND)
        self._parameters = self.create_client(SetParameters, f"{arm}/set_parameters")
        self._reset = self.create_client(Trigger, "sim/reset")
        names = ("start", "success", "failure") if record else ()
        self._recorder = {name: self.create_client(Trigger, f"recorder/{name}") for name in names}
        self._recorder_heard = not record
        if record:
            # Created after the clients: when this is heard, the recorder has discovered them, and no answer
            # is lost.
            self.create_subscription(String, "recorder/state", self._on_recorder, LATCHED)
        self._diagnostics = Diagnostics(self, self._report)
        self.create_timer(rig.period, self._step, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        if self.tally.finished:
            print(f"{self.tally.table()}\n{self.tally.document()}", flush=True)

    # One control step

    def _step(self) -> None:
        if self._done or self._busy:
            return
        if self._episode is None:
            self._next()
            return
        msg, now = self._state, self.get_clock().now()
        if msg is None or now.nanoseconds - nanoseconds(msg.header.stamp) > self._max_age_ns:
            return  # no command on old data: the gate then brings the arm to rest
        state = np.frombuffer(msg.position, np.float64)
        self._episode.step(float(state[0]), self._success)
        if self._episode.outcome is None:
            command = self._expert.act(state)
            self._send(command.linear, command.angular, now)
            self._gripper.publish(Float32(data=command.closure))
        else:
            self._send(np.zeros(3), np.zeros(3), now)
            self._finish()

    def _send(self, linear: np.ndarray, angular: np.ndarray, now) -> None:
        header = Header(stamp=now.to_msg(), frame_id=FRAME)
        self._twist.publish(TwistStamped(header=header, twist=to_twist(linear, angular)))

    def _finish(self) -> None:
        episode, self._episode = self._episode, None
        self._call_recorder("success" if episode.outcome else "failure", lambda: self._count(episode))

    def _count(self, episode: Episode) -> None:
        self.tally.add(episode)
        self.get_logger().info(
            f"episode {len(self.tally.finished)}: {episode.task}, seed {episode.seed}: "
            f"{'success' if episode.outcome else 'failed'} after {episode.seconds:.1f} s "
            f"({self.tally.successes} so far)"
        )

    # The next episode: set the arm node's parameters, reset, publish the instruction

    def _next(self) -> None:
        clients = (self._parameters, self._reset, *self._recorder.values())
        missing = [client.srv_name for client in clients if not client.service_is_ready()]
        if missing or not self._recorder_heard:
            self.get_logger().info(
                f"waiting for {', '.join(missing) or 'recorder/state'}", throttle_duration_sec=5.0
            )
            return
        choice = next(self._episodes, None)
        if choice is None:
            self._done = True
            if self._exit:
                self.finished.set()
            return
        self._busy = True
        task, seed = choice
        wanted = [Parameter("sim.task", value=task), Parameter("sim.seed", value=seed)]
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in wanted])
        self._parameters.call_async(request).add_done_callback(
            lambda future: self._on_parameters(future.result(), task, seed)
        )

    def _on_parameters(self, response: SetParameters.Response, task: str, seed: int) -> None:
        refused = [result.reason for result in response.results if not result.successful]
        if refused:
            self._fail(f"the arm node refused {task}, seed {seed}: {'; '.join(refused)}")
            return
        self._reset.call_async(Trigger.Request()).add_done_callback(
            lambda future: self._on_reset(future.result(), task, seed)
        )

    def _on_reset(self, response: Trigger.Response, task: str, seed: int) -> None:
        from gr1_core.sim import Expert

        if not response.success:
            self._fail(f"sim/reset failed: {response.message}")
            return
        self._instruction.publish(String(data=json.loads(response.message)["instruction"]))
        self._call_recorder(
            "start",
            lambda: self._begin(Episode(task, seed, self._plan.timeout), Expert(task, self._control_hz)),
        )

    def _begin(self, episode: Episode, expert) -> None:
        self._episode, self._expert = episode, expert
        # States and results of the scene before may still be on their way.
        self._since, self._state, self._success = self.get_clock().now().nanoseconds, None, False

    def _call_recorder(self, what: str, then: Callable[[], None]) -> None:
        """Calls recorder/<what>, then `then()`; without a recorder `then()` at once. A refusal ends it."""

        def answered(future) -> None:
            if not future.result().success:
                self._fail(f"{self._recorder[what].srv_name} was refused: {future.result().message}")
                return
            self._busy = False
            then()

        if self._recorder:
            self._busy = True
            self._recorder[what].call_async(Trigger.Request()).add_done_callback(answered)
        else:
            self._busy = False
            then()

    def _fail(self, text: str) -> None:
        self.get_logger().fatal(text)
        self.exit_code = 1
        self.finished.set()

    def _on_state(self, msg: JointState) -> None:
        if nanoseconds(msg.header.stamp) > self._since:
            self._state = msg

    def _on_success(self, msg: Bool) -> None:
        self._success = msg.data

    def _on_recorder(self, _: String) -> None:
        self._recorder_heard = True

    def _report(self) -> None:
        now = self.get_clock().now().nanoseconds
        age = (now - nanoseconds(self._state.header.stamp)) * 1e-6 if self._state else float("inf")
        stale = self._episode is not None and age * 1e6 > self._max_age_ns
        values = {
            "task": self._episode.task if self._episode else "",
            "seed": self._episode.seed if self._episode else "",
            "episodes": len(self.tally.finished),
            "successes": self.tally.successes,
            "state_age_ms": age,
        }
        text = "no new sim/state: is the arm node alive?" if stale else "done" if self._done else "playing"
        self._diagnostics.status("episodes", WARN if stale else OK, text, values)


def main(args=None) -> int:
    return run_node(ExpertNode, args, errors=(ParameterError, RigError))


if __name__ == "__main__":
    sys.exit(main())
