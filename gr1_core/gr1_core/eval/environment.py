"""A simulated rig in its own process: plays trials, requests each action over a connection, returns outcomes.
No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core import images
from gr1_core.eval.failures import failure_kind
from gr1_core.eval.worker_process import RemotePolicy, WorkerError
from gr1_core.rig import ROLES, Rig
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
    """Result of a trial. success: of the named task. seconds: simulated time.

    failure: its kind, "" for a success.

    unnamed: in the swap suite, whether the scene's own task was done. frames: JPEGs of the episode, evenly
    spaced.
    """

    trial: Trial
    success: bool
    seconds: float
    failure: str
    unnamed: bool
    frames: tuple[bytes, ...]


@dataclass(frozen=True)
class TrialSettings:
    """seconds: time limit of an episode. frames: number of frames to keep of each.

    expert: the scripted expert acts.
    """

    rig: Rig
    seconds: float
    frames: int
    expert: bool

    def environment(self) -> Environment:
        return Environment(self)


class _PolicyActor:
    """The policy in the main process, as the simulated arm sees it: a state becomes an observation, an action
    a twist.
    """

    def __init__(self, policy: RemotePolicy, rig: Rig, cameras: dict[str, Renderer]):
        self._policy, self._rig, self._cameras = policy, rig, cameras

    def act(self, state: np.ndarray) -> Command:
        """The observation is the policy node's and a bag's: measured pose and the current gripper command."""
        view = StateView(state)
        vector = self._rig.state_vector(view.measured[:3], view.measured[3:], view.closure_target)
        arm = vector[:6].astype(np.float64)
        frames = {role: camera.render(state) for role, camera in self._cameras.items()}
        delta, gripper = self._policy.act(frames | {"arm": arm, "gripper": float(vector[6])})
        # As the policy node commands it: closure 0 open, 1 closed.
        return Command(*self._rig.twist(delta, arm), 0.0 if gripper > 0 else 1.0)


class Environment:
    """Plays one trial after the other; rebuilds its models only when the set of objects changes."""

    def __init__(self, settings: TrialSettings):
        self._settings = settings
        self._objects, self._cameras = None, {}

    def run(self, trial: Trial, policy: RemotePolicy | None = None) -> Outcome:
        """policy: None where the scripted expert acts."""
        self._set_scene(trial)
        settings, twin, wanted, scene = (
            self._settings,
            self.twin,
            find_task(trial.task),
            find_task(trial.scene),
        )
        twin.reset(trial.scene, trial.seed)
        twin.task = wanted  # the instruction decides when the episode is over
        actor = (
            Expert(trial.task, settings.rig.control_hz, trial.objects)
            if settings.expert
            else _PolicyActor(policy, settings.rig, self._cameras)
        )
        if policy:
            policy.begin(trial.instruction)
        states, held, other, unnamed = [], 0, 0, False
        for state, _, done in run_episode(twin, actor, settings.rig, settings.seconds):
            states.append(state)
            held = held + 1 if done else 0
            other = other + 1 if trial.swapped and scene.is_success(state, trial.objects) else 0
            unnamed |= other >= SUCCESS_PERIODS
        success = held >= SUCCESS_PERIODS
        table = np.array(states)
        failure = "" if success else failure_kind(trial.task, table)
        return Outcome(
            trial, success, len(states) * settings.rig.period, failure, unnamed, self._frames(table)
        )

    def _set_scene(self, trial: Trial) -> None:
        if trial.objects != self._objects:
            self.close()
            self.twin = Twin(trial.objects)
            if self._settings.frames or not self._settings.expert:
                sizes = {
                    role: (camera.width, camera.height) for role, camera in self._settings.rig.cameras.items()
                }
                self._cameras = {role: Renderer(role, *sizes[role], objects=trial.objects) for role in ROLES}
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
    if not np.allclose(rig.state.reference, DOWN.as_quat()):
        problems.append(
            f"its state's reference is {list(rig.state.reference)}, the twin's hand has "
            f"{DOWN.as_quat().tolist()}"
        )
    if not (np.all(HOME.position > low) and np.all(HOME.position < high)):
        problems.append(
            f"its workspace {low.tolist()} .. {high.tolist()} m does not hold the twin's home "
            f"{HOME.position.tolist()}"
        )
    if not np.isclose(rig.period / TICK, round(rig.period / TICK)):
        problems.append(
            f"its control period of {1e3 * rig.period:.4g} ms is no multiple of the twin's tick of "
            f"{1e3 * TICK:.0f} ms"
        )
    if problems:
        raise SimulationError(
            f"rig '{rig.name}' is not the simulated arm's (a Kinova Gen2): {'; '.join(problems)}"
        )
