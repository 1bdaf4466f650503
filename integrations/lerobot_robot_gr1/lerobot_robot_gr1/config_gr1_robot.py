"""The robot's configuration: --robot.type=gr1."""

from __future__ import annotations

from dataclasses import dataclass

from lerobot.robots.config import RobotConfig


@RobotConfig.register_subclass("gr1")
@dataclass(kw_only=True)
class GR1RobotConfig(RobotConfig):
    """rig: that of the running arm node, a built-in one's name or a YAML file. namespace: of its topics.

    max_skew_s: between the two frames of an observation. timeout_s: that `connect` waits for all streams.
    """

    rig: str = "kinova_gen2"
    namespace: str = ""
    image_reliability: str = "best_effort"
    max_skew_s: float = 0.075
    timeout_s: float = 10.0
