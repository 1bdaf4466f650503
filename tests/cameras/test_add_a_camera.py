"""The driver of docs/how-to/add_a_camera.md works: a video file through the driver, and through a
camera node.
"""

import importlib
import sys

import cv2
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from gr1_common.messages import msg_to_image
from gr1_robot.cameras import drivers
from gr1_robot.cameras.driver import CameraError, Unplugged, driver_names
from tests.support.documents import code_blocks
from tests.support.ros_graph import NodeProcess, stamp_ns

from .driven import frames_of, load

HZ, COUNT = 20.0, 120
TOPIC, INFO = "camera/wrist/image_raw", "camera/wrist/camera_info"
STARTS_NODE = """
import sys
from gr1_robot.cameras import drivers, node
drivers.__path__.append({folder!r})
sys.exit(node.main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's code as the module webcam."""
    folder = tmp_path_factory.mktemp("drivers")
    for title, code in code_blocks("how-to/add_a_camera.md").items():
        (folder / title).write_text(code)
    return folder


@pytest.fixture
def webcam(folder, monkeypatch):
    """Makes the page's driver findable."""
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(folder)])
    importlib.invalidate_caches()
    yield
    sys.modules.pop(f"{drivers.__name__}.webcam", None)


@pytest.fixture(scope="module")
def images():
    """Noise, RGB."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, 240, 320, 3), np.uint8)


@pytest.fixture(scope="module")
def video(images, tmp_path_factory):
    """The same images, compressed without loss."""
    path = tmp_path_factory.mktemp("video") / "noise.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), HZ, images.shape[2:0:-1])
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return str(path)


def test_frames_in_are_frames_out_with_every_bit_and_stamps_at_the_recorded_rate(webcam, node, images, video):
    assert "webcam" in driver_names()
    driver = load("webcam", node, "wrist", 320, 240, 10.0, playback=video)
    frames = frames_of(driver)
    np.testing.assert_array_equal([frame.image for frame in frames], images)
    periods = np.diff([frame.stamp for frame in frames]) * 1e-9
    assert np.median(periods) == pytest.approx(1 / HZ, abs=2e-3) and driver.rate_hz == HZ
    assert frames[0].intrinsics[0, 0] == 600.0 and "320x240 at 20 Hz" in driver.describe()


def test_a_larger_camera_is_cropped_and_reduced_to_the_roles_size(webcam, node, video):
    frames = frames_of(load("webcam", node, "wrist", 120, 120, 10.0, playback=video))
    assert {frame.image.shape for frame in frames} == {(120, 120, 3)}
    assert frames[0].intrinsics[0, 0] == 300.0


def test_what_cannot_be_is_refused_by_name(webcam, node, video, tmp_path):
    for width, height, rate, settings, words in (
        (640, 480, 10.0, {"playback": video}, "320x240.*'width' and 'height' say 640x480"),
        (320, 240, 60.0, {"playback": video}, "20 Hz, but the parameter 'rate_hz' is 60"),
        (320, 240, 10.0, {"playback": str(tmp_path / "no.mkv")}, "webcam.playback is .* cannot be played"),
    ):
        with pytest.raises(CameraError, match=words):
            load("webcam", node, "wrist", width, height, rate, **settings).open()
    with pytest.raises(Unplugged, match="/dev/video63"):
        load("webcam", node, "wrist", 320, 240, 10.0, device=63).open()


def test_through_the_node_the_frames_that_arrive_are_the_recorded_ones_in_their_order(
    ros, folder, images, video
):
    every = QoSProfile(depth=50)
    ros.subscribe(TOPIC, Image, every)
    ros.subscribe(INFO, CameraInfo, every)
    parameters = ("role:=wrist", "camera_driver:=webcam", f"webcam.playback:={video}")
    process = NodeProcess(
        "", *parameters, "qos_reliability:=reliable", code=STARTS_NODE.format(folder=str(folder))
    )
    try:
        _, values = ros.status("camera_wrist: stream", lambda status: "has ended" in status.message)
        assert values["frames"] == str(COUNT)
        order = {image.tobytes(): number for number, image in enumerate(images)}
        arrived = [order[msg_to_image(message).tobytes()] for message in ros.messages(TOPIC)]
        # The node keeps one frame, the newest: a busy computer misses some, and never gets a wrong one.
        assert arrived == sorted(set(arrived)) and len(arrived) >= 10
        stamps = [stamp_ns(message) for message in ros.messages(TOPIC)]
        assert stamps == sorted(set(stamps)) and set(stamps) & {
            stamp_ns(message) for message in ros.messages(INFO)
        }
    finally:
        process.end()
