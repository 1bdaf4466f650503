"""ros2 launch gr1_bringup collect.launch.py [name:=value ...]: demonstrations into bags; --show-args."""

from gr1_bringup import launching


def generate_launch_description():
    return launching.launch_description(driver="teleop", record="true")
