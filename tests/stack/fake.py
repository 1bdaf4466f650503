"""A rig made of topics, in the test's own process: what the policy node receives, and what it sends."""

import time
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32, String
from std_srvs.srv import SetBool, Trigger

from gr1_common import messages, qos
from gr1_core import Rig
from gr1_core.policy import Action, Future
from tests.support.ros_graph import SpinningNodes


class FakeRig:
    """Publishes both cameras at 30 Hz and the arm at 100 Hz; `streams` says which of them are alive. Keeps
    all that it hears.
    """

    def __init__(self):
        self.rig = Rig.load("kinova_gen2")
        self.streams = {"static", "wrist", "arm", "gripper"}
        self.closure_command = 0.0
        self.position = [0.45, 0.0, 0.25]
        self.speed = 0.0  # m/s along x
        self.frozen = set()  # cameras that send their last image with new stamps
        self.skew = 0.0  # s by which the static camera's stamps lag behind
        self.images = {}  # camera -> what it shows instead of a grey that changes with each frame
        self.stops = []  # steady times of the calls of arm/stop
        self.slowed = []  # what arm/slow_policy was asked for
        self.heard = defaultdict(list)  # topic -> [(steady time, message)]
        self.last_sent = {}  # stream -> steady time
        self.size = {name: (camera.height, camera.width) for name, camera in self.rig.cameras.items()}
        self._spinning = SpinningNodes()
        self.node = rclpy.create_node("fake_rig", context=self._spinning.context)
        self._cameras = {
            name: self.node.create_publisher(Image, f"camera/{name}/image_raw", qos.SENSOR)
            for name in self.rig.cameras
        }
        self._pose = self.node.create_publisher(PoseStamped, "arm/pose", qos.SENSOR)
        self._gripper = self.node.create_publisher(JointState, "arm/gripper", qos.SENSOR)
        self._instruction = self.node.create_publisher(String, "instruction", qos.LATCHED)
        self.node.create_service(Trigger, "arm/stop", self._stop)
        self._count, self._last = 0, {}
        self.subscribe(TwistStamped, "command/policy/twist", qos.COMMAND)
        self.subscribe(Float32, "command/policy/gripper", qos.COMMAND)
        self.subscribe(DiagnosticArray, "/diagnostics", 20)
        self.node.create_timer(0.01, self._tick)
        self._spinning.start(self.node)

    def subscribe(self, kind, topic, profile):
        self.node.create_subscription(
            kind, topic, lambda message: self.heard[topic].append((time.monotonic(), message)), profile
        )

    def offer_slow_policy(self):
        """The arm node's service; without it the policy cannot call a person."""
        self.node.create_service(SetBool, "arm/slow_policy", self._slow)

    def drive(self):
        """One command of a person at teleoperation."""
        publisher = self._teleop = getattr(self, "_teleop", None) or self.node.create_publisher(
            TwistStamped, "command/teleop/twist", qos.COMMAND
        )
        publisher.publish(TwistStamped())

    def instruct(self, text: str):
        self._instruction.publish(String(data=text))

    @property
    def twists(self):
        return self.heard["command/policy/twist"]

    def status(self, name: str):
        """The newest status with this name: (level, message, values), or None."""
        for _, array in reversed(self.heard["/diagnostics"]):
            for status in array.status:
                if status.name == name:
                    return ord(status.level), status.message, {pair.key: pair.value for pair in status.values}
        return None

    def close(self):
        self._spinning.close()

    def _stop(self, _, response):
        self.stops.append(time.monotonic())
        response.success = True
        return response

    def _slow(self, request, response):
        self.slowed.append(request.data)
        response.success = True
        return response

    def _image(self, name):
        if name not in self.frozen:
            self._last[name] = self.images.get(
                name, np.full((*self.size[name], 3), self._count % 256, np.uint8)
            )
        return self._last[name]

    def _tick(self):
        self._count += 1
        stamp = self.node.get_clock().now().to_msg()
        self.position[0] += 0.01 * self.speed
        if "arm" in self.streams:
            pose = PoseStamped(pose=messages.to_pose(self.position, (1.0, 0.0, 0.0, 0.0)))
            pose.header.stamp = stamp
            self._pose.publish(pose)
        if "gripper" in self.streams:
            state = JointState(name=["closure", "closure_command"], position=[0.0, self.closure_command])
            state.header.stamp = stamp
            self._gripper.publish(state)
        if self._count % 3 == 0:
            for name, publisher in self._cameras.items():
                if name in self.streams:
                    earlier = round(1e9 * self.skew) if name == "static" else 0
                    taken = messages.to_stamp(messages.nanoseconds(stamp) - earlier)
                    self.last_sent[name] = time.monotonic()
                    publisher.publish(
                        messages.image_to_msg(self._image(name), taken, f"camera_{name}_optical_frame")
                    )


class QuickPolicy:
    """A policy without a model, for tests that need each step in time: it moves, and predicts no change."""

    config = SimpleNamespace(future_steps=3, predicts_frames=True)

    def __init__(self):
        self.rig = Rig.load("kinova_gen2")
        self.resets = []

    def reset(self, instruction):
        self.resets.append(instruction)

    def step(self, observation):
        views = {name: camera.view(getattr(observation, name)) for name, camera in self.rig.cameras.items()}
        delta = np.array([0.1, 0, 0, 0, 0, 0])
        future = Future(**views, static_patches=np.empty(0), wrist_patches=np.empty(0))
        return Action(delta, 1.0, lambda: future)


class SpyPolicy:
    """The real policy, with a record of what it was asked; `answer` may replace its action."""

    def __init__(self, policy):
        self._policy, self.rig, self.config = policy, policy.rig, policy.config
        self.resets, self.observations, self.answer = [], [], None

    def reset(self, instruction):
        self.resets.append(instruction)
        self._policy.reset(instruction)

    def step(self, observation):
        self.observations.append(observation)
        action = self._policy.step(observation)
        return self.answer(action) if self.answer else action
