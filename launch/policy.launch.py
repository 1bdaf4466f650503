"""ros2 launch gr1_bringup policy.launch.py [name:=value ...]: cameras, arm and policy; --show-args."""

from gr1_bringup import launching


def generate_launch_description():
    return launching.launch_description()
