"""ros2 launch gr1_bringup policy.launch.py [name:=value ...]: cameras, arm and GR-1 at control rate; --show-args lists the arguments."""

from gr1_bringup import launching


def generate_launch_description():
    return launching.description()
