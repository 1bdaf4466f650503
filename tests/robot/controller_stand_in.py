"""A process in place of ros2_control with an arm: joint states, a description, and a controller's topic.

The joints have inertia. Like forward_command_controller it keeps the last velocities for ever.

    python -m tests.robot.controller_stand_in URDF twist|joint_velocity|joint_trajectory
"""

import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32, Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from gr1_common.qos import COMMAND, LATCHED
from gr1_core.urdf_arm import load_arm

ARMS = {
    "six_joint": ("base", "tool0", [0.0, 0.5, 1.2, -0.15, 0.0, 0.0]),
    "five_joint": ("base_link", "hand", [0.0, 0.0, 0.0, 0.0, 0.0]),
}
"""Base link, tip link, joints at the start."""
PERIOD_S, ACCELERATION, LAG_S = 0.005, 6.0, 0.03


class Controller(Node):
    def __init__(self, path: str, kind: str):
        super().__init__("controller")
        text = Path(path).read_text()
        base, tip, start = ARMS[Path(path).stem]
        self.arm = load_arm(text, base, tip)
        self.joints, self.velocity = np.array(start), np.zeros(len(start))
        self.wanted, self.target, self.gripper = np.zeros(len(start)), None, 0.0
        self.description = self.create_publisher(String, "/robot_description", LATCHED)
        self.description.publish(String(data=text))
        self.states = self.create_publisher(JointState, "/joint_states", 10)
        message = {"twist": TwistStamped, "joint_velocity": Float64MultiArray}.get(kind, JointTrajectory)
        take = {"twist": self.on_twist, "joint_velocity": self.on_velocity}.get(kind, self.on_trajectory)
        self.create_subscription(message, "/commands", take, COMMAND)
        self.create_subscription(Float32, "/gripper", self.on_gripper, COMMAND)
        self.create_service(Trigger, "/reset_arm", self.on_reset)
        self.resets, self.before = 0, time.monotonic()
        self.create_timer(PERIOD_S, self.step)

    def on_twist(self, message):
        twist = message.twist
        numbers = [twist.linear.x, twist.linear.y, twist.linear.z]
        numbers += [twist.angular.x, twist.angular.y, twist.angular.z]
        self.wanted = np.linalg.pinv(self.arm.chain.jacobian(self.joints)) @ numbers

    def on_velocity(self, message):
        assert len(message.data) == len(self.joints)
        self.wanted = np.array(message.data)

    def on_trajectory(self, message):
        assert message.joint_names == list(self.arm.joint_names)
        point = message.points[0]
        self.target = np.array(point.positions)

    def on_gripper(self, message):
        self.gripper = message.data

    def on_reset(self, _, response):
        self.resets += 1
        print(f"reset {self.resets}", flush=True)
        response.success, response.message = True, f"reset {self.resets}"
        return response

    def step(self):
        now = time.monotonic()
        passed, self.before = min(now - self.before, 0.05), now
        if self.target is not None:
            self.wanted = np.clip((self.target - self.joints) / 0.06, -2, 2)
        change = (self.wanted - self.velocity) * min(passed / LAG_S, 1.0)
        self.velocity = self.velocity + np.clip(change, -ACCELERATION * passed, ACCELERATION * passed)
        self.joints = self.joints + self.velocity * passed
        message = JointState()
        message.header.stamp = self.get_clock().now().to_msg()
        # In another order than the URDF, with the gripper's joint between them.
        message.name = [*reversed(self.arm.joint_names), "finger"]
        message.position = [*reversed(self.joints.tolist()), self.gripper]
        message.velocity = [*reversed(self.velocity.tolist()), 0.0]
        self.states.publish(message)


def main():
    rclpy.init()
    node = Controller(*sys.argv[1:3])
    print("controller is up", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
