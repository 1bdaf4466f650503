"""The recorded topics, each with type, nominal rate and longest silence. ROS-free."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gr1_core.rig import Rig

IMAGES = {
    "jpeg": ("image_raw/compressed", "sensor_msgs/msg/CompressedImage"),
    "raw": ("image_raw", "sensor_msgs/msg/Image"),
}
GAP = 1.5
"""Periods between two stamps above which a message counts as missing."""

_QUIET = 5.0
_DEEP, _SECONDS_DEEP = 50, 2.0


class StreamError(ValueError):
    """A topic that cannot be recorded."""


@dataclass(frozen=True)
class Stream:
    """One topic.

    hz: nominal rate, 0: none. max_age: seconds of silence that are reported; infinite: silence and slowness
    are not. qos: "best_effort", "reliable" or "transient_local". required: no episode begins before it
    delivers.
    """

    topic: str
    type: str
    hz: float = 0.0
    max_age: float = math.inf
    qos: str = "best_effort"
    required: bool = False

    @property
    def depth(self) -> int:
        """Messages that the middleware keeps until they are taken: two seconds' worth."""
        return max(math.ceil(_SECONDS_DEEP * self.hz), _DEEP)


def streams_of(
    rig: Rig, images: str, hz: Mapping[str, float], extra: Iterable[str] = ()
) -> tuple[Stream, ...]:
    """The streams of a bag of this rig.

    images: "jpeg" or "raw". hz: nominal rates of "camera_static", "camera_wrist", "arm", "sim_state" and
    "sim_success". extra: further topics as "name:type", such as "/tf:tf2_msgs/msg/TFMessage". Raises
    StreamError for an extra topic that is not of this form.
    """
    image, image_type = IMAGES[images]
    arm = {"hz": hz["arm"], "max_age": rig.state.max_age}
    # The gate lets a command expire after this time; the arm then stops.
    policy = {"hz": rig.control_hz, "max_age": GAP * rig.period, "qos": "reliable"}
    found = []
    for role in rig.cameras:
        rate = hz[f"camera_{role}"]
        found += [
            Stream(f"camera/{role}/{image}", image_type, rate, rig.cameras[role].max_age, required=True),
            # Published with the image; one report is enough.
            Stream(f"camera/{role}/camera_info", "sensor_msgs/msg/CameraInfo", rate),
        ]
    found += [
        Stream("arm/pose", "geometry_msgs/msg/PoseStamped", **arm, required=True),
        Stream("arm/gripper", "sensor_msgs/msg/JointState", **arm, required=True),
        Stream("arm/commanded_pose", "geometry_msgs/msg/PoseStamped", **arm),
        Stream("arm/commanded_twist", "geometry_msgs/msg/TwistStamped", **arm),
        Stream("joint_states", "sensor_msgs/msg/JointState", **arm),
        Stream("command/policy/twist", "geometry_msgs/msg/TwistStamped", **policy),
        Stream("command/policy/gripper", "std_msgs/msg/Float32", **policy),
        # A person releases the clutch now and then.
        Stream("command/teleop/twist", "geometry_msgs/msg/TwistStamped", qos="reliable"),
        Stream("command/teleop/gripper", "std_msgs/msg/Float32", qos="reliable"),
        Stream("instruction", "std_msgs/msg/String", qos="transient_local"),
        Stream("policy/call", "std_msgs/msg/String", qos="reliable"),
        Stream("sim/state", "sensor_msgs/msg/JointState", hz["sim_state"], _QUIET / hz["sim_state"]),
        Stream(
            "sim/success", "std_msgs/msg/Bool", hz["sim_success"], _QUIET / hz["sim_success"], qos="reliable"
        ),
        Stream("sim/task", "std_msgs/msg/String", qos="transient_local"),
        Stream("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", qos="reliable"),
    ]
    return (*found, *(_extra(text, {stream.topic for stream in found}) for text in extra))


def _extra(text: str, known: set[str]) -> Stream:
    topic, colon, kind = text.partition(":")
    if not (topic and colon and kind.count("/") == 2):
        raise StreamError(f"extra topic '{text}': write it as name:type, such as /tf:tf2_msgs/msg/TFMessage")
    if topic in known:
        raise StreamError(f"extra topic '{topic}' is recorded anyway; leave it out")
    return Stream(topic, kind)
