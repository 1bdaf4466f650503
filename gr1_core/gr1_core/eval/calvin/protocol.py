"""A worker's side of the official evaluation: one simulator, one chain after the other. No torch here.

As mees/calvin's evaluate_policy.py has it: the environment is reset at a chain's start only; each task's
rollout has 360 steps; the oracle compares the state at the task's start with the state now; the first failure
ends the chain.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gr1_core import images
from gr1_core.calvin.checkout import Checkout
from gr1_core.calvin.environment import Simulator
from gr1_core.calvin.expert import Expert
from gr1_core.eval.worker_process import RemotePolicy

STEPS = 360
"""Control steps of one task, at most."""
AGENTS = ("policy", "expert", "nothing")


@dataclass(frozen=True)
class ChainJob:
    """number: in the official list. instructions: one for each task.

    recorded: whether its frames are kept.
    """

    number: int
    condition: dict
    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    recorded: bool = False

    def __str__(self) -> str:
        return f"chain {self.number}"

    def __hash__(self) -> int:
        return self.number


@dataclass(frozen=True)
class RecordedFrame:
    """static, wrist: JPEG. task: its place in the chain. step: within the task."""

    task: int
    step: int
    static: bytes
    wrist: bytes


@dataclass(frozen=True)
class ChainOutcome:
    """done: tasks in a row. steps: control steps of each task that was tried.

    seconds: of computing; waiting: of these, for the policy.
    """

    job: ChainJob
    done: int
    steps: tuple[int, ...]
    seconds: float
    waiting: float
    frames: tuple[RecordedFrame, ...] = ()


@dataclass(frozen=True)
class ChainSettings:
    """root: the checkout. agent: one of AGENTS."""

    root: Path
    scene: str
    renderer: str
    agent: str

    def environment(self) -> ChainEnvironment:
        return ChainEnvironment(self)


class ChainEnvironment:
    """Plays chains on one simulator."""

    def __init__(self, settings: ChainSettings):
        # pybullet prints to standard output, which belongs to the result.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        checkout = Checkout.open(settings.root)
        self._settings = settings
        self._initial_state, self._oracle = checkout.initial_state_function(), checkout.oracle()
        self._simulator = Simulator(checkout, settings.scene, settings.renderer)
        self._expert = Expert(settings.scene) if settings.agent == "expert" else None

    def run(self, job: ChainJob, policy: RemotePolicy) -> ChainOutcome:
        began, self._waiting = time.monotonic(), 0.0
        self._simulator.render = job.recorded or self._settings.agent == "policy"
        self._simulator.reset(*self._initial_state(job.condition))
        steps, frames, done = [], [], 0
        for place, (task, instruction) in enumerate(zip(job.tasks, job.instructions)):
            success, taken = self._rollout(task, instruction, policy, frames if job.recorded else None, place)
            steps.append(taken)
            if not success:
                break
            done += 1
        return ChainOutcome(job, done, tuple(steps), time.monotonic() - began, self._waiting, tuple(frames))

    def close(self) -> None:
        self._simulator.close()

    def _rollout(
        self,
        task: str,
        instruction: str,
        policy: RemotePolicy,
        frames: list[RecordedFrame] | None,
        place: int,
    ) -> tuple[bool, int]:
        simulator = self._simulator
        start = simulator.info
        if self._settings.agent == "policy":
            policy.begin(instruction)
        elif self._expert:
            self._expert.begin(task, simulator.state)
        for step in range(STEPS):
            if frames is not None:
                seen = simulator.observation()
                frames.append(
                    RecordedFrame(
                        place, step, images.encode_jpeg(seen["static"]), images.encode_jpeg(seen["wrist"])
                    )
                )
            delta, gripper = self._act(policy)
            info = simulator.step(delta, gripper)
            if self._oracle.get_task_info_for_set(start, info, {task}):
                return True, step + 1
        return False, STEPS

    def _act(self, policy: RemotePolicy) -> tuple[np.ndarray, float]:
        if self._settings.agent == "policy":
            asked = time.monotonic()
            answer = policy.act(self._simulator.observation())
            self._waiting += time.monotonic() - asked
            return answer
        policy.check()
        if self._expert:
            command = self._expert.act(self._simulator.state, self._simulator.target())
            return command.delta, command.gripper
        return np.zeros(6), 1.0
