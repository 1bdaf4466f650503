"""The RealSense source on recordings made by librealsense itself, played through the driver that drives a
camera.
"""

import numpy as np
import pytest

from gr1_robot.cameras.driver import CameraError

from .driven import frames_of, load
from .realsense import COEFFICIENTS, CX, CY, FX, FY, SERIAL, record


def camera(node, width=320, height=240, rate_hz=20.0, **settings):
    return load("realsense", node, "wrist", width, height, rate_hz, **settings)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(tmp_path_factory.mktemp("realsense") / "wrist.db3")


@pytest.fixture(scope="module")
def played(node, recording):
    driver = camera(node, playback=recording.path)
    return driver, frames_of(driver)


def test_every_frame_comes_out_with_every_bit(played, recording):
    _, frames = played
    assert len(frames) == len(recording.images)
    assert all(
        np.array_equal(frame.image, image) for frame, image in zip(frames, recording.images, strict=True)
    )


def test_stamps_rise_at_the_rate_of_the_recording(played, recording, node):
    _, frames = played
    stamps = np.array([frame.stamp for frame in frames])
    assert (np.diff(stamps) > 0).all() and stamps[-1] <= node.get_clock().now().nanoseconds
    assert np.mean(np.diff(stamps)) * 1e-9 == pytest.approx(1 / 30, rel=0.02)


def test_a_frame_whose_stamp_is_not_new_is_left_out_and_counted(node, tmp_path):
    driver = camera(node, playback=record(tmp_path / "twice.db3", frames=4, numbers=[1, 2, 2, 3]).path)
    assert len(frames_of(driver)) == 3 and driver.diagnostic_values()["repeated_stamps"] == 1


def test_the_lens_is_the_recorded_one(played):
    _, frames = played
    assert np.array_equal(frames[0].intrinsics, [[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
    assert frames[0].distortion == COEFFICIENTS


def test_it_says_what_is_open(played):
    driver, _ = played
    assert all(
        words in driver.describe() for words in ("Software D435", SERIAL, "5.16.0.1", "320x240 at 30 Hz")
    )
    assert driver.rate_hz == 30.0, "the camera's own rate, not less than the 20 Hz asked for"
    assert (
        driver.diagnostic_values()["lost_by_camera"] == 0
        and driver.diagnostic_values()["stamp_source"] == "camera clock"
    )


def test_a_file_that_is_no_recording_is_refused_by_name(node, tmp_path):
    file = tmp_path / "broken.db3"
    file.write_bytes(b"not a recording")
    driver = camera(node, playback=str(file))
    with pytest.raises(
        CameraError, match="realsense.playback is '.*broken.db3': librealsense cannot play it"
    ):
        driver.open()
    driver.close()


def test_gaps_in_the_frame_numbers_are_counted(node, tmp_path):
    driver = camera(node, playback=record(tmp_path / "gaps.db3", 6, numbers=[1, 2, 5, 6, 7, 9]).path)
    assert len(frames_of(driver)) == 6 and driver.diagnostic_values()["lost_by_camera"] == 3
