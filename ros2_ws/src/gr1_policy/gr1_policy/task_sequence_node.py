"""Gives the policy one task after another on the simulated table and counts successes. Simulation only.

An instruction that another node publishes ends the sequence: the policy follows it on the table of that
moment. `task_sequence/resume` goes on with the next task.
"""

from __future__ import annotations

import sys
import threading

from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.diagnostics import OK, Diagnostics
from gr1_common.parameters import ParameterError, declare
from gr1_common.process import run_node
from gr1_common.qos import LATCHED
from gr1_core.rig import Rig, RigError
from gr1_policy.episode_plan import declare_plan
from gr1_policy.episodes import Episode, Tally
from gr1_policy.trial_runner import TrialError, TrialRunner, TrialsClosed


class TaskSequenceNode(Node):
    """See the module's text. Raises ParameterError or RigError for what the user can mend."""

    def __init__(self, **options):
        super().__init__("task_sequence", **options)
        text = "Built-in rig or path of its YAML file."
        rig = Rig.load(declare(self, "rig", "kinova_gen2", text, read_only=True))
        self._plan = declare_plan(self, seeds=1_000_000, timeout=20.0)
        text = "Whether the process ends after the last episode."
        self._exit = declare(self, "exit_when_done", True, text, read_only=True)
        self.finished, self.exit_code = threading.Event(), 0
        self.tally = Tally()
        self._current: Episode | None = None
        self._instruction, self._resumed = "", threading.Event()
        self._resumed.set()
        self._runner = TrialRunner(self, rig)
        self.create_subscription(String, "instruction", self._on_instruction, LATCHED)
        self.create_service(Trigger, "task_sequence/resume", self._resume)
        self._diagnostics = Diagnostics(self, self._report)
        self._thread = threading.Thread(target=self._run, name="task sequence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._runner.close()
        self._resumed.set()
        self._thread.join()
        if self.tally.finished:
            print(f"{self.tally.table()}\n{self.tally.document()}", flush=True)

    # The sequence's thread

    def _run(self) -> None:
        try:
            self._runner.wait_for_stack(lambda what: self.get_logger().info(f"waiting for {what}"))
            for task, seed in self._plan.episodes():
                self._resumed.wait()
                self._run_episode(Episode(task, seed, self._plan.timeout))
            if self._exit:
                self.finished.set()
        except TrialsClosed:
            pass
        except Exception as error:
            self.get_logger().fatal(
                str(error) if isinstance(error, TrialError) else f"task sequence: {error!r}"
            )
            self.exit_code = 1
            self.finished.set()

    def _run_episode(self, episode: Episode) -> None:
        from gr1_core.sim.tasks import TASKS

        task = TASKS[episode.task]
        self._instruction = task.instructions[0]
        self._runner.set_up(episode.task, episode.seed, self._instruction)
        self._runner.activate()
        self._current = episode
        self._runner.run(episode, task.is_success, interrupted=lambda: not self._resumed.is_set())
        self._current = None
        if episode.outcome is None:
            return
        self.tally.add(episode)
        outcome = "success" if episode.outcome else "failed"
        self.get_logger().info(
            f"episode {len(self.tally.finished)}: {outcome} after {episode.seconds:.1f} s: "
            f"'{self._instruction}' ({episode.task}, seed {episode.seed}); {self.tally.successes} so far"
        )

    # The executor's thread

    def _on_instruction(self, message: String) -> None:
        if message.data.strip() and message.data != self._instruction and self._resumed.is_set():
            self._resumed.clear()
            self._runner.notify()
            self.get_logger().info(
                f"'{message.data}' was published by another node: no further tasks are set until "
                "task_sequence/resume is called"
            )

    def _resume(self, _, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, "goes on with the next task"
        if self._resumed.is_set():
            response.message = "was not interrupted"
        self._resumed.set()
        return response

    def _report(self) -> None:
        episode, interrupted = self._current, not self._resumed.is_set()
        values = {
            "task": episode.task if episode else "",
            "seed": episode.seed if episode else "",
            "episodes": len(self.tally.finished),
            "successes": self.tally.successes,
        }
        text = "interrupted by an instruction" if interrupted else "running"
        self._diagnostics.status("episodes", OK, text, values)


def main(args=None) -> int:
    return run_node(TaskSequenceNode, args, errors=(ParameterError, RigError))


if __name__ == "__main__":
    sys.exit(main())
