"""Processes to be killed: a policy, a camera and a listener, forked from one process that has imported ROS.

Reads kinds from stdin, a line each; writes `kind pid` for each process whose node is in the graph. Every
child ends with its parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

KINDS = ("policy", "camera", "listener")


def main() -> int:
    import geometry_msgs.msg
    import numpy
    import rclpy  # noqa: F401 - imported once, here, for all children
    import sensor_msgs.msg
    import std_msgs.msg  # noqa: F401

    from gr1_common import messages, qos  # noqa: F401

    assert numpy and geometry_msgs.msg and sensor_msgs.msg
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    for line in sys.stdin:
        if os.fork() == 0:
            with contextlib.suppress(KeyboardInterrupt):
                _live(line.strip())
            os._exit(0)
    return 0


def _live(kind: str) -> None:
    """One node until it is killed."""
    import rclpy

    parent = os.getppid()
    rclpy.init(args=[])
    node = rclpy.create_node(f"{kind}_{os.getpid()}")
    work = {"policy": _policy, "camera": _camera, "listener": _listener}[kind](node)
    threading.Thread(target=_repeat, args=(work, parent), daemon=True).start()
    print(kind, os.getpid(), flush=True)
    while os.getppid() == parent:
        rclpy.spin_once(node, timeout_sec=0.1)


def _repeat(work, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(work() or 0.1)


def _policy(node):
    from geometry_msgs.msg import PoseStamped, TwistStamped
    from sensor_msgs.msg import JointState

    from gr1_common.qos import COMMAND, SENSOR

    for topic, kind in (("arm/pose", PoseStamped), ("arm/gripper", JointState)):
        node.create_subscription(kind, topic, lambda _: None, SENSOR)
    twist = node.create_publisher(TwistStamped, "command/policy/twist", COMMAND)

    def work() -> float:
        message = TwistStamped()
        message.header.stamp = node.get_clock().now().to_msg()
        message.twist.linear.y = 0.01
        twist.publish(message)
        return 0.1

    return work


def _camera(node):
    import numpy as np
    from sensor_msgs.msg import Image, JointState

    from gr1_common.messages import image_to_msg
    from gr1_common.qos import SENSOR

    node.create_subscription(JointState, "sim/state", lambda _: None, SENSOR)
    images = node.create_publisher(Image, "camera/static/image_raw", SENSOR)
    image = np.zeros((360, 640, 3), np.uint8)

    def work() -> float:
        images.publish(image_to_msg(image, node.get_clock().now().to_msg(), "camera"))
        return 0.05

    return work


def _listener(node):
    from diagnostic_msgs.msg import DiagnosticArray
    from geometry_msgs.msg import PoseStamped, TwistStamped
    from sensor_msgs.msg import Image, JointState

    from gr1_common.qos import SENSOR

    for topic, kind in (
        ("arm/pose", PoseStamped),
        ("arm/commanded_pose", PoseStamped),
        ("arm/commanded_twist", TwistStamped),
        ("joint_states", JointState),
        ("arm/gripper", JointState),
        ("sim/state", JointState),
        ("camera/static/image_raw", Image),
    ):
        node.create_subscription(kind, topic, lambda _: None, SENSOR)
    node.create_subscription(DiagnosticArray, "/diagnostics", lambda _: None, 50)
    return lambda: 1.0


if __name__ == "__main__":
    sys.exit(main())
