"""The stack for `ros2 launch`: the common part of the launch files. Needs the ROS package `launch`."""

import os
import tempfile

from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from gr1_bringup import shared_memory, stack
from gr1_bringup.arguments import ARGUMENTS, refuse_renamed
from gr1_bringup.parameter_file import parameter_file
from launch import LaunchDescription


def launch_description(**defaults: str) -> LaunchDescription:
    """The stack's arguments and nodes. defaults: where they differ from those of `arguments.ARGUMENTS`."""
    declared = [
        DeclareLaunchArgument(
            one.name,
            default_value=defaults.get(one.name, one.default),
            description=one.description,
            choices=list(one.choices) or None,
        )
        for one in ARGUMENTS
    ]
    # `launch` ignores arguments that are not declared, so former names are looked for before the others are
    # declared.
    return LaunchDescription(
        [OpaqueFunction(function=_check_names), *declared, OpaqueFunction(function=_actions)]
    )


def _check_names(context) -> list:
    refuse_renamed(context.launch_configurations)
    return []


def _actions(context) -> list:
    removed = shared_memory.remove_dead_segments()
    told = [LogInfo(msg=str(removed))] if removed.count else []
    chosen = stack.settings(**{one.name: LaunchConfiguration(one.name).perform(context) for one in ARGUMENTS})
    variables = [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in stack.environment().items()
    ]
    nodes = stack.nodes(chosen)
    shared_memory.require_room(nodes, {**stack.environment(), **os.environ})
    return told + variables + [_node(node, chosen["namespace"]) for node in nodes]


def _node(node: stack.Node, namespace: str) -> Node:
    files = [str(stack.share() / "config" / node.config)] if node.config else []
    if node.parameters:
        # launch_ros would write texts such as "0888" without quotes, and rcl would take them for numbers.
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"gr1_{node.name}_", suffix=".yaml", delete=False, encoding="utf-8"
        ) as stream:
            stream.write(parameter_file(node.parameters))
        files.append(stream.name)
    return Node(
        package=node.package,
        executable=node.executable,
        name=node.name,
        namespace=namespace,
        parameters=files,
        arguments=list(node.arguments),
        prefix=[node.python] if node.python else None,
        additional_env=dict(node.environment),
        output="screen",
        on_exit=Shutdown(reason=f"{node.name} ended"),
    )
