"""Examines a policy on the running simulated stack: lays a table, says a sentence, lets it act, judges; then the next.

Each trial begins with the arm at home and the policy's history forgotten: the policy's node is deactivated, the table laid, the sentence
said, and the node activated again once every frame that it may still use shows the new table.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState, TimeReference
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.messages import msg_to_image, nanoseconds
from gr1_common.qos import LATCHED
from gr1_common.stack_monitor import NEWEST, Monitor, yield_to_control
from gr1_core.rig import ROLES, Rig
from gr1_core.sim.tasks import TASKS
from gr1_evaluation.evaluation import Examination, Result, Trial
from gr1_policy.expert_episodes import Episode

PATIENCE = 15.0
_MARGIN = 0.05  # s beyond the age at which the policy refuses a frame
_EACH = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)


class ExaminerError(RuntimeError):
    """The stack does not do what an examination needs."""


class _Ended(Exception):
    """`close` was called."""


class Examiner:
    """Works in a thread of its own from `start` to the end of the examination or `close`. Make it before the monitor is started.

    say(text): a line for a person, after each trial. recording: is told of states, predictions and trials; None: nobody is.
    """

    def __init__(
        self, monitor: Monitor, examination: Examination, rig: Rig, say: Callable[[str], None], recording=None
    ):
        node = monitor.node
        self.examination, self._rig, self._say, self._recording = examination, rig, say, recording
        self.over, self.failure = False, ""
        self.latencies: list[float] = []
        """Seconds from each step's older frame to its command."""
        self.acted = 0.0
        """Seconds in which the policy was let go."""
        self._now: tuple[Trial, str, float] | None = None
        self._changed, self._closed = threading.Condition(), False
        self._state, self._stamp = np.zeros(0), 0
        self._instruction = node.create_publisher(String, "instruction", LATCHED)
        self._change = node.create_client(ChangeState, "policy/change_state")
        self._parameters = node.create_client(SetParameters, "arm/set_parameters")
        self._reset = node.create_client(Trigger, "sim/reset")
        self._clock = node.get_clock()
        node.create_subscription(JointState, "sim/state", self._on_state, NEWEST)
        node.create_subscription(TimeReference, "policy/step", self._on_step, _EACH)
        for role in ROLES if recording else ():
            node.create_subscription(
                Image, f"policy/predicted/{role}", partial(self._on_predicted, role), _EACH
            )
        self._thread = threading.Thread(target=self._run, name="examiner", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the trial of this moment, uncounted; the policy stays as it is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self, sentence: str) -> None:
        """A sentence that somebody has typed; see Examination.ask."""
        self.examination.ask(sentence)
        with self._changed:
            self._changed.notify_all()

    def now(self) -> tuple[Trial, str, float] | None:
        """The trial under way, its sentence and for how many seconds; None while the next one is made ready."""
        return self._now

    # The examination

    def _run(self) -> None:
        yield_to_control()
        try:
            while (trial := self.examination.next()) is not None:
                self._try(trial)
            self.over = True
        except _Ended:
            pass
        except ExaminerError as error:
            self.failure = str(error)
        except Exception as error:  # a thread's death would otherwise look like a very long trial
            self.failure = f"the examiner has failed: {error!r}"

    def _try(self, trial: Trial) -> None:
        sentence = self._lay(trial)
        if self._recording:
            self._recording.begin(sentence, trial.task)
        self._transition(Transition.TRANSITION_ACTIVATE)
        began = self._time()
        self._now = trial, sentence, 0.0
        episode = self._judge(trial, sentence, began)
        self._now = None
        self.acted += episode.seconds
        if self._recording:
            self._recording.end(episode.outcome)
        if episode.outcome is None:
            self.examination.skip(trial)
            return
        self.examination.add(Result(trial, sentence, bool(episode.outcome), episode.seconds))
        self._say(self._told(trial, sentence, episode))

    def _lay(self, trial: Trial) -> str:
        """A new table and an arm that waits at home; returns what was said."""
        self._transition(Transition.TRANSITION_DEACTIVATE)
        wanted = [Parameter("sim.task", value=trial.scene), Parameter("sim.seed", value=trial.seed)]
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in wanted])
        answer = self._call(self._parameters, request)
        if refused := [result.reason for result in answer.results if not result.successful]:
            raise ExaminerError(
                f"the arm node refused {trial.scene}, seed {trial.seed}: {'; '.join(refused)}"
            )
        answer = self._call(self._reset, Trigger.Request())
        if not answer.success:
            raise ExaminerError(f"sim/reset failed: {answer.message}")
        laid = self._clock.now().nanoseconds
        sentence = trial.sentence or json.loads(answer.message)["instruction"]
        self._instruction.publish(String(data=sentence))
        # Simulated time is real time here: whatever the policy may still take for new was then taken of this table.
        old = max(camera.max_age for camera in self._rig.cameras.values()) + _MARGIN
        self._wait(lambda: self._stamp > laid and self._time() > old, "sim/state of the new table")
        return sentence

    def _judge(self, trial: Trial, sentence: str, began: float) -> Episode:
        """Looks at a state once a control period, until the outcome is clear. An outcome of None: somebody has cut the trial short."""
        task, episode = TASKS.get(trial.task), Episode(trial.task, trial.seed, trial.seconds)
        looks = count()
        while episode.outcome is None:
            due = began + next(looks) * self._rig.period
            self._wait(lambda due=due: self.examination.cut or self._time() >= due, "sim/state")
            if self.examination.cut:
                break
            state = self._state
            self._now = trial, sentence, float(state[0]) - began
            episode.step(float(state[0]) - began, task is not None and task.done(state))
        return episode

    def _told(self, trial: Trial, sentence: str, episode: Episode) -> str:
        results = self.examination.results
        if not trial.task:
            return f"-  '{sentence}': no task has these words, so nobody has judged it"
        number = f"{len(results)}" + (f" of {self.examination.number}" if self.examination.number else "")
        outcome = "success" if episode.outcome else "FAILED"
        won = sum(result.success for result in results)
        return f"{number}  {outcome} after {episode.seconds:4.1f} s: '{sentence}' ({trial.scene}, seed {trial.seed}); {won} so far"

    def _time(self) -> float:
        """Simulated seconds since the table was laid."""
        return float(self._state[0]) if len(self._state) else 0.0

    # Waiting

    def _transition(self, which: int) -> None:
        """The policy's node begins or ends to act; it may be there already."""
        request = ChangeState.Request(transition=Transition(id=which))
        if not self._call(self._change, request).success and which == Transition.TRANSITION_ACTIVATE:
            raise ExaminerError("the policy's node cannot be activated: see its log")

    def _call(self, client, request):
        self._wait(client.service_is_ready, f"the service {client.srv_name}")
        future = client.call_async(request)
        future.add_done_callback(lambda _: self._notify())
        self._wait(future.done, f"an answer of {client.srv_name}")
        return future.result()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                if self._closed:
                    raise _Ended
                if time.monotonic() > until:
                    raise ExaminerError(f"{what} has not come within {PATIENCE:.0f} s")
                self._changed.wait(0.1)
            if self._closed:
                raise _Ended

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # The monitor's thread

    def _on_state(self, message: JointState) -> None:
        with self._changed:
            self._stamp, self._state = (
                nanoseconds(message.header.stamp),
                np.frombuffer(message.position, np.float64),
            )
            self._changed.notify_all()
        if self._recording:
            self._recording.state(1e-9 * self._stamp, self._state)

    def _on_step(self, message: TimeReference) -> None:
        self.latencies.append(1e-9 * (nanoseconds(message.header.stamp) - nanoseconds(message.time_ref)))

    def _on_predicted(self, role: str, message: Image) -> None:
        self._recording.predicted(role, 1e-9 * nanoseconds(message.header.stamp), msg_to_image(message))
