"""The Orbbec source on recordings in the vendor's format, played by the vendor's SDK through the driver that
drives a camera.
"""

import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from gr1_common.diagnostics import ERROR
from gr1_common.messages import msg_to_image
from gr1_core import images
from gr1_robot.cameras.driver import CameraError, Unplugged
from gr1_robot.cameras.drivers import orbbec
from tests.support.ros_graph import NodeProcess, RosClient, stamp_ns

from ..cameras.driven import frames_of, load
from . import recording
from .recording import CX, CY, FX, FY, K, P, ob

# 15 Hz: the SDK drops frames that are not fetched within ten periods, as a live camera would.
START_US, STEP_US, FPS = 10_000_000, 66_667, 15
FRAMES = 20


def noise(seed: int) -> np.ndarray:
    """u8[720, 1280, 3] of squares of 16 pixels: no two images are alike, and JPEG keeps most of each."""
    colours = np.random.default_rng(seed).integers(0, 256, (45, 80, 3), np.uint8)
    return np.ascontiguousarray(colours.repeat(16, 0).repeat(16, 1))


def camera(node, width=1280, height=720, rate_hz=15.0, **settings):
    return load("orbbec", node, "static", width, height, rate_hz, **settings)


@pytest.fixture(scope="module")
def jpegs():
    return [images.encode_jpeg(noise(number)) for number in range(FRAMES)]


@pytest.fixture(scope="module")
def file(jpegs, tmp_path_factory):
    """JPEG images of 1280x720."""
    path = tmp_path_factory.mktemp("orbbec") / "static.bag"
    recording.write(path, jpegs, [START_US + STEP_US * number for number in range(FRAMES)], fps=FPS)
    return str(path)


@pytest.fixture(scope="module")
def played(node, file):
    driver = camera(node, playback=file)
    return driver, frames_of(driver)


def test_every_frame_comes_out_with_every_bit(played, jpegs):
    driver, frames = played
    assert len(frames) == FRAMES and driver.diagnostic_values()["lost_by_camera"] == 0
    assert all(
        np.array_equal(frame.image, images.decode(jpeg)) for frame, jpeg in zip(frames, jpegs, strict=True)
    )


def test_stamps_keep_the_distances_of_the_camera_s_clock(played, node):
    taken = np.array([frame.stamp for frame in played[1]])
    assert (np.diff(taken) > 0).all() and taken[-1] <= node.get_clock().now().nanoseconds
    # A frame that was held up less than all before it moves the clock's offset: that costs one distance a
    # little.
    assert np.median(np.abs(np.diff(taken) - 1000 * STEP_US)) < 1_000_000


def test_a_frame_whose_stamp_is_not_new_is_left_out_and_counted(node, jpegs, tmp_path):
    stamps = [START_US, START_US + STEP_US, START_US + STEP_US, START_US + 2 * STEP_US]
    recording.write(tmp_path / "twice.bag", jpegs[:4], stamps, fps=FPS)
    driver = camera(node, playback=str(tmp_path / "twice.bag"))
    assert len(frames_of(driver)) == 3 and driver.diagnostic_values()["repeated_stamps"] == 1


def test_the_lens_is_the_recorded_one(played):
    frame = played[1][0]
    assert np.array_equal(frame.intrinsics, [[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
    assert frame.distortion == (*K[:2], *P, *K[2:])


def test_it_says_what_is_open(played):
    text = played[0].describe()
    assert all(word in text for word in ("Femto Bolt", "CL8F000001", "1.1.2", "USB3.2", "1280x720 at 15"))


def test_at_the_rig_s_size_it_is_the_centre_reduced(node, file, jpegs):
    frames = frames_of(camera(node, 480, 480, playback=file))
    for frame, jpeg in zip(frames, jpegs, strict=True):
        assert np.array_equal(
            frame.image,
            cv2.resize(images.decode(jpeg)[:, 280:1000], (480, 480), interpolation=cv2.INTER_AREA),
        )


def test_what_is_damaged_is_left_out_and_counted(node, jpegs, tmp_path):
    # The SDK leaves out what is cut short itself: a gap in the frames' numbers.
    payloads = [jpegs[0], jpegs[1][: len(jpegs[1]) // 2], images.encode_jpeg(noise(2)[:360]), jpegs[3]]
    recording.write(
        tmp_path / "damaged.bag", payloads, [START_US + STEP_US * number for number in range(4)], fps=FPS
    )
    driver = camera(node, playback=str(tmp_path / "damaged.bag"))
    frames = frames_of(driver)
    assert [
        np.array_equal(frame.image, images.decode(jpegs[number]))
        for frame, number in zip(frames, (0, 3), strict=True)
    ] == [True, True]
    assert (driver.diagnostic_values()["lost_by_camera"], driver.diagnostic_values()["damaged"]) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"playback": "/nowhere/static.bag"}, ["orbbec.playback", "/nowhere/static.bag"]),
        ({"playback": __file__}, ["orbbec.playback", __file__, "cannot play"]),
        ({"width": 1920, "height": 1080}, ["1920x1080", "1280x720 at 15"]),
        ({"rate_hz": 60.0}, ["60 Hz", "1280x720 at 15"]),
    ],
)
def test_what_cannot_be_played_is_named(node, file, settings, words):
    driver = camera(node, **({"playback": file} | settings))
    with pytest.raises(CameraError) as error:
        driver.open()
    driver.close()
    assert not isinstance(error.value, Unplugged) and all(word in str(error.value) for word in words)


def test_without_the_sdk_it_says_how_to_get_it(node, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyorbbecsdk", None)
    with pytest.raises(CameraError, match="pip install --no-deps pyorbbecsdk2"):
        camera(node, playback=file).open()


# Cameras on the bus: the list is ours, the cameras in it are recordings, and all else is the vendor's.


class Plugged(ob.PlaybackDevice):
    """A recording that takes settings as a camera does."""

    told = None  # a list: what it was told

    def is_property_supported(self, number, permission):
        return self.told is not None

    def get_int_property_range(self, number):
        limits = ob.OBIntPropertyRange()
        limits.min, limits.max, limits.step = 1, 330, 1
        return limits

    def set_bool_property(self, number, value):
        self.told.append((number, value))

    set_int_property = set_bool_property


class Bus:
    """What the SDK's context offers of the bus: the serial numbers on it, and their devices."""

    def __init__(self, file):
        self.serials, self.told, self._file = [], None, file

    def query_devices(self):
        return self

    def get_count(self):
        return len(self.serials)

    def get_device_serial_number_by_index(self, index):
        return self.serials[index]

    def get_device_by_serial_number(self, serial):
        device = Plugged(self._file)
        device.told = self.told
        return device


@pytest.fixture
def bus(file, monkeypatch):
    bus = Bus(file)
    orbbec._context()
    monkeypatch.setattr(orbbec, "_context", lambda: bus)
    return bus


def test_a_camera_that_is_not_there_is_looked_for_and_named(node, bus):
    with pytest.raises(Unplugged, match="no Orbbec is connected"):
        camera(node).open()
    bus.serials = ["CL8F000001"]
    with pytest.raises(Unplugged, match="0007.*connected: CL8F000001"):
        camera(node, serial="0007").open()


def test_several_cameras_are_listed_until_one_is_named(node, bus):
    bus.serials = ["CL8F000002", "CL8F000001"]
    with pytest.raises(CameraError, match="CL8F000001, CL8F000002.*orbbec.serial") as error:
        camera(node).open()
    assert not isinstance(error.value, Unplugged)
    driver = camera(node, serial="CL8F000001")
    driver.open()
    assert "CL8F000001" in driver.describe()
    driver.close()


def test_a_pulled_cable_is_named_and_the_camera_comes_back(node, bus, jpegs):
    bus.serials = ["CL8F000001"]
    driver = camera(node)
    for _ in range(2):
        driver.open()
        frames = []
        with pytest.raises(Unplugged, match="CL8F000001.*no longer connected"):
            while True:
                frames += [frame for frame in [driver.read(0.05)] if frame]
                bus.serials = ["CL8F000001"][len(frames) :]
        driver.close()
        assert np.array_equal(frames[0].image, images.decode(jpegs[0]))
        bus.serials = ["CL8F000001"]


def test_a_camera_that_comes_back_slower_is_taken_as_long_as_it_is_fast_enough(node, jpegs, tmp_path):
    for fps in (30, 15):
        recording.write(tmp_path / f"{fps}.bag", jpegs[:2], [START_US, START_US + 10**6 // fps], fps=fps)
    driver = camera(node, rate_hz=10.0)
    for fps in (30, 15):
        driver.settings["playback"] = str(tmp_path / f"{fps}.bag")
        driver.open()
        driver.close()
        assert driver.rate_hz == fps


def test_what_is_not_fixed_is_set_back_to_automatic(node, bus):
    bus.serials, bus.told = ["CL8F000001"], []
    driver = camera(node, exposure=80)
    driver.open()
    names = ob.OBPropertyID
    assert bus.told == [
        (names.OB_PROP_COLOR_AUTO_EXPOSURE_BOOL, False),
        (names.OB_PROP_COLOR_EXPOSURE_INT, 80),
        (names.OB_PROP_COLOR_AUTO_WHITE_BALANCE_BOOL, True),
    ]
    driver.close()


def test_a_value_that_it_does_not_take_is_refused_at_first_and_a_warning_while_it_runs(node, bus):
    bus.serials, bus.told = ["CL8F000001"], []
    with pytest.raises(CameraError, match="orbbec.exposure is 1000.*1 .. 330"):
        camera(node, exposure=1000).open()
    driver = camera(node)
    driver.open()
    driver.set_option("exposure", 1000)
    while driver.read(0.05) is None:
        pass
    assert "1000" in driver.warning()
    driver.set_option("exposure", 100)
    driver.read(0.05)
    assert driver.warning() == ""
    driver.close()


def test_through_the_node_frames_in_are_frames_out_with_every_bit(ros: RosClient, jpegs, tmp_path):
    # One image, a pause in which publisher and subscriber find each other, then the others.
    stamps = [START_US, *(START_US + 4_000_000 + STEP_US * number for number in range(FRAMES - 1))]
    recording.write(tmp_path / "static.bag", jpegs, stamps, fps=FPS)
    ros.subscribe("camera/static/image_raw", Image, 100)
    ros.subscribe("camera/static/camera_info", CameraInfo, 100)
    parameters = ("role:=static", "camera_driver:=orbbec", "rate_hz:=15.0", "qos_reliability:=reliable")
    process = NodeProcess(
        "gr1_robot.cameras.node", *parameters, f"orbbec.playback:={tmp_path / 'static.bag'}"
    )
    _, values = ros.status(
        "camera_static: stream", lambda status: status.level == ERROR and "has ended" in status.message
    )
    process.end()
    heard = ros.messages("camera/static/image_raw")[-(FRAMES - 1) :]
    assert int(values["frames"]) == FRAMES and len(heard) == FRAMES - 1
    for message, jpeg in zip(heard, jpegs[1:], strict=True):
        assert np.array_equal(
            msg_to_image(message), cv2.resize(images.decode(jpeg), (640, 360), interpolation=cv2.INTER_AREA)
        )
    steps = np.diff([stamp_ns(message) for message in heard]) * 1e-9
    assert (steps > 0).all() and len(steps) / steps.sum() == pytest.approx(15.0, rel=0.02)
    lenses = {stamp_ns(info): info for info in ros.messages("camera/static/camera_info")}
    assert {stamp_ns(message) for message in heard} <= set(lenses)
    assert (
        lenses[stamp_ns(heard[0])].distortion_model == "rational_polynomial"
        and lenses[stamp_ns(heard[0])].k[0] == FX / 2
    )
