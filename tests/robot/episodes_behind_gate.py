"""Episodes of the expert or of a policy in the twin, behind gate, motion limits and the arm's inertia.

    python -m tests.robot.episodes_behind_gate --actor expert --suites seen --episodes 3 --lag 0.06

`gr1 evaluate sim` plays the same trials without them. --actor: expert, or a checkpoint's folder. Prints a
line for each trial; the last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace

import numpy as np

from gr1_core.rig import Rig
from gr1_core.sim import suites
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.rollout import MAX_SECONDS, SUCCESS_PERIODS
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import find_task
from gr1_core.sim.twin import TICK, Twin
from gr1_robot.arm.controller import ArmController
from gr1_robot.arm.drivers.sim.backend import Arm


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class _SimulatedTime(Arm):
    """The simulated arm with a clock of its own."""

    def __init__(self, rig: Rig, clock: _Clock, lag: float):
        super().__init__(rig, "pick_eggplant", 0, lag_s=lag)
        self._clock = clock

    def read_state(self):
        return replace(super().read_state(), at=self._clock())


class _PolicyActor:
    """The policy as the policy node runs it: observation of a state -> command of the next period."""

    def __init__(self, folder: str):
        from gr1_core import Policy

        self._policy = Policy.from_pretrained(folder)
        self.rig, self._cameras, self._objects = self._policy.rig, {}, None

    def begin(self, trial) -> None:
        from gr1_core.sim.renderer import Renderer

        if trial.objects != self._objects:
            for camera in self._cameras.values():
                camera.close()
            sizes = {role: (camera.width, camera.height) for role, camera in self.rig.cameras.items()}
            self._cameras = {
                role: Renderer(role, *size, objects=trial.objects) for role, size in sizes.items()
            }
            self._objects = trial.objects
        for camera in self._cameras.values():
            camera.set_appearance(trial.appearance)
        self._policy.reset(trial.instruction)

    def act(self, state: np.ndarray) -> Command:
        from gr1_core import Observation

        view = StateView(state)
        vector = self.rig.state_vector(view.measured[:3], view.measured[3:], view.closure_target)
        arm = vector[:6].astype(np.float64)
        frames = {role: camera.render(state) for role, camera in self._cameras.items()}
        action = self._policy.step(Observation(**frames, arm=arm, gripper=float(vector[6])))
        return Command(*self.rig.twist(action.delta, arm), 0.0 if action.gripper > 0 else 1.0)


def play(trial, actor, driver: Arm, clock: _Clock, rig: Rig, counts: Counter) -> tuple[bool, float, str]:
    """Success, s, and the gate's latch at the end."""
    twin = driver.twin
    driver.reset(trial.scene, trial.seed)
    twin.task = find_task(trial.task)
    arm = ArmController(rig, driver, True, clock)
    successes, pending, ticks = 0, None, round(rig.period / TICK)
    began = clock.now
    for _ in range(round(MAX_SECONDS / rig.period)):
        state = twin.state()
        command = actor.act(state)
        successes = successes + 1 if twin.success() else 0
        if successes >= SUCCESS_PERIODS:
            break
        if pending:
            arm.submit_command("policy", pending.linear, pending.angular, clock.now)
            arm.submit_gripper("policy", pending.closure, clock.now)
        for _ in range(ticks):
            arm.step()
            clock.now += TICK
        pending = command
    counts.update({reason: count for reason, count in arm.gate.counts.items() if count})
    return successes >= SUCCESS_PERIODS, clock.now - began, arm.gate.latched


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actor", default="expert")
    parser.add_argument("--suites", default="seen")
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=suites.FIRST_TEST_SEED)
    parser.add_argument("--lag", type=float, default=0.06)
    arguments = parser.parse_args()
    actor = None if arguments.actor == "expert" else _PolicyActor(arguments.actor)
    rig, clock = actor.rig if actor else Rig.load("kinova_gen2"), _Clock()
    driver, objects = _SimulatedTime(rig, clock, arguments.lag), None
    driver.connect()
    counts, results = Counter(), {}
    chosen = arguments.suites.split(",")
    for trial in [
        trial for suite in chosen for trial in suites.trials(suite, arguments.episodes, arguments.seed)
    ]:
        if trial.objects != objects:
            driver.twin, objects = Twin(trial.objects), trial.objects
        if actor:
            actor.begin(trial)
        player = actor or Expert(trial.task, rig.control_hz, trial.objects)
        success, seconds, latched = play(trial, player, driver, clock, rig, counts)
        results.setdefault(trial.suite, []).append(success)
        print(f"{trial}: {'success' if success else 'failure'}, {seconds:.1f} s {latched}", flush=True)
    summary = {suite: {"episodes": len(each), "successes": sum(each)} for suite, each in results.items()}
    print(json.dumps({"actor": arguments.actor, "lag": arguments.lag, "suites": summary, "reasons": counts}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
