"""ros2 launch gr1_bringup collect.launch.py [name:=value ...]: demonstrations into bags, by a person or operator:=expert."""

from gr1_bringup import launching


def generate_launch_description():
    return launching.description(collect="true")
