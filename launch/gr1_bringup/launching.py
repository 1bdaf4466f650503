"""The stack for `ros2 launch`: what policy.launch.py and collect.launch.py have in common. Needs apt's `launch`."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from gr1_bringup import stack
from launch import LaunchDescription


def description(**defaults: str) -> LaunchDescription:
    """The stack's nodes with the stack's arguments, some of which have another default than stack.ARGUMENTS says."""
    arguments = [
        DeclareLaunchArgument(
            one.name,
            default_value=defaults.get(one.name, one.default),
            description=one.description,
            choices=list(one.choices) or None,
        )
        for one in stack.ARGUMENTS
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_actions)])


def _actions(context) -> list:
    chosen = stack.settings(
        **{one.name: LaunchConfiguration(one.name).perform(context) for one in stack.ARGUMENTS}
    )
    variables = [
        SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=value))
        for name, value in stack.environment().items()
    ]
    return variables + [_node(node, chosen["namespace"]) for node in stack.nodes(chosen)]


def _node(node: stack.Node, namespace: str) -> Node:
    # launch would read a string such as "1" as a number: its type is said.
    typed = {name: ParameterValue(value, value_type=type(value)) for name, value in node.parameters.items()}
    files = [str(stack.share() / "config" / node.config)] if node.config else []
    return Node(
        package=node.package,
        executable=node.executable,
        name=node.name,
        namespace=namespace,
        parameters=[*files, typed] if typed else files,
        arguments=list(node.arguments),
        prefix=[node.python] if node.python else None,
        additional_env=dict(node.environment),
        output="screen",
        on_exit=Shutdown(reason=f"{node.name} ended"),
    )
