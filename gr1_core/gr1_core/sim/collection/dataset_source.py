"""The simulator as a source: demonstrations of the scripted expert straight into a data set, without bags in between.

The same steps as `gr1 collect sim` and `gr1 convert bags` give together, without drawing and storing what no step needs. With `vary`
also what a policy should not depend on changes: things, looks, starting places, and a hand that is disturbed (disturbance.py) or driven
by a policy (dagger.py) while the labels stay the expert's; and there may be glimpses, scenes of which one picture is taken (single_frame.py).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gr1_core import images
from gr1_core.data.convert.sources.source import Episode, Skipped, SourceError, Unit, fingerprint
from gr1_core.rig import ROLES, Rig, gripper_sign
from gr1_core.sim import appearance
from gr1_core.sim.collection import disturbance, single_frame
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.objects import catalogue
from gr1_core.sim.rollout import HELD, SECONDS, episode
from gr1_core.sim.state import View
from gr1_core.sim.tasks import TASKS

if TYPE_CHECKING:
    from gr1_core.policy import Policy
    from gr1_core.sim.collection.bags import Take

VARIED_SECONDS, DRIVEN_SECONDS = (
    15.0,
    20.0,
)  # after which a varied episode is given up, and one in which a policy drives
PLAIN = 0.4  # of the varied episodes look like the scene itself: the looks are drawn around it, and it is what the policy will see
TAKES_PER_UNIT = len(TASKS)  # they share one scene, which takes half a second to compile
GLIMPSES_PER_UNIT = 2 * len(TASKS)
_BYTES_PER_EPISODE, _BYTES_PER_GLIMPSE = 1_000_000, 40_000  # about what it takes, for the progress bar


@dataclass
class SimulationSource:
    """Episodes of the expert in the twin. takes: (task, seed) each, in the order of the data set.

    vary: other things, looks and starting places, and disturbances; what does not succeed is left out. policy: folder of a checkpoint
    (or the name of one that comes along) that drives for the share `mix` of the time, instead of the disturbances; only with vary.
    glimpses: takes of which there is only the first state, with three sentences for it: as many episodes of one step; only with vary.
    """

    rig: Rig
    takes: Sequence[Take]
    vary: bool = False
    policy: Path | None = None
    mix: float = 0.5
    glimpses: Sequence[Take] = ()
    kind: str = field(default="demonstrations", init=False)
    origin: str = field(default="simulation", init=False)

    def __post_init__(self):
        if self.rig.control_hz != int(self.rig.control_hz):
            raise SourceError(
                f"rig '{self.rig.name}': control_hz is {self.rig.control_hz:g}, a LeRobotDataset needs a whole number"
            )
        self.fps = int(self.rig.control_hz)
        self.shapes = {role: (self.rig.cameras[role].height, self.rig.cameras[role].width) for role in ROLES}
        self.settings = {"vary": self.vary}
        if self.glimpses and not self.vary:
            raise SourceError("glimpses are of varied scenes: give --vary with --glimpses")
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
        """Takes that share a scene: with `vary` each unit has its own things on the table, drawn with its first seed."""
        units = []
        for kind, takes, together in (
            ("scene", self.takes, TAKES_PER_UNIT),
            ("glimpses", self.glimpses, GLIMPSES_PER_UNIT),
        ):
            for number, start in enumerate(range(0, len(takes), together)):
                some = tuple(takes[start : start + together])
                digest = hashlib.sha256(" ".join(take.name for take in some).encode()).hexdigest()[:32]
                size = len(some) * (_BYTES_PER_EPISODE if kind == "scene" else _BYTES_PER_GLIMPSE)
                units.append(Unit(f"{kind}_{number:05d}", size, some, digest))
        return units

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        takes = unit.payload
        # Before OpenGL: Mesa's own LLVM crashed where torch was loaded after it.
        policy = _policy(self.policy) if self.policy is not None else None
        try:
            with Stage(
                self.rig, catalogue.training(takes[0].seed) if self.vary else catalogue.STANDARD
            ) as stage:
                for take in takes:
                    if unit.key.startswith("glimpses"):
                        yield from stage.glimpse(take)
                        continue
                    yield stage.play(take, self.vary, policy, self.mix)
        except RuntimeError as error:  # without OpenGL no unit can be made
            raise SourceError(f"no episodes from the simulation: {error}") from error


class Stage:
    """A twin with the rig's cameras and one set of things. A context manager."""

    def __init__(self, rig: Rig, props: catalogue.Props):
        from gr1_core.sim.renderer import Renderer
        from gr1_core.sim.twin import Twin

        self.rig, self.props, self.twin = rig, props, Twin(props)
        self._cameras = {
            role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height, props=props)
            for role in ROLES
        }

    def play(
        self, take: Take, vary: bool, policy: Policy | None = None, mix: float = 0.0
    ) -> Episode | Skipped:
        """One episode, drawn at the control rate; the labels are the expert's whoever moves the hand."""
        rng = np.random.default_rng([take.seed, list(TASKS).index(take.task), 7])
        if skipped := self._lay(take, vary, rng):
            return skipped
        pilot, disturb, seconds = None, None, SECONDS
        if policy:
            from gr1_core.sim.collection.dagger import Pilot

            disturb = pilot = Pilot(policy, self.twin.instruction, rng, mix)
            seconds = DRIVEN_SECONDS
        elif vary:
            disturb, seconds = disturbance.Disturbance(rng, self.rig.period), VARIED_SECONDS
        task = self.twin.task = single_frame.meant(self.twin.task, self.twin.state(), self.props)
        expert = Expert(task.name, self.rig.control_hz, self.props)
        pictures, states, actions, held = {role: [] for role in ROLES}, [], [], 0
        for vector, command, done in episode(self.twin, expert, self.rig, seconds, disturb=disturb):
            state, action = self._example(vector, command)
            states.append(state)
            actions.append(action)
            frames = {role: camera.render(vector) for role, camera in self._cameras.items()}
            for role, frame in frames.items():
                pictures[role].append(images.encode_jpeg(frame))
            if pilot:
                pilot.see(frames)
            held = held + 1 if done else 0
        if held < HELD:
            return Skipped(
                take.name,
                f"the goal was not reached within {len(states) * self.rig.period:g} s",
                intended=True,
            )
        info = {
            "source": take.name,
            "outcome": "success",
            "operator": "expert",
            "task": task.name,
            "seed": take.seed,
        }
        return Episode(take.name, self.twin.instruction, pictures, np.stack(states), np.stack(actions), info)

    def glimpse(self, take: Take) -> Iterator[Episode | Skipped]:
        """The first state of an episode, as one episode of one step for each of the sentences that it leaves open."""
        rng = np.random.default_rng([take.seed, list(TASKS).index(take.task), 7])
        if skipped := self._lay(take, True, rng):
            yield skipped
            return
        vector = self.twin.state()
        pictures = {
            role: [images.encode_jpeg(camera.render(vector))] for role, camera in self._cameras.items()
        }
        tasks = [
            single_frame.meant(task, vector, self.props)
            for task in single_frame.open_to(TASKS[take.task], rng)
        ]
        for task in dict.fromkeys(tasks):
            state, action = self._example(
                vector, Expert(task.name, self.rig.control_hz, self.props).act(vector)
            )
            sentences = task.said(task.noun(self.props))[0]
            info = {
                "source": take.name,
                "outcome": "success",
                "operator": "expert",
                "task": task.name,
                "seed": take.seed,
            }
            sentence = sentences[int(rng.integers(len(sentences)))]
            yield Episode(f"{take.name}_{task.name}", sentence, pictures, state[None], action[None], info)

    def _lay(self, take: Take, vary: bool, rng: np.random.Generator) -> Skipped | None:
        """The scene of a take, its look and where the hand begins."""
        scene = appearance.random(rng) if vary and rng.random() >= PLAIN else appearance.STANDARD
        start = disturbance.start(rng, self.props) if vary else None
        for camera in self._cameras.values():
            camera.look(scene)
        try:
            self.twin.reset(take.task, take.seed, start)
        except ValueError as error:
            if start is None:
                raise
            return Skipped(take.name, str(error), intended=True)
        return None

    def _example(self, vector: np.ndarray, command: Command) -> tuple[np.ndarray, np.ndarray]:
        """A state of the twin and the expert's command for it -> the rig's state and action, f32[7] each."""
        view = View(vector)
        pose = view.pose("measured")
        state = self.rig.state_vector(pose.position, pose.quaternion, view.closure_target)
        delta = self.rig.delta(command.linear, command.angular, state[:6].astype(np.float64))
        return state, np.append(delta, gripper_sign(command.closure)).astype(np.float32)

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_) -> None:
        self.close()


@functools.cache
def _policy(folder: Path) -> Policy:
    """One a process, on one thread: as many processes as cores are at work."""
    import torch

    from gr1_core.policy import Policy

    torch.set_num_threads(1)
    return Policy.from_pretrained(folder, device="cpu")
