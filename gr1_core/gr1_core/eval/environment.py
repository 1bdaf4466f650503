"""A simulated rig in its own process: plays trials, requests each action over a connection, returns outcomes.

No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core import images
from gr1_core.eval.failures import failure_kind
from gr1_core.eval.worker_process import RemotePolicy, WorkerError
from gr1_core.rig import Rig
from gr1_core.sim.events import Displacement, Event, Occlusion
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.poses import DOWN
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.rollout import SUCCESS_PERIODS, run_episode
from gr1_core.sim.state import StateView
from gr1_core.sim.suites import Trial
from gr1_core.sim.tasks import find_task
from gr1_core.sim.twin import TICK, Twin


class SimulationError(WorkerError):
    """The trials cannot be played."""


@dataclass(frozen=True)
class Outcome:
    """Result of a trial. success: of the named task, or of all tasks of a chain. seconds: simulated time.
    failure: its kind, "" for a success.

    unnamed: in the swap suite, whether the scene's own task was done. frames: JPEGs of the episode, evenly
    spaced. completed: number of instructions in a row that succeeded.
    """

    trial: Trial
    success: bool
    seconds: float
    failure: str
    unnamed: bool
    frames: tuple[bytes, ...]
    completed: int = 0


@dataclass(frozen=True)
class TrialSettings:
    """seconds: time limit of an episode.

    frames: number of frames to keep of each. expert: the scripted expert acts.
    """

    rig: Rig
    seconds: float
    frames: int
    expert: bool

    def environment(self) -> Environment:
        return Environment(self)


class _PolicyActor:
    """The policy in the main process, as the simulated arm sees it: state -> observation, action -> twist."""

    def __init__(self, policy: RemotePolicy, rig: Rig, cameras: dict[str, Renderer], event: Event):
        self._policy, self._rig, self._cameras, self._event = policy, rig, cameras, event

    def act(self, state: np.ndarray) -> Command:
        """The observation is the policy node's and a bag's: measured pose and the current gripper command."""
        view = StateView(state)
        vector = self._rig.state_vector(view.measured[:3], view.measured[3:], view.closure_target)
        arm = vector[:6].astype(np.float64)
        frames = {role: camera.render(state) for role, camera in self._cameras.items()}
        frames = self._event.alter_frames(state, frames)
        delta, gripper = self._policy.act(frames | {"arm": arm, "gripper": float(vector[6])})
        # As the policy node commands it: closure 0 open, 1 closed.
        return Command(*self._rig.twist(delta, arm), 0.0 if gripper > 0 else 1.0)


class Environment:
    """Plays one trial after the other; rebuilds its models only when the set of objects changes."""

    def __init__(self, settings: TrialSettings):
        self._settings = settings
        self._objects, self._cameras = None, {}

    def run(self, trial: Trial, policy: RemotePolicy | None = None) -> Outcome:
        """Plays all instructions of a trial, up to the first failure, without a reset between them.

        policy: None where the scripted expert acts.
        """
        self._set_scene(trial)
        self.twin.reset(trial.scene, trial.seed)
        states, completed, unnamed, failure = [], 0, False, ""
        stages = trial.stages()
        for stage in stages:
            if policy:
                policy.begin(stage.instruction, stage)
            part, success, unnamed = self._run_stage(stage, policy)
            states += part
            if not success:
                failure = failure_kind(stage.task, np.array(part))
                break
            completed += 1
        seconds, success = len(states) * self._settings.rig.period, completed == len(stages)
        frames = self._frames(np.array(states))
        return Outcome(trial, success, seconds, failure, unnamed, frames, completed)

    def _run_stage(self, stage: Trial, policy: RemotePolicy | None) -> tuple[list[np.ndarray], bool, bool]:
        """Plays one instruction. Returns its states, its success and, in a swap, that of the scene's task."""
        settings, twin, scene = self._settings, self.twin, find_task(stage.scene)
        twin.task = find_task(stage.task)  # the instruction decides when the episode is over
        event = self._make_event(stage)
        if settings.expert:
            actor = Expert(stage.task, settings.rig.control_hz, stage.objects)
        else:
            actor = _PolicyActor(policy, settings.rig, self._cameras, event)
        states, successes, others, unnamed = [], 0, 0, False
        for state, _, success in run_episode(twin, actor, settings.rig, settings.seconds):
            states.append(state)
            event.update(twin, state)
            successes = successes + 1 if success else 0
            others = others + 1 if stage.swapped and scene.is_success(state, stage.objects) else 0
            unnamed |= others >= SUCCESS_PERIODS
        return states, successes >= SUCCESS_PERIODS, unnamed

    def _make_event(self, stage: Trial) -> Event:
        task = find_task(stage.task)
        if stage.event == "displacement":
            return Displacement(task, stage.seed)
        return Occlusion(task, self.twin) if stage.event == "occlusion" else Event()

    def _set_scene(self, trial: Trial) -> None:
        if trial.objects != self._objects:
            self.close()
            self.twin = Twin(trial.objects)
            if self._settings.frames or not self._settings.expert:
                sizes = {
                    role: (camera.width, camera.height) for role, camera in self._settings.rig.cameras.items()
                }
                self._cameras = {
                    role: Renderer(role, *size, objects=trial.objects) for role, size in sizes.items()
                }
            self._objects = trial.objects
        for camera in self._cameras.values():
            camera.set_appearance(trial.appearance)

    def _frames(self, states: np.ndarray) -> tuple[bytes, ...]:
        if not self._settings.frames:
            return ()
        chosen = np.linspace(0, len(states) - 1, self._settings.frames).round().astype(int)
        view = self._settings.rig.cameras["static"].view
        return tuple(
            images.encode_jpeg(view(self._cameras["static"].render(states[index]))) for index in chosen
        )

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()
        self._cameras, self._objects = {}, None


def require_simulated_rig(rig: Rig) -> None:
    """Raises SimulationError for a rig that is not the simulated arm's; its cameras may have any size."""
    from gr1_core.sim.poses import HOME

    low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
    problems = []
    if not np.allclose(rig.state.reference, DOWN):
        problems.append(
            f"its state's reference is {list(rig.state.reference)}, the twin's hand has {DOWN.tolist()}"
        )
    if not (np.all(HOME.position > low) and np.all(HOME.position < high)):
        problems.append(
            f"its workspace {low.tolist()} .. {high.tolist()} m does not hold the twin's home "
            f"{HOME.position.tolist()}"
        )
    if rig.period < TICK:
        problems.append(
            f"its control period of {1e3 * rig.period:.4g} ms is shorter than the twin's tick of "
            f"{1e3 * TICK:.0f} ms"
        )
    if problems:
        raise SimulationError(
            f"rig '{rig.name}' is not the simulated arm's (a Kinova Gen2): {'; '.join(problems)}"
        )
