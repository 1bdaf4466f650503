"""Evaluates a policy on the running simulated stack, trial by trial."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, TimeReference

from gr1_common.messages import msg_to_image, nanoseconds
from gr1_common.scheduling import lower_scheduling_priority
from gr1_common.stack_monitor import StackMonitor
from gr1_core.rig import ROLES, Rig
from gr1_core.sim.tasks import TASKS
from gr1_evaluation.evaluation import Evaluation, Result, Trial
from gr1_policy.episodes import Episode
from gr1_policy.trial_runner import TrialError, TrialRunner, TrialsClosed

_EACH = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)


class Evaluator:
    """Works in a thread of its own from `start` to the end of the evaluation or `close`. Make it before the
    monitor is started.

    say(text): prints a line, after each trial. recording: gets states, predicted frames and trials; None: no
    recording.
    """

    def __init__(
        self,
        monitor: StackMonitor,
        evaluation: Evaluation,
        rig: Rig,
        say: Callable[[str], None],
        recording=None,
    ):
        node = monitor.node
        self.evaluation, self._say, self._recording = evaluation, say, recording
        self.over, self.failure = False, ""
        self.latencies: list[float] = []
        """Seconds from each step's older frame to its command."""
        self.acted = 0.0
        """Seconds in which the policy was active."""
        self._current: tuple[Trial, str, float] | None = None
        self._runner = TrialRunner(node, rig, recording.add_state if recording else None)
        node.create_subscription(TimeReference, "policy/step", self._on_step, _EACH)
        for role in ROLES if recording else ():
            on_predicted = partial(self._on_predicted, role)
            node.create_subscription(Image, f"policy/predicted/{role}", on_predicted, _EACH)
        self._thread = threading.Thread(target=self._run, name="evaluator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the running trial, uncounted; the policy stays as it is."""
        self._runner.close()
        if self._thread.is_alive():
            self._thread.join()

    def request(self, instruction: str) -> None:
        """An instruction that the user has typed; see Evaluation.request."""
        self.evaluation.request(instruction)
        self._runner.notify()

    def current(self) -> tuple[Trial, str, float] | None:
        """The running trial, its instruction and its seconds so far; None while the next one is prepared."""
        return self._current

    # The evaluator's thread

    def _run(self) -> None:
        lower_scheduling_priority()
        try:
            while (trial := self.evaluation.next()) is not None:
                self._run_trial(trial)
            self.over = True
        except TrialsClosed:
            pass
        except TrialError as error:
            self.failure = str(error)
        except Exception as error:  # a thread that died would otherwise look like a very long trial
            self.failure = f"the evaluator has failed: {error!r}"

    def _run_trial(self, trial: Trial) -> None:
        instruction = self._runner.set_up(trial.scene, trial.seed, trial.instruction)
        if self._recording:
            self._recording.begin(instruction, trial.task)
        self._runner.activate()
        self._current = trial, instruction, 0.0
        task, episode = TASKS.get(trial.task), Episode(trial.task, trial.seed, trial.seconds)
        self._runner.run(
            episode,
            success=lambda state: task is not None and task.is_success(state),
            interrupted=lambda: self.evaluation.interrupted,
            on_step=lambda seconds: setattr(self, "_current", (trial, instruction, seconds)),
        )
        self._current = None
        self.acted += episode.seconds
        if self._recording:
            self._recording.end(episode.outcome)
        if episode.outcome is None:
            self.evaluation.skip(trial)
            return
        self.evaluation.add(Result(trial, instruction, bool(episode.outcome), episode.seconds))
        self._say(self._trial_line(trial, instruction, episode))

    def _trial_line(self, trial: Trial, instruction: str, episode: Episode) -> str:
        results = self.evaluation.results
        if not trial.task:
            return f"-  '{instruction}': this is no task's instruction, so the trial has no outcome"
        total = f" of {self.evaluation.number}" if self.evaluation.number else ""
        outcome = "success" if episode.outcome else "FAILED"
        successes = sum(result.success for result in results)
        return (
            f"{len(results)}{total}  {outcome} after {episode.seconds:4.1f} s: '{instruction}' "
            f"({trial.scene}, seed {trial.seed}); {successes} so far"
        )

    # The monitor's thread

    def _on_step(self, message: TimeReference) -> None:
        self.latencies.append(1e-9 * (nanoseconds(message.header.stamp) - nanoseconds(message.time_ref)))

    def _on_predicted(self, role: str, message: Image) -> None:
        self._recording.add_predicted(role, 1e-9 * nanoseconds(message.header.stamp), msg_to_image(message))
