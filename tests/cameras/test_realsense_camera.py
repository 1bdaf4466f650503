"""The RealSense source as a live camera: librealsense's own pipeline, with a recording where the USB bus
would be.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from gr1_robot.cameras.driver import CameraError, Unplugged, driver_options, load_driver

from .realsense import SERIAL, record, rs

RANGES = {
    "exposure": (1, 10000, 1, 156),
    "gain": (0, 128, 1, 64),
    "white_balance": (2800, 6500, 10, 4600),
    "power_line_frequency": (0, 2, 1, 2),
    "enable_auto_exposure": (0, 1, 1, 1),
    "enable_auto_white_balance": (0, 1, 1, 1),
    "auto_exposure_priority": (0, 1, 1, 0),
}


class Sensor:
    """The recording's colour sensor with a D435's options; keeps what was set, in its order."""

    def __init__(self, profiles):
        self.profiles, self.set = profiles, {}

    def get_stream_profiles(self):
        return self.profiles

    def supports(self, option):
        return option.name in RANGES

    def get_option_range(self, option):
        return SimpleNamespace(
            **dict(zip(("min", "max", "step", "default"), RANGES[option.name], strict=True))
        )

    def set_option(self, option, value):
        self.set[option.name] = value


class Device:
    """A camera on the bus."""

    def __init__(self, recorded, serial):
        self._recorded, self._serial = recorded, serial
        self.sensor = Sensor(recorded.query_sensors()[0].get_stream_profiles())

    def supports(self, field):
        return self._recorded.supports(field)

    def get_info(self, field):
        return self._serial if field == rs.camera_info.serial_number else self._recorded.get_info(field)

    def query_sensors(self):
        return [self.sensor]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record(tmp_path_factory.mktemp("realsense") / "live.db3", frames=15, usb="2.1")


class Bus(list):
    """The devices on the USB bus."""

    def __init__(self, path):
        self._recorded = rs.context().load_device(path)

    def plug(self, serial=SERIAL) -> Sensor:
        self.append(Device(self._recorded, serial))
        return self[-1].sensor


@pytest.fixture
def bus(monkeypatch, recording):
    bus = Bus(recording.path)

    class Config(rs.config):
        def enable_device(self, serial):
            self.enable_device_from_file(recording.path, repeat_playback=False)

    class Pipeline(rs.pipeline):
        def start(self, config):
            config.resolve(rs.pipeline_wrapper(self)).get_device().as_playback().set_real_time(False)
            return super().start(config)

    monkeypatch.setattr(rs, "pipeline", Pipeline)
    monkeypatch.setattr(rs, "context", lambda: SimpleNamespace(query_devices=lambda: list(bus)))
    monkeypatch.setattr(rs, "config", Config)
    return bus


@pytest.fixture
def camera(node):
    """Makes a source, and closes it after the test."""
    made = []

    def make(width=320, height=240, rate_hz=20.0, **settings):
        defaults = {option.name: option.default for option in driver_options("realsense")}
        made.append(load_driver("realsense", node, "wrist", width, height, rate_hz, defaults | settings))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def some(driver, count=3):
    """The next frames."""
    frames = []
    while len(frames) < count:
        if frame := driver.read(0.05):
            frames.append(frame)
    return frames


def until_lost(driver):
    """What the driver says when its camera goes."""
    with pytest.raises(Unplugged) as lost:
        while True:
            driver.read(0.05)
    return str(lost.value)


def test_without_a_camera_it_says_so_and_may_be_tried_again(bus, camera):
    driver = camera()
    with pytest.raises(Unplugged, match="no RealSense is connected"):
        driver.open()
    bus.plug()
    driver.open()
    assert some(driver)


def test_the_serial_number_chooses_among_several(bus, camera):
    bus.plug("111")
    bus.plug("222")
    with pytest.raises(
        CameraError, match="2 RealSense cameras are connected .111, 222.: select one with realsense.serial"
    ) as refused:
        camera().open()
    assert not isinstance(refused.value, Unplugged), "to try again would not help"
    driver = camera(serial="222")
    driver.open()
    assert "serial number 222" in driver.describe()
    with pytest.raises(Unplugged, match="333 is connected .connected: 111, 222"):
        camera(serial="333").open()


def test_a_pulled_cable_is_noticed_and_a_replugged_camera_goes_on(bus, camera, recording):
    bus.plug()
    driver = camera()
    driver.open()
    before = some(driver)
    bus.clear()
    lost = until_lost(driver)
    assert SERIAL in lost and "no longer on the USB bus" in lost
    driver.close()
    with pytest.raises(Unplugged):
        driver.open()
    bus.plug()
    driver.open()
    after = some(driver)
    assert after[0].stamp > before[-1].stamp and any(
        np.array_equal(after[0].image, image) for image in recording.images
    )


def test_a_cable_pulled_while_it_is_opened_is_a_reason_to_try_again(bus, camera):
    sensor = bus.plug()

    def gone(option, value):
        raise RuntimeError("xioctl(VIDIOC_S_CTRL) failed Last Error: No such device")

    sensor.set_option = gone
    with pytest.raises(Unplugged, match=f"{SERIAL}.*No such device"):
        camera().open()


def test_a_camera_that_is_there_but_silent_is_opened_again(bus, camera):
    bus.plug()
    driver = camera()
    driver.open()
    assert "has sent no frame" in until_lost(driver)


def test_the_automatic_settings_never_cost_frames(bus, camera):
    sensor = bus.plug()
    camera().open()
    assert sensor.set == {
        "auto_exposure_priority": 0,
        "enable_auto_exposure": 1,
        "enable_auto_white_balance": 1,
    }


def test_fixed_settings_switch_the_automatic_ones_off(bus, camera):
    sensor = bus.plug()
    camera(exposure=100, gain=16, white_balance=4000, power_line_frequency="50").open()
    assert sensor.set == {
        "auto_exposure_priority": 0,
        "enable_auto_exposure": 0,
        "exposure": 100,
        "gain": 16,
        "enable_auto_white_balance": 0,
        "white_balance": 4000,
        "power_line_frequency": 1,
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exposure": 20000}, ["realsense.exposure is 20000", SERIAL, "1 .. 10000", "default 156"]),
        ({"exposure": 100, "gain": 999}, ["realsense.gain is 999", "0 .. 128"]),
        ({"white_balance": 100}, ["realsense.white_balance is 100", "2800 .. 6500"]),
        ({"gain": 16}, ["realsense.gain", "fixed realsense.exposure"]),
        ({"power_line_frequency": "auto"}, ["realsense.power_line_frequency is auto", "0 .. 2"]),
    ],
)
def test_a_setting_out_of_range_is_refused_with_the_cameras_range(bus, camera, settings, words):
    bus.plug()
    with pytest.raises(CameraError) as refused:
        camera(**settings).open()
    assert all(word in str(refused.value) for word in words) and not isinstance(refused.value, Unplugged)


def test_a_setting_may_change_while_it_runs_and_a_wrong_one_is_only_a_warning(bus, camera):
    sensor = bus.plug()
    driver = camera()
    driver.open()
    some(driver, 1)
    driver.set_option("exposure", 99999)
    some(driver, 1)
    assert "1 .. 10000" in driver.warning() and sensor.set["enable_auto_exposure"] == 0
    driver.set_option("exposure", 200)
    some(driver, 1)
    assert sensor.set["exposure"] == 200 and "realsense.exposure" not in driver.warning()


def test_a_usb_2_link_is_named(bus, camera):
    bus.plug()
    driver = camera()
    driver.open()
    assert "USB 2.1" in driver.describe() and "USB 3" in driver.describe()
    assert "USB 2.1" in driver.warning() and "USB 3" in driver.warning()
    with pytest.raises(CameraError, match="no rgb8 colour stream.*USB 2.1, which offers fewer modes"):
        camera(rate_hz=90.0).open()


class Broken:
    """A device without a serial number, in recovery mode or just there, or one that is being unplugged."""

    def __init__(self, name, recovery=False, error=""):
        self.name, self.recovery, self.error = name, recovery, error

    def supports(self, field):
        if self.error:
            raise RuntimeError(self.error)
        return field == rs.camera_info.name

    def get_info(self, field):
        if field == rs.camera_info.name:
            return self.name
        raise RuntimeError("serial number is not supported by the device!")

    def is_update_device(self):
        return self.recovery

    def query_sensors(self):
        raise RuntimeError("a device in recovery mode has no sensors")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Broken("Intel RealSense D4XX Recovery"), "recovery mode.*rs-fw-update -r"),
        (Broken("Intel RealSense D435", recovery=True), "recovery mode.*rs-fw-update -r"),
        (Broken("Intel RealSense D435"), "tells no serial number"),
        (Broken("", error="failed to set power state"), "tells no serial number|plug it in again"),
    ],
)
def test_a_device_that_cannot_be_used_does_not_block_the_others(bus, camera, other, said):
    bus.append(other)
    with pytest.raises(Unplugged, match=said):
        camera().open()
    bus.plug()
    for settings in ({}, {"serial": SERIAL}):
        driver = camera(**settings)
        driver.open()
        assert some(driver)
        driver.close()
    assert re.search(said, driver.warning())


@pytest.mark.parametrize("wanted", ["", "111"])
def test_two_cameras_with_one_serial_number_are_refused(bus, camera, wanted):
    bus.plug("111")
    bus.plug("111")
    bus.plug("222")
    with pytest.raises(CameraError, match="2 RealSense cameras have the serial number 111") as refused:
        camera(serial=wanted).open()
    assert not isinstance(refused.value, Unplugged), "to try again would not help"
    camera(serial="222").open()


@pytest.mark.parametrize(("wanted", "written"), [(True, 1), (False, 0)])
def test_global_time_can_be_switched_off(bus, camera, monkeypatch, wanted, written):
    monkeypatch.setitem(RANGES, "global_time_enabled", (0, 1, 1, 1))
    sensor = bus.plug()
    camera(global_time=wanted).open()
    assert sensor.set["global_time_enabled"] == written


def test_a_larger_picture_is_cropped_and_reduced_as_its_lens(bus, camera, recording):
    bus.plug()
    driver = camera(width=84, height=84)
    driver.open()
    frame = some(driver, 1)[0]
    assert (
        frame.image.shape == (84, 84, 3)
        and "320x240 cropped to 240x240 reduced to 84x84" in driver.describe()
    )
    native = camera()
    native.open()
    assert frame.intrinsics[0, 0] == pytest.approx(some(native, 1)[0].intrinsics[0, 0] * 84 / 240)
