"""The Azure Kinect source on recordings written by the vendor's own recorder library, played through the
driver that drives a camera.

Runs in an environment of its own: `make test-kinect`.
"""

import sys

import cv2
import numpy as np
import pytest

from gr1_core import images
from gr1_robot.cameras.driver import CameraError

from ..cameras.driven import frames_of, load
from . import recording
from .recording import BGRA, COLOR, noise

pytestmark = pytest.mark.kinect
START_US, STEP_US = 10_000_000, 33_333


def camera(node, width=1280, height=720, rate_hz=20.0, **settings):
    return load("azure_kinect", node, "static", width, height, rate_hz, **settings)


def stamps(count):
    return [START_US + STEP_US * number for number in range(count)]


@pytest.fixture(scope="module")
def jpegs():
    return [images.encode_jpeg(noise(number)) for number in range(30)]


@pytest.fixture(scope="module")
def file(jpegs, tmp_path_factory):
    """30 JPEG images of 1280x720, 30 a second."""
    path = tmp_path_factory.mktemp("kinect") / "static.mkv"
    recording.write(path, jpegs, stamps(len(jpegs)))
    return str(path)


@pytest.fixture(scope="module")
def played(node, file):
    return frames_of(camera(node, playback=file))


def test_every_frame_comes_out_with_every_bit(played, jpegs):
    assert len(played) == len(jpegs)
    assert all(
        np.array_equal(frame.image, images.decode(jpeg)) for frame, jpeg in zip(played, jpegs, strict=True)
    )


def test_stamps_keep_the_distances_of_the_camera_s_clock(played, node):
    taken = np.array([frame.stamp for frame in played])
    assert (np.diff(taken) > 0).all() and taken[-1] <= node.get_clock().now().nanoseconds
    # A frame that was held up less than all before it moves the clock's offset: that costs one distance a
    # little.
    assert np.median(np.abs(np.diff(taken) - 1000 * STEP_US)) < 1_000_000


def test_the_lens_is_the_recorded_one(played):
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, _, _, p2, p1 = COLOR
    # The calibration is that of the whole 4:3 sensor, 1280x960 at this scale; 720p is its middle; (0, 0)
    # becomes a pixel's middle.
    expected = [[fx * 1280, 0, cx * 1280 - 0.5], [0, fy * 960, cy * 960 - 120 - 0.5], [0, 0, 1]]
    np.testing.assert_allclose(played[0].intrinsics, expected, atol=1e-3)
    np.testing.assert_allclose(played[0].distortion, [k1, k2, p1, p2, k3, k4, k5, k6], rtol=1e-6)


def test_uncompressed_pictures_keep_every_bit_too(node, tmp_path):
    images = [np.dstack([noise(number), np.full((720, 1280), 255, np.uint8)]) for number in range(3)]
    recording.write(tmp_path / "bgra.mkv", images, stamps(3), form=BGRA)
    frames = frames_of(camera(node, playback=str(tmp_path / "bgra.mkv")))
    assert [
        np.array_equal(frame.image, image[:, :, [2, 1, 0]])
        for frame, image in zip(frames, images, strict=True)
    ] == [True] * 3


@pytest.mark.parametrize(
    ("width", "height", "part"),
    [(640, 360, np.s_[:, :]), (480, 480, np.s_[:, 280:1000]), (1280, 360, np.s_[180:540, :])],
)
def test_at_the_rig_s_size_it_is_the_centre_reduced(node, file, jpegs, width, height, part):
    frames = frames_of(camera(node, width, height, playback=file))
    assert len(frames) == len(jpegs)
    for frame, jpeg in zip(frames, jpegs, strict=True):
        centre = images.decode(jpeg)[part]
        assert np.array_equal(frame.image, cv2.resize(centre, (width, height), interpolation=cv2.INTER_AREA))


def test_a_thing_is_seen_in_the_same_direction_at_every_size(node, tmp_path):
    image = np.zeros((720, 1280, 4), np.uint8)
    image[200:208, 800:808] = 255
    recording.write(tmp_path / "spot.mkv", [image], [START_US], form=BGRA)
    rays = []
    for size in ((1280, 720), (640, 360), (480, 480), (320, 240)):
        (frame,) = frames_of(camera(node, *size, playback=str(tmp_path / "spot.mkv")))
        weights = frame.image[:, :, 0].astype(float)
        v, u = (np.average(axis, weights=weights) for axis in np.mgrid[: size[1], : size[0]])
        rays.append(np.linalg.solve(frame.intrinsics, [u, v, 1.0]))
    np.testing.assert_allclose(
        rays[1:], np.broadcast_to(rays[0], (3, 3)), atol=5e-4
    )  # a third of a pixel of 1280x720


def test_what_is_damaged_is_left_out_and_counted(node, jpegs, tmp_path):
    payloads = [jpegs[0], jpegs[1][: len(jpegs[1]) // 2], b"no image", jpegs[3]]
    recording.write(tmp_path / "damaged.mkv", payloads, stamps(4))
    driver = camera(node, playback=str(tmp_path / "damaged.mkv"))
    frames = frames_of(driver)
    assert [
        np.array_equal(frame.image, images.decode(jpegs[number]))
        for frame, number in zip(frames, (0, 3), strict=True)
    ] == [True, True]
    assert driver.diagnostic_values()["damaged"] == 2


def test_it_can_be_played_again(node, file, jpegs):
    driver = camera(node, 640, 360, playback=file)
    assert [len(frames_of(driver)) for _ in range(2)] == [len(jpegs)] * 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"playback": "/nowhere/static.mkv"}, ["azure_kinect.playback", "/nowhere/static.mkv"]),
        ({"playback": __file__}, ["azure_kinect.playback", __file__, "not a recording"]),
        ({"width": 1920, "height": 1080}, ["1280x720", "1920x1080", "not enlarged"]),
        ({"rate_hz": 60.0}, ["30", "60", "rate_hz"]),
    ],
)
def test_what_cannot_be_played_is_named(node, file, settings, words):
    driver = camera(node, **({"playback": file} | settings))
    with pytest.raises(CameraError) as error:
        driver.open()
    driver.close()
    assert all(word in str(error.value) for word in words)


def test_without_pyk4a_it_says_where_there_is_one(node, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyk4a", None)
    with pytest.raises(CameraError, match="make kinect.*venv-kinect"):
        camera(node, playback=file).open()


def test_beside_a_newer_numpy_it_names_numpy(node, file, monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name == "pyk4a":
                raise ImportError("Cannot import k4a_module.")

    monkeypatch.delitem(sys.modules, "pyk4a")
    monkeypatch.setattr(np, "__version__", "2.4.6")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(CameraError, match="numpy 2.4.6.*numpy < 2.*make kinect"):
        camera(node, playback=file).open()
