"""GR-1 for LeRobot. Importing this package registers the policy `gr1` and the environment `gr1_twin`."""

from lerobot_policy_gr1.configuration_gr1 import GR1Config
from lerobot_policy_gr1.configuration_twin import TwinEnv

__all__ = ["GR1Config", "TwinEnv"]
