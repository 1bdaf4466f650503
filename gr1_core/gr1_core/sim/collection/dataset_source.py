"""Dataset source of simulated episodes: demonstrations of the expert directly into a dataset, without bags.

It gives the same steps as `gr1 collect sim` followed by `gr1 convert bags`, but renders and stores only what
a step needs. With `vary`, objects, appearance and start poses change and the arm is disturbed
(disturbance.py) or driven by a policy (dagger.py), while the labels stay the expert's. It can add
single-frame examples (single_frame.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint
from gr1_core.rig import ROLES, Rig, gripper_sign
from gr1_core.sim.appearance import STANDARD_APPEARANCE, sample_appearance
from gr1_core.sim.collection import disturbance, single_frame
from gr1_core.sim.collection.loaded_policy import load_policy
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.objects import catalogue
from gr1_core.sim.rollout import MAX_SECONDS, SUCCESS_PERIODS, run_episode
from gr1_core.sim.state import StateView
from gr1_core.sim.tasks import TASKS, Task

if TYPE_CHECKING:
    from gr1_core.policy import Policy
    from gr1_core.sim.collection.bags import EpisodeSpec

VARIED_SECONDS, DRIVEN_SECONDS = 15.0, 20.0  # time limits of a varied episode and of one that a policy drives
# Share of the varied episodes with the standard appearance, which is the one that the policy meets later
STANDARD_APPEARANCE_SHARE = 0.4
EPISODES_PER_UNIT = len(TASKS)  # they share one scene, which takes half a second to compile
SINGLE_FRAMES_PER_UNIT = 2 * len(TASKS)
_BYTES_PER_EPISODE, _BYTES_PER_SINGLE_FRAME = 1_000_000, 40_000  # approximately, for the progress bar


@dataclass
class SimulationSource:
    """Episodes of the expert in the twin. episodes: in the order of the dataset.

    vary: other objects, appearances, start poses and disturbances; episodes without success are left out.
    policy: checkpoint folder, or name of a pretrained checkpoint, that drives for the share `mix` of the
    time, without disturbances; needs vary. single_frames: specs of which only the first state is used, with
    three instructions, as three episodes of one step; needs vary. Raises SourceError for settings that do not
    fit together.
    """

    rig: Rig
    episodes: Sequence[EpisodeSpec]
    vary: bool = False
    policy: Path | None = None
    mix: float = 0.5
    single_frames: Sequence[EpisodeSpec] = ()
    kind: str = field(default="demonstrations", init=False)
    origin: str = field(default="simulation", init=False)

    def __post_init__(self):
        if self.rig.control_hz != int(self.rig.control_hz):
            raise SourceError(
                f"rig '{self.rig.name}': control_hz is {self.rig.control_hz:g}, "
                "a LeRobotDataset needs a whole number"
            )
        self.fps = int(self.rig.control_hz)
        self.shapes = {role: (self.rig.cameras[role].height, self.rig.cameras[role].width) for role in ROLES}
        self.settings = {"vary": self.vary}
        if self.single_frames and not self.vary:
            raise SourceError("single frames are of varied scenes: give --vary with --single-frames")
        if self.policy is not None:
            self._check_policy()
            files = sorted(path for path in self.policy.iterdir() if path.is_file())
            self.settings |= {"policy": fingerprint(files), "mix": self.mix}

    def _check_policy(self) -> None:
        if not self.vary:
            raise SourceError("a policy drives only varied episodes: give --vary with --policy")
        if not 0.0 < self.mix <= 1.0:
            raise SourceError(
                f"--mix {self.mix:g}: the share of the time that the policy drives is above 0 and at most 1"
            )
        from gr1_core.model import checkpoint
        from gr1_core.pretrained import resolve

        self.policy = resolve(self.policy)
        Rig.load(self.policy / checkpoint.RIG).require_same(self.rig, f"the checkpoint {self.policy}")

    def units(self) -> list[Unit]:
        """Groups the episodes by scene; with `vary` each unit samples its objects with its first seed."""
        units = []
        for kind, specs, per_unit, size in (
            ("scene", self.episodes, EPISODES_PER_UNIT, _BYTES_PER_EPISODE),
            ("single_frames", self.single_frames, SINGLE_FRAMES_PER_UNIT, _BYTES_PER_SINGLE_FRAME),
        ):
            for number, start in enumerate(range(0, len(specs), per_unit)):
                chosen = tuple(specs[start : start + per_unit])
                digest = hashlib.sha256(" ".join(spec.name for spec in chosen).encode()).hexdigest()[:32]
                units.append(Unit(f"{kind}_{number:05d}", len(chosen) * size, chosen, digest))
        return units

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        """Yields the episodes of a unit. Raises SourceError without off-screen OpenGL."""
        specs = unit.payload
        policy = load_policy(self.policy) if self.policy is not None else None
        objects = catalogue.training_objects(specs[0].seed) if self.vary else catalogue.STANDARD_OBJECTS
        try:
            with EpisodeGenerator(self.rig, objects) as generator:
                for spec in specs:
                    if unit.key.startswith("single_frames"):
                        yield from generator.generate_single_frames(spec)
                        continue
                    yield generator.generate_episode(spec, self.vary, policy, self.mix)
        except RuntimeError as error:  # without OpenGL no unit can be generated
            raise SourceError(f"no episodes from the simulation: {error}") from error


class EpisodeGenerator:
    """A twin with the rig's cameras and one set of objects. A context manager."""

    def __init__(self, rig: Rig, objects: catalogue.ObjectSet):
        from gr1_core.sim.renderer import Renderer
        from gr1_core.sim.twin import Twin

        self.rig, self.objects, self.twin = rig, objects, Twin(objects)
        self._cameras = {
            role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height, objects=objects)
            for role in ROLES
        }

    def generate_episode(
        self, spec: EpisodeSpec, vary: bool, policy: Policy | None = None, mix: float = 0.0
    ) -> Episode | Skipped:
        """Generates one episode, rendered at the control rate, with the expert's labels throughout."""
        rng = np.random.default_rng([spec.seed, list(TASKS).index(spec.task), 7])
        if skipped := self._set_up(spec, vary, rng):
            return skipped
        driver, disturb, seconds = None, None, MAX_SECONDS
        if policy:
            from gr1_core.sim.collection.dagger import DaggerDriver

            disturb = driver = DaggerDriver(policy, self.twin.instruction, rng, mix)
            seconds = DRIVEN_SECONDS
        elif vary:
            disturb, seconds = disturbance.Disturbance(rng, self.rig.period), VARIED_SECONDS
        task = self.twin.task = single_frame.resolve_unknown_noun(
            self.twin.task, self.twin.state(), self.objects
        )
        expert = Expert(task.name, self.rig.control_hz, self.objects)
        encoded, states, actions, successes = {role: [] for role in ROLES}, [], [], 0
        for vector, command, success in run_episode(self.twin, expert, self.rig, seconds, disturb=disturb):
            state, action = self._make_example(vector, command)
            states.append(state)
            actions.append(action)
            frames = {role: camera.render(vector) for role, camera in self._cameras.items()}
            for role, frame in frames.items():
                encoded[role].append(images.encode_jpeg(frame))
            if driver:
                driver.observe(frames)
            successes = successes + 1 if success else 0
        if successes < SUCCESS_PERIODS:
            return Skipped(
                spec.name,
                f"the goal was not reached within {len(states) * self.rig.period:g} s",
                intended=True,
            )
        info = _episode_info(spec, task)
        return Episode(spec.name, self.twin.instruction, encoded, np.stack(states), np.stack(actions), info)

    def generate_single_frames(self, spec: EpisodeSpec) -> Iterator[Episode | Skipped]:
        """Yields the first state of an episode, as one episode of one step for each feasible instruction."""
        rng = np.random.default_rng([spec.seed, list(TASKS).index(spec.task), 7])
        if skipped := self._set_up(spec, True, rng):
            yield skipped
            return
        vector = self.twin.state()
        encoded = {
            role: [images.encode_jpeg(camera.render(vector))] for role, camera in self._cameras.items()
        }
        tasks = [
            single_frame.resolve_unknown_noun(task, vector, self.objects)
            for task in single_frame.feasible_tasks(TASKS[spec.task], rng)
        ]
        for task in dict.fromkeys(tasks):
            command = Expert(task.name, self.rig.control_hz, self.objects).act(vector)
            state, action = self._make_example(vector, command)
            instructions = task.instructions_for(task.noun(self.objects))[0]
            instruction = instructions[int(rng.integers(len(instructions)))]
            name, info = f"{spec.name}_{task.name}", _episode_info(spec, task)
            yield Episode(name, instruction, encoded, state[None], action[None], info)

    def _set_up(self, spec: EpisodeSpec, vary: bool, rng: np.random.Generator) -> Skipped | None:
        """Sets layout, appearance and start pose. Returns a reason where the arm does not reach the pose."""
        sampled = vary and rng.random() >= STANDARD_APPEARANCE_SHARE
        appearance = sample_appearance(rng) if sampled else STANDARD_APPEARANCE
        start = disturbance.sample_start_pose(rng, self.objects) if vary else None
        for camera in self._cameras.values():
            camera.set_appearance(appearance)
        try:
            self.twin.reset(spec.task, spec.seed, start)
        except ValueError as error:
            if start is None:
                raise
            return Skipped(spec.name, str(error), intended=True)
        return None

    def _make_example(self, vector: np.ndarray, command: Command) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rig's state and action, f32[7] each, for a twin state and a command."""
        view = StateView(vector)
        pose = view.pose("measured")
        state = self.rig.state_vector(pose.position, pose.quaternion, view.closure_target)
        delta = self.rig.delta(command.linear, command.angular, state[:6].astype(np.float64))
        return state, np.append(delta, gripper_sign(command.closure)).astype(np.float32)

    def close(self) -> None:
        """Frees the cameras."""
        for camera in self._cameras.values():
            camera.close()

    def __enter__(self) -> EpisodeGenerator:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _episode_info(spec: EpisodeSpec, task: Task) -> dict:
    return {
        "source": spec.name,
        "outcome": "success",
        "operator": "expert",
        "task": task.name,
        "seed": spec.seed,
    }
