"""The running stack for `gr1 view`: subscriptions alone; the bytes go to the same code as those of bags.

The node has no publisher and no service, and no parameter beside those that every node of rclpy has.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from gr1_common.scheduling import lower_scheduling_priority
from gr1_common.shell import shell_problem
from gr1_core.rig import ROLES
from gr1_core.view.messages import IMAGES, TOPICS, StackLog
from gr1_core.view.recording import ViewError
from gr1_recorder.raw_subscriber import RawSubscriber, publisher_problem, qos_of
from gr1_recorder.stream_statistics import Message
from gr1_recorder.streams import Stream

_NOBODY = "is published by nobody"
_POLICY = "policy"
"""The policy's node: it publishes its topics only once its checkpoint is loaded."""
_POLL_S = 0.02
_LOOK_S = 0.1
_LATCHED = ("robot_description", "instruction", "sim/task", "recorder/state")
_RELIABLE = ("diagnostics", "sim/success", "policy/call")
_OPTIONAL = ("policy/", "sim/", "recorder/", "camera/")
"""Beginnings of topics that not every stack has; a camera's images are looked for by themselves."""
_GROUPS = {
    "arm/pose": {"world", "position", "speed"},
    "arm/commanded_pose": {"position"},
    "arm/commanded_twist": {"speed"},
    "arm/gripper": {"gripper"},
    "robot_description": {"world"},
    **{f"policy/predicted/{role}": {f"predicted/{role}", "prediction"} for role in ROLES},
}


def listen(namespace: str, wait_s: float) -> LiveStack:
    """See gr1_core.view.live.LiveSource."""
    # Where `gr1 up` puts the nodes unless the user has set another range.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if problem := shell_problem():
        raise ViewError(problem)
    lower_scheduling_priority()
    stack = LiveStack(namespace)
    try:
        stack.look(wait_s)
    except BaseException:
        stack.close()
        raise
    return stack


class LiveStack:
    """See gr1_core.view.live.Stack."""

    def __init__(self, namespace: str):
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(
            f"gr1_view_{os.getpid()}",
            context=self._context,
            namespace=namespace,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        for publisher in list(self.node.publishers):  # rclpy's own, of parameter events
            self.node.destroy_publisher(publisher)
        self._log: StackLog | None = None
        self._start = 0
        self._subscriber: RawSubscriber | None = None
        self.groups: set[str] = {"lanes", "log", "instruction"}
        self.missing: dict[str, str] = {}

    def look(self, wait_s: float) -> None:
        """Finds the stack's topics and subscribes to them. Raises ViewError where there is none."""
        deadline = time.monotonic() + wait_s
        while (missing := self._missing()) and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        if len(missing) == len(self._expected()):
            where = f" in namespace {self.node.get_namespace()}" if self.node.get_namespace() != "/" else ""
            domain = os.environ.get("ROS_DOMAIN_ID") or "0"
            raise ViewError(
                f"no stack is heard{where} within {wait_s:g} s (ROS_DOMAIN_ID {domain}): start one with "
                "`gr1 up`, or give the folder of a bag, a dataset or an evaluation"
            )
        self.missing = missing
        streams = self._streams()
        for name, groups in _GROUPS.items():
            if name.startswith("policy/"):
                self.groups |= groups if _POLICY in self.node.get_node_names() else set()
            elif not self._problem(name):
                self.groups |= groups
        shown = [stream.topic.split("/")[1] for stream in streams if "/image_raw" in stream.topic]
        self.groups |= {f"cameras/{role}" for role in shown}
        self._subscriber = RawSubscriber(self.node, streams, self._on_message, newest_only=True)

    def pass_to(self, log: StackLog, running: Callable[[float], bool]) -> None:
        self._log, self._start = log, time.time_ns()
        while running(1e-9 * (time.time_ns() - self._start)):
            self._subscriber.poll()
            time.sleep(_POLL_S)

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _on_message(self, message: Message, _: bool) -> None:
        kind = self._subscriber.streams[message.topic].type
        # A latched message is older than the beginning.
        seconds = max(1e-9 * (message.log_time - self._start), 0.0)
        self._log.on_message(message.topic, kind, message.data, seconds)

    def _expected(self) -> list[tuple[str, ...]]:
        """Alternatives of which one is published by every stack."""
        images = [tuple(f"camera/{role}/{image}" for image in IMAGES) for role in ROLES]
        return images + [(name,) for name in TOPICS if not name.startswith(_OPTIONAL)]

    def _missing(self) -> dict[str, str]:
        """Topic -> why it is not heard."""
        found = {}
        for names in self._expected():
            problems = [self._problem(name) for name in names]
            if all(problems):
                found[_absolute(names[0])] = next((why for why in problems if why != _NOBODY), _NOBODY)
        return found

    def _problem(self, name: str) -> str:
        stream = _stream(name)
        publishers = self.node.get_publishers_info_by_topic(self.node.resolve_topic_name(_absolute(name)))
        return publisher_problem(publishers, stream.type, qos_of(stream)) if publishers else _NOBODY

    def _streams(self) -> list[Stream]:
        """What there is, and what may come yet; a camera's raw images only where it has no JPEG."""
        names = list(TOPICS)
        for role in ROLES:
            compressed, raw = (f"camera/{role}/{image}" for image in IMAGES)
            names.remove(compressed if self._problem(compressed) and not self._problem(raw) else raw)
        shown = [name for name in names if not name.startswith("camera/") or not self._problem(name)]
        return [_stream(name) for name in shown]


def _absolute(name: str) -> str:
    """/diagnostics is global, all others are in the stack's namespace."""
    return f"/{name}" if name == "diagnostics" else name


def _stream(name: str) -> Stream:
    qos = "transient_local" if name in _LATCHED else "reliable" if name in _RELIABLE else "best_effort"
    return Stream(_absolute(name), TOPICS[name], qos=qos)
