"""ros2 launch gr1_bringup collect.launch.py [name:=value ...]: demonstrations by the expert into bags; --show-args lists the arguments."""

from gr1_bringup import launching


def generate_launch_description():
    return launching.description(collect="true", operator="expert")
