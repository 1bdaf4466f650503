"""One simulated rig in a process of its own: it plays trials, asks for each action, and says how they ended. No torch in here."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from gr1_core import images
from gr1_core.eval.failures import why
from gr1_core.rig import ROLES, Rig
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.poses import DOWN
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.rollout import HELD, episode
from gr1_core.sim.state import View
from gr1_core.sim.suites import Trial
from gr1_core.sim.tasks import find
from gr1_core.sim.twin import TICK, Twin


class SimulationError(ValueError):
    """Trials that cannot be played."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended. success: of the task that was named. seconds: simulated. failure: why it failed, "" for a success.

    unnamed: in a swap, whether the task that the scene was laid for was done as well. pictures: of the episode, evenly spaced, JPEG.
    """

    trial: Trial
    success: bool
    seconds: float
    failure: str
    unnamed: bool
    pictures: tuple[bytes, ...]


@dataclass(frozen=True)
class Play:
    """How trials are played. seconds: the longest an episode lasts. pictures: how many to keep of each. expert: acts by itself."""

    rig: Rig
    seconds: float
    pictures: int
    expert: bool


class _Remote:
    """Whoever is asked for actions over a connection: sends what the robot sees and is, as the fields of an Observation."""

    def __init__(self, connection: Connection, rig: Rig, cameras: dict[str, Renderer]):
        self._connection, self._rig, self._cameras = connection, rig, cameras

    def act(self, state: np.ndarray) -> Command:
        """The observation is that of the policy node and of a bag: measured pose, the gripper's command that is in force."""
        view = View(state)
        vector = self._rig.state_vector(view.measured[:3], view.measured[3:], view.closure_target)
        arm = vector[:6].astype(np.float64)
        frames = {role: camera.render(state) for role, camera in self._cameras.items()}
        self._connection.send(frames | {"arm": arm, "gripper": float(vector[6])})
        delta, closure = self._connection.recv()
        return Command(*self._rig.twist(delta, arm), closure)


class Environment:
    """Plays one trial after the other; rebuilds its models only when the things on the table are others."""

    def __init__(self, play: Play, connection: Connection):
        self._play, self._connection = play, connection
        self._props, self._cameras = None, {}

    def run(self, trial: Trial) -> Outcome:
        self._set(trial)
        play, twin, wanted, scene = self._play, self.twin, find(trial.task), find(trial.scene)
        twin.reset(trial.scene, trial.seed)
        twin.task = wanted  # what is said decides when the episode is over
        acting = (
            Expert(trial.task, play.rig.control_hz, trial.props)
            if play.expert
            else _Remote(self._connection, play.rig, self._cameras)
        )
        states, held, other, unnamed = [], 0, 0, False
        for state, _, done in episode(twin, acting, play.rig, play.seconds):
            states.append(state)
            held = held + 1 if done else 0
            other = other + 1 if trial.swapped and scene.done(state, trial.props) else 0
            unnamed |= other >= HELD
        success = held >= HELD
        table = np.array(states)
        failure = "" if success else why(trial.task, table)
        return Outcome(trial, success, len(states) * play.rig.period, failure, unnamed, self._pictures(table))

    def _set(self, trial: Trial) -> None:
        if trial.props != self._props:
            self.close()
            self.twin = Twin(trial.props)
            if self._play.pictures or not self._play.expert:
                sizes = {
                    role: (camera.width, camera.height) for role, camera in self._play.rig.cameras.items()
                }
                self._cameras = {role: Renderer(role, *sizes[role], props=trial.props) for role in ROLES}
            self._props = trial.props
        for camera in self._cameras.values():
            camera.look(trial.look)

    def _pictures(self, states: np.ndarray) -> tuple[bytes, ...]:
        if not self._play.pictures:
            return ()
        chosen = np.linspace(0, len(states) - 1, self._play.pictures).round().astype(int)
        view = self._play.rig.cameras["static"].view
        return tuple(
            images.encode_jpeg(view(self._cameras["static"].render(states[index]))) for index in chosen
        )

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()
        self._cameras, self._props = {}, None


def require_twins(rig: Rig) -> None:
    """Refuses a rig that is not that of the simulated arm; its cameras may have any size."""
    from gr1_core.sim.poses import HOME

    low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
    problems = []
    if not np.allclose(rig.state.reference, DOWN.as_quat()):
        problems.append(
            f"its state's reference is {list(rig.state.reference)}, the twin's hand has {DOWN.as_quat().tolist()}"
        )
    if not (np.all(HOME.position > low) and np.all(HOME.position < high)):
        problems.append(
            f"its workspace {low.tolist()} .. {high.tolist()} m does not hold the twin's home {HOME.position.tolist()}"
        )
    if not np.isclose(rig.period / TICK, round(rig.period / TICK)):
        problems.append(
            f"its control period of {1e3 * rig.period:.4g} ms is no multiple of the twin's tick of {1e3 * TICK:.0f} ms"
        )
    if problems:
        raise SimulationError(
            f"rig '{rig.name}' is not the simulated arm's (a Kinova Gen2): {'; '.join(problems)}"
        )


def serve(connection: Connection, play: Play) -> None:
    """The worker's whole life: trials come in until None or the end of the connection; outcomes, or an error's text, go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process says when to stop
    environment = Environment(play, connection)
    try:
        _answer(connection, environment.run)
    except (EOFError, ConnectionError):
        pass  # the first process has gone, or does not want to know any more
    finally:
        environment.close()


def _answer(connection: Connection, run: Callable[[Trial], Outcome]) -> None:
    while (trial := connection.recv()) is not None:
        try:
            answer = run(trial)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            answer = f"{trial.scene} with seed {trial.seed}: {str(error) or repr(error)}"
        connection.send(answer)
