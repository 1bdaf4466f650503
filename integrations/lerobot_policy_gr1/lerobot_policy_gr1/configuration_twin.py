"""The simulated rig as an environment of LeRobot: --env.type=gr1_twin --env.task=open_drawer."""

from __future__ import annotations

from dataclasses import dataclass, field

from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

from gr1_core.rig import Rig
from lerobot_policy_gr1.configuration_gr1 import ACTION, CAMERAS, NUMBERS, STATE


@EnvConfig.register_subclass("gr1_twin")
@dataclass
class TwinEnv(EnvConfig):
    """task: one of the twin's (`gr1 evaluate sim --help`). rig: a rig of the simulated arm, by name or YAML
    file. seconds: time limit of an episode.
    """

    task: str | None = "open_drawer"
    fps: int = 10
    rig: str = "kinova_gen2_small"
    seconds: float = 25.0
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(
        default_factory=lambda: {
            "agent_pos": STATE,
            "action": ACTION,
            **{f"pixels/{role}": key for role, key in CAMERAS.items()},
        }
    )

    def __post_init__(self):
        cameras = Rig.load(self.rig).cameras
        numbers = {"agent_pos": FeatureType.STATE, "action": FeatureType.ACTION}
        self.features = {key: PolicyFeature(type=kind, shape=(NUMBERS,)) for key, kind in numbers.items()}
        self.features |= {
            f"pixels/{role}": PolicyFeature(type=FeatureType.VISUAL, shape=(camera.height, camera.width, 3))
            for role, camera in cameras.items()
        }

    @property
    def package_name(self) -> str:
        """The module that registers the environment with gymnasium."""
        return "lerobot_policy_gr1.twin"

    @property
    def gym_id(self) -> str:
        return "gr1/Twin-v0"

    @property
    def gym_kwargs(self) -> dict:
        return {"task": self.task, "rig": self.rig, "seconds": self.seconds}
