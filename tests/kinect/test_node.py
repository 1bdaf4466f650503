"""The camera node as it runs in the Azure Kinect's own environment, over real ROS 2."""

import signal

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from gr1_common.diagnostics import ERROR
from gr1_common.messages import msg_to_image
from gr1_core import images
from tests.support.ros_graph import NodeProcess, RosClient, stamp_ns

from . import recording
from .recording import noise, pyk4a

pytestmark = pytest.mark.kinect
FRAMES, STEP_US, LEAD_US = 45, 66_667, 4_000_000
TOPIC = "camera/static"


@pytest.fixture(scope="module")
def jpegs():
    return [images.encode_jpeg(noise(number)) for number in range(1 + FRAMES)]


@pytest.fixture(scope="module")
def played(ros: RosClient, jpegs, tmp_path_factory):
    """What arrived of a recording: one image, a pause in which publisher and subscriber find each other,
    then 45 at 15 Hz.
    """
    path = tmp_path_factory.mktemp("kinect") / "static.mkv"
    stamps = [1_000_000, *(1_000_000 + LEAD_US + STEP_US * number for number in range(FRAMES))]
    recording.write(path, jpegs, stamps, fps=pyk4a.FPS.FPS_15)
    ros.subscribe(f"{TOPIC}/image_raw", Image, 100)
    ros.subscribe(f"{TOPIC}/camera_info", CameraInfo, 100)
    parameters = ("role:=static", "camera_driver:=azure_kinect", "rate_hz:=15.0", "qos_reliability:=reliable")
    process = NodeProcess("gr1_robot.cameras.node", *parameters, f"azure_kinect.playback:={path}")
    status = ros.status(
        "camera_static: stream", lambda status: status.level == ERROR and "has ended" in status.message
    )
    yield ros, status
    process.end()


def frames(ros):
    """Those after the first, which may have been sent before anybody was known to listen."""
    return ros.messages(f"{TOPIC}/image_raw")[-FRAMES:]


def test_frames_in_are_frames_out_with_every_bit(played, jpegs):
    ros, (_, values) = played
    heard = frames(ros)
    assert int(values["frames"]) == 1 + FRAMES and int(values["damaged"]) == 0 and len(heard) == FRAMES
    for message, jpeg in zip(heard, jpegs[1:], strict=True):
        assert np.array_equal(
            msg_to_image(message), cv2.resize(images.decode(jpeg), (640, 360), interpolation=cv2.INTER_AREA)
        )


def test_stamps_rise_at_the_rate_of_the_recording(played):
    ros, _ = played
    steps = np.diff([stamp_ns(message) for message in frames(ros)]) * 1e-9
    assert (steps > 0).all() and len(steps) / steps.sum() == pytest.approx(15.0, rel=0.02)


def test_each_picture_has_its_camera_info(played):
    ros, _ = played
    lenses = {stamp_ns(info): info for info in ros.messages(f"{TOPIC}/camera_info")}
    assert {stamp_ns(message) for message in frames(ros)} <= set(lenses)
    info = ros.messages(f"{TOPIC}/camera_info")[-1]
    assert (info.width, info.height, info.distortion_model, len(info.d)) == (
        640,
        360,
        "rational_polynomial",
        8,
    )
    assert (
        info.k[0] == pytest.approx(recording.COLOR[2] * 640, abs=1e-3)
        and info.header.frame_id == "camera_static_optical_frame"
    )


def test_without_a_camera_it_says_so_and_waits(ros: RosClient):
    process = NodeProcess("gr1_robot.cameras.node", "role:=wrist", "camera_driver:=azure_kinect")
    status, values = ros.status("camera_wrist: stream", lambda status: status.level == ERROR)
    assert "no Azure Kinect" in status.message and int(values["outages"]) == 1
    process.send(signal.SIGINT)
    code, output = process.wait()
    assert code == 0 and "Traceback" not in output


def test_a_setting_that_cannot_be_ends_it_with_one_line(ros: RosClient):
    code, output = NodeProcess(
        "gr1_robot.cameras.node", "camera_driver:=azure_kinect", "azure_kinect.resolution:=480p"
    ).wait()
    assert code == 1 and "Traceback" not in output and "480p" in output and "720p" in output
