"""A RealSense recording through the camera node's own process and over ROS 2."""

import hashlib

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from gr1_common.diagnostics import ERROR, OK, WARN
from gr1_common.messages import msg_to_image
from tests.support.ros_graph import NodeProcess, stamp_ns

from .realsense import COEFFICIENTS, CX, CY, FX, FY, SERIAL, record

DEEP = QoSProfile(depth=200)
TOPIC, INFO = "camera/wrist/image_raw", "camera/wrist/camera_info"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(tmp_path_factory.mktemp("realsense") / "wrist.db3", frames=150)


@pytest.fixture(scope="module")
def ended(ros, recording):
    """The last status of a node that has played the whole recording; what it published is in `ros`."""
    ros.subscribe(TOPIC, Image, DEEP)
    ros.subscribe(INFO, CameraInfo, DEEP)
    process = NodeProcess(
        "gr1_robot.cameras.node",
        "role:=wrist",
        "camera_driver:=realsense",
        "qos_reliability:=reliable",
        f"realsense.playback:={recording.path}",
    )
    yield ros.status("camera_wrist: stream", lambda status: "has ended" in status.message)
    process.end()


def test_the_node_counts_as_many_frames_as_were_recorded(ended, recording):
    status, values = ended
    assert int(values["frames"]) == len(recording.images) and values["lost_by_camera"] == "0"
    assert status.level == ERROR and recording.path in status.message, (
        "nothing comes any more, and it says why"
    )


def test_the_frames_that_arrive_are_the_recorded_ones_in_their_order(ros, ended, recording):
    order = {hashlib.sha256(image).digest(): number for number, image in enumerate(recording.images)}
    arrived = [
        order[hashlib.sha256(np.ascontiguousarray(msg_to_image(msg))).digest()] for msg in ros.messages(TOPIC)
    ]
    # The node keeps one frame, the newest: a computer that is busy elsewhere misses some, and never gets a
    # wrong one.
    assert arrived == sorted(set(arrived)) and len(arrived) >= 10


def test_stamps_rise_and_each_image_has_its_camera_info(ros, ended):
    stamps = [stamp_ns(msg) for msg in ros.messages(TOPIC)]
    assert stamps == sorted(set(stamps))
    infos = {stamp_ns(msg): msg for msg in ros.messages(INFO)}
    assert len(set(stamps) & set(infos)) >= 10
    info = next(iter(infos.values()))
    assert list(info.k) == [FX, 0, CX, 0, FY, CY, 0, 0, 1] and tuple(info.d) == COEFFICIENTS
    assert (info.width, info.height, info.distortion_model) == (320, 240, "plumb_bob")


def test_while_it_plays_its_status_has_rate_device_and_stamps(ros, ended):
    _, values = ros.status("camera_wrist: stream", lambda status: status.level in (OK, WARN))
    assert SERIAL in values["device"] and float(values["expected_hz"]) == 30.0
    assert values["stamp_source"] == "camera clock"
    values = [
        item for array in ros.messages("/diagnostics") for status in array.status for item in status.values
    ]
    rates = [float(item.value) for item in values if item.key == "rate_hz"]
    assert 0.0 < max(rates) < 36.0, "at the recording's pace, not as fast as the file can be read"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            ["realsense.playback:=/nowhere/wrist.db3"],
            ["realsense.playback", "/nowhere/wrist.db3", "no such file"],
        ),
        (["width:=640", "height:=480"], ["640x480", "320x240 at 30"]),
        (["rate_hz:=60.0"], ["60 Hz", "320x240 at 30"]),
    ],
)
def test_what_cannot_be_done_ends_the_node_with_its_reason(recording, parameters, words):
    playback = [] if "playback" in parameters[0] else [f"realsense.playback:={recording.path}"]
    code, output = NodeProcess(
        "gr1_robot.cameras.node", "role:=wrist", "camera_driver:=realsense", *playback, *parameters
    ).wait()
    assert code == 1 and "Traceback" not in output and all(word in output for word in words)


@pytest.fixture
def absent():
    process = NodeProcess(
        "gr1_robot.cameras.node", "role:=static", "camera_driver:=realsense", "realsense.serial:=_42"
    )
    yield process
    process.end()


def test_without_a_camera_the_node_goes_on_looking_for_it(ros, absent):
    status, values = ros.status("camera_static: stream", lambda status: status.level == ERROR)
    assert "serial number 42" in status.message and values["outages"] == "1" and values["frames"] == "0"
    absent.until("the node keeps trying to open it")
