"""A GR-1 rig for LeRobot. Importing this package registers the robot `gr1`."""

from lerobot_robot_gr1.config_gr1_robot import GR1RobotConfig
from lerobot_robot_gr1.gr1_robot import GR1Robot

__all__ = ["GR1Robot", "GR1RobotConfig"]
