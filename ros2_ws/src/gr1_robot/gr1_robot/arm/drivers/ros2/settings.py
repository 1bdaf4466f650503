"""The options of `robot:=ros2` and what the bridges need of them. ROS-free."""

from __future__ import annotations

import math

from gr1_common.option import Option
from gr1_robot.arm.backend import ArmError

TWIST, VELOCITY, TRAJECTORY = "twist", "joint_velocity", "joint_trajectory"
NO_GRIPPER, FLOAT, ARRAY = "none", "float32", "float64_array"

OPTIONS = (
    Option("urdf", "", "File of the arm's URDF; empty: from the topic `robot_description`."),
    Option(
        "description_topic", "/robot_description", "Topic of the URDF (std_msgs/String, transient local)."
    ),
    Option("base_link", "base_link", "Link whose frame is the arm's base frame: x forward, z up."),
    Option("tip_link", "tool0", "Last link of the arm, which carries the gripper."),
    Option("tool_xyz", [0.0, 0.0, 0.0], "Point between the fingertips in the tip link's frame, m."),
    Option("joint_states_topic", "/joint_states", "Topic of the joints' state (sensor_msgs/JointState)."),
    Option("command_type", VELOCITY, "What the controller takes.", choices=(TWIST, VELOCITY, TRAJECTORY)),
    Option(
        "command_topic",
        "/forward_velocity_controller/commands",
        "The controller's topic: geometry_msgs/TwistStamped, std_msgs/Float64MultiArray (rad/s), or "
        "trajectory_msgs/JointTrajectory.",
    ),
    Option(
        "command_joints",
        [""],
        "Order of the joints in the controller's commands; empty: as in the URDF, from base to tip.",
    ),
    Option("twist_frame", "base", "Frame of a commanded twist.", choices=("base", "tip")),
    Option(
        "point_time",
        0.05,
        "How far ahead a trajectory's point lies, s; at least two of the controller's periods.",
        low=0.01,
        high=0.2,
    ),
    Option("gripper_type", NO_GRIPPER, "What the gripper takes.", choices=(NO_GRIPPER, FLOAT, ARRAY)),
    Option("gripper_topic", "", "The gripper's topic (std_msgs/Float32 or Float64MultiArray)."),
    Option("gripper_open", 0.0, "The gripper's value when it is open, in its own unit."),
    Option("gripper_closed", 0.8, "The gripper's value when it is closed."),
    Option(
        "gripper_joint", "", "Joint in joint_states that shows the gripper's position; empty: as commanded."
    ),
    Option("wrench_topic", "", "Topic of the force on the hand (geometry_msgs/WrenchStamped); empty: none."),
    Option("wrench_frame", "tip", "Frame of the wrench.", choices=("base", "tip")),
    Option(
        "enable_service", "", "std_srvs/Trigger that makes the arm ready, called at the start; empty: none."
    ),
    Option("stop_service", "", "std_srvs/Trigger that brings the arm to rest; empty: zero commands."),
    Option("reset_service", "", "std_srvs/Trigger that clears the arm's faults; empty: none."),
    Option("home", [0.0], "The joints' angles at home, from base to tip, rad."),
    Option("linear_speed", 0.25, "The vendor's limit of the hand's speed, m/s.", low=0.01, high=3.0),
    Option("angular_speed", 1.0, "The vendor's limit of the hand's turning, rad/s.", low=0.05, high=6.0),
    Option("linear_braking", 0.5, "How hard the arm brakes at least, m/s2.", low=0.05, high=20.0),
    Option(
        "angular_braking", 2.0, "How hard the hand's turning brakes at least, rad/s2.", low=0.1, high=60.0
    ),
    Option("link_radius", 0.06, "Radius of links whose shape is a mesh, m.", low=0.005, high=0.3),
    Option("table_height", 0.0, "Height of the table in the base frame, m. No part goes below it.", low=-2.0),
)

_FOR_BRIDGE = (
    "description_topic", "joint_states_topic", "command_type", "command_topic", "gripper_type",
    "gripper_topic", "wrench_topic", "enable_service", "stop_service", "reset_service",
)  # fmt: skip


def for_bridge(settings: dict, base_frame: str) -> dict:
    """The settings that a bridge needs."""
    chosen = {name: settings[name] for name in _FOR_BRIDGE}
    chosen["frame"] = settings["tip_link"] if settings["twist_frame"] == "tip" else base_frame
    chosen["read_urdf"] = not settings["urdf"]
    return chosen


def check(settings: dict) -> None:
    """Raises ArmError for settings that do not go together."""
    if not settings["command_topic"]:
        raise ArmError("ros2.command_topic is empty: name the controller's topic, see `ros2 topic list`")
    if settings["gripper_type"] != NO_GRIPPER and not settings["gripper_topic"]:
        raise ArmError(
            f"ros2.gripper_type is {settings['gripper_type']}, but ros2.gripper_topic is empty: name its "
            "topic, or set gripper_type: none"
        )
    if settings["gripper_open"] == settings["gripper_closed"]:
        raise ArmError(
            f"ros2.gripper_open and ros2.gripper_closed are both {settings['gripper_open']:g}: they must "
            "differ"
        )
    for name in ("gripper_open", "gripper_closed"):
        if not math.isfinite(settings[name]):
            raise ArmError(f"ros2.{name} is {settings[name]}, expected a finite number")
    if len(settings["tool_xyz"]) != 3:
        raise ArmError(f"ros2.tool_xyz is {list(settings['tool_xyz'])}, expected three numbers, m")
