"""The simulator as a source: demonstrations of the scripted expert straight into a data set, without bags in between.

The same steps as `gr1 collect sim` and `gr1 convert bags` give together, without drawing and storing what no step needs. With `vary`
also what a policy should not depend on changes: things, looks, starting places, and a hand that is disturbed while the labels stay
the expert's (disturbance.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gr1_core import images
from gr1_core.data.convert.source import Episode, Skipped, SourceError, Unit
from gr1_core.rig import ROLES, Rig, gripper_sign
from gr1_core.sim import disturbance, look, things
from gr1_core.sim.expert import Expert
from gr1_core.sim.rollout import HELD, SECONDS, episode
from gr1_core.sim.state import View
from gr1_core.sim.tasks import TASKS

if TYPE_CHECKING:
    from gr1_core.sim.collect import Take

VARIED_SECONDS = 15.0  # after which a varied episode is given up
PLAIN = 0.4  # of the varied episodes look like the scene itself: the looks are drawn around it, and it is what the policy will see
TAKES_PER_UNIT = len(TASKS)  # they share one scene, which takes half a second to compile
_BYTES_PER_EPISODE = 1_000_000  # about what it takes, for the progress bar


@dataclass
class SimulationSource:
    """Episodes of the expert in the twin. takes: (task, seed) each, in the order of the data set.

    vary: other things, looks and starting places, all sentences, and disturbances; what does not succeed is left out.
    """

    rig: Rig
    takes: Sequence[Take]
    vary: bool = False
    kind: str = field(default="demonstrations", init=False)
    origin: str = field(default="simulation", init=False)

    def __post_init__(self):
        if self.rig.control_hz != int(self.rig.control_hz):
            raise SourceError(f"rig '{self.rig.name}': control_hz is {self.rig.control_hz:g}, a LeRobotDataset needs a whole number")
        self.fps = int(self.rig.control_hz)
        self.shapes = {role: (self.rig.cameras[role].height, self.rig.cameras[role].width) for role in ROLES}
        self.settings = {"vary": self.vary}

    def units(self) -> list[Unit]:
        """Takes that share a scene: with `vary` each unit has its own things on the table, those of its first seed and its number."""
        units = []
        for number, start in enumerate(range(0, len(self.takes), TAKES_PER_UNIT)):
            takes = tuple(self.takes[start : start + TAKES_PER_UNIT])
            digest = hashlib.sha256(" ".join(take.name for take in takes).encode()).hexdigest()[:32]
            units.append(Unit(f"scene_{number:05d}", len(takes) * _BYTES_PER_EPISODE, takes, digest))
        return units

    def read(self, unit: Unit) -> Iterator[Episode | Skipped]:
        takes = unit.payload
        try:
            with Stage(self.rig, things.training(takes[0].seed) if self.vary else things.STANDARD) as stage:
                for take in takes:
                    yield stage.play(take, self.vary)
        except RuntimeError as error:  # without OpenGL no unit can be made
            raise SourceError(f"no episodes from the simulation: {error}") from error


class Stage:
    """A twin with the rig's cameras and one set of things. A context manager."""

    def __init__(self, rig: Rig, props: things.Props):
        from gr1_core.sim.renderer import Renderer
        from gr1_core.sim.twin import Twin

        self.rig, self.props, self.twin = rig, props, Twin(props)
        self._cameras = {role: Renderer(role, rig.cameras[role].width, rig.cameras[role].height, props=props) for role in ROLES}

    def play(self, take: Take, vary: bool) -> Episode | Skipped:
        """One episode of the expert, drawn at the control rate."""
        rng = np.random.default_rng([take.seed, list(TASKS).index(take.task), 7])
        scene = look.random(rng) if vary and rng.random() >= PLAIN else look.STANDARD
        start = disturbance.start(rng) if vary else None
        disturb = disturbance.Disturbance(rng, self.rig.period) if vary else None
        for camera in self._cameras.values():
            camera.look(scene)
        self.twin.reset(take.task, take.seed, start)
        expert = Expert(take.task, self.rig.control_hz, self.props)
        pictures, states, actions, held = {role: [] for role in ROLES}, [], [], 0
        for vector, command, done in episode(self.twin, expert, self.rig, VARIED_SECONDS if vary else SECONDS, disturb=disturb):
            view = View(vector)
            pose = view.pose("measured")
            state = self.rig.state_vector(pose.position, pose.quaternion, view.closure_target)
            delta = self.rig.delta(command.linear, command.angular, state[:6].astype(np.float64))
            states.append(state)
            actions.append(np.append(delta, gripper_sign(command.closure)).astype(np.float32))
            for role, camera in self._cameras.items():
                pictures[role].append(images.encode_jpeg(camera.render(vector)))
            held = held + 1 if done else 0
        if held < HELD:
            return Skipped(take.name, f"the goal was not reached within {len(states) * self.rig.period:g} s", intended=True)
        info = {"source": take.name, "outcome": "success", "operator": "expert", "task": take.task, "seed": take.seed}
        return Episode(take.name, self.twin.instruction, pictures, np.stack(states), np.stack(actions), info)

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_) -> None:
        self.close()
