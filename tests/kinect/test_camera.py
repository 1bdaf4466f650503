"""What the Azure Kinect source asks of cameras that are plugged in, and what it does when they are not, or no
longer.
"""

import numpy as np
import pytest

from gr1_core import images
from gr1_robot.cameras import azure_kinect_device
from gr1_robot.cameras.driver import CameraError, Unplugged, driver_options, load_driver

from . import recording
from .bench import Bench
from .recording import noise, pyk4a

pytestmark = pytest.mark.kinect


@pytest.fixture(scope="module")
def jpegs():
    return [images.encode_jpeg(noise(number)) for number in range(3)]


@pytest.fixture(scope="module")
def file(jpegs, tmp_path_factory):
    path = tmp_path_factory.mktemp("kinect") / "static.mkv"
    recording.write(path, jpegs, [1_000_000 + 33_333 * number for number in range(3)])
    return str(path)


@pytest.fixture
def plug(file, monkeypatch):
    """plug("0001", "0002"): these cameras, and nothing else, are on the bus."""
    return lambda *serials: Bench(file, list(serials)).install(monkeypatch)


def camera(node, width=1280, height=720, rate_hz=20.0, **settings):
    defaults = {option.name: option.default for option in driver_options("azure_kinect")}
    return load_driver("azure_kinect", node, "static", width, height, rate_hz, defaults | settings)


def test_it_sends_its_pictures_with_every_bit(node, plug, jpegs):
    plug("0001")
    driver = camera(node)
    driver.open()
    frames = [driver.read(0.05) for _ in jpegs]
    assert all(
        np.array_equal(frame.image, images.decode(jpeg)) for frame, jpeg in zip(frames, jpegs, strict=True)
    )
    assert driver.read(0.05) is None, "never the same frame twice"
    assert "0001" in driver.describe() and driver.rate_hz == 30.0
    driver.close()
    driver.close()


def test_a_frame_whose_stamp_is_not_new_is_left_out_and_counted(node, plug):
    camera_there = plug("0001").cameras[0]
    driver = camera(node)
    driver.open()
    capture = camera_there.get_capture(0)
    camera_there.get_capture = lambda timeout: capture
    assert driver.read(0.05) is not None and driver.read(0.05) is None
    assert driver.diagnostic_values()["repeated_stamps"] == 1
    driver.close()


def test_it_asks_for_colour_alone(node, plug):
    bench = plug("0001")
    camera(node).open()
    config = bench.cameras[0].config
    assert config.depth_mode == pyk4a.DepthMode.OFF and not config.synchronized_images_only
    assert config.color_format == pyk4a.ImageFormat.COLOR_MJPG


@pytest.mark.parametrize(
    ("size", "rate_hz", "resolution", "wanted"),
    [
        ((640, 360), 20.0, "auto", ("720p", 30)),
        ((640, 480), 10.0, "auto", ("1536p", 15)),
        ((1920, 1080), 5.0, "auto", ("1080p", 5)),
        ((640, 360), 30.0, "2160p", ("2160p", 30)),
    ],
)
def test_it_asks_for_the_smallest_picture_and_the_lowest_rate_that_suffice(
    node, plug, size, rate_hz, resolution, wanted
):
    bench = plug("0001")
    driver = camera(node, *size, rate_hz, resolution=resolution)
    driver.open()
    config = bench.cameras[0].config
    assert (
        config.color_resolution == pyk4a.ColorResolution[f"RES_{wanted[0].upper()}"]
        and config.camera_fps == pyk4a.FPS[f"FPS_{wanted[1]}"]
    )
    assert driver.rate_hz == wanted[1]


def test_a_camera_that_comes_back_slower_is_taken_as_long_as_it_is_fast_enough(node, jpegs, tmp_path):
    driver = camera(node, rate_hz=10.0)
    for fps in (30, 15):
        file = tmp_path / f"{fps}.mkv"
        recording.write(file, jpegs[:2], [1_000_000, 1_000_000 + 10**6 // fps], fps=pyk4a.FPS[f"FPS_{fps}"])
        driver.settings["playback"] = str(file)
        driver.open()
        driver.close()
        assert driver.rate_hz == fps


def test_what_is_not_fixed_is_set_back_to_automatic(node, plug):
    bench = plug("0001")
    camera(node).open()
    assert bench.cameras[0].controls == {"exposure_mode_auto": True, "whitebalance_mode_auto": True}


def test_exposure_and_white_balance_change_while_it_runs(node, plug):
    bench = plug("0001")
    driver = camera(node, exposure=8_330, white_balance=4_500)
    driver.open()
    assert bench.cameras[0].controls == {"exposure": 8_330, "whitebalance": 4_500}
    driver.set_option("exposure", 16_670)
    assert driver.read(0.05) is not None
    assert bench.cameras[0].controls["exposure"] == 16_670 and driver.warning() == ""


def test_a_wrong_value_while_it_runs_is_a_warning_and_frames_go_on(node, plug):
    bench = plug("0001")
    driver = camera(node, exposure=8_330)
    driver.open()
    driver.set_option("exposure", 50_000)
    assert driver.read(0.05) is not None
    assert (
        bench.cameras[0].controls["exposure"] == 8_330
        and "50000" in driver.warning()
        and "33333" in driver.warning()
    )
    driver.set_option("exposure", 10_000)
    assert driver.read(0.05) is not None and driver.warning() == ""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"exposure": 100}, ["azure_kinect.exposure", "100", "500 to 133330"]),
        ({"exposure": 50_000}, ["azure_kinect.exposure", "50000", "33333", "rate_hz"]),
        ({"white_balance": 1_000}, ["azure_kinect.white_balance", "1000", "2500 to 12500"]),
        ({"white_balance": 4_505}, ["azure_kinect.white_balance", "4505", "10"]),
        ({"rate_hz": 60.0}, ["rate_hz", "60", "30"]),
        ({"resolution": "3072p", "rate_hz": 20.0}, ["3072p", "15", "30"]),
        ({"width": 4096, "height": 4096}, ["4096x4096"]),
    ],
)
def test_what_the_camera_cannot_do_is_refused_by_name(node, plug, settings, words):
    for serials in ((), ("0001",)):
        bench = plug(*serials)
        with pytest.raises(CameraError) as error:
            camera(node, **settings).open()
        assert not isinstance(error.value, Unplugged), "waiting would not help"
        assert all(word in str(error.value) for word in words) and not any(
            plugged.opened for plugged in bench.cameras
        )


def test_several_cameras_are_listed_until_one_is_named(node, plug):
    bench = plug("0002", "0001")
    with pytest.raises(CameraError, match="0001, 0002.*azure_kinect.serial") as error:
        camera(node).open()
    assert not isinstance(error.value, Unplugged)
    driver = camera(node, serial="0001")
    driver.open()
    assert "0001" in driver.describe() and [camera.opened for camera in bench.cameras] == [False, True]


@pytest.mark.parametrize(
    ("serials", "serial", "busy", "words"),
    [
        ((), "", False, ["no Azure Kinect", "none is plugged in"]),
        (("0001",), "0007", False, ["0007", "found: 0001"]),
        (("0001",), "", True, ["in use", "udev"]),
    ],
)
def test_a_camera_that_is_not_there_is_looked_for_and_named(node, plug, serials, serial, busy, words):
    bench = plug(*serials)
    for plugged in bench.cameras:
        plugged.busy = busy
    with pytest.raises(Unplugged) as error:
        camera(node, serial=serial).open()
    assert all(word in str(error.value) for word in words)


def test_a_camera_that_does_not_start_is_let_go_and_looked_for(node, plug):
    bench = plug("0001")
    plugged, start = bench.cameras[0], bench.cameras[0].start

    def fail():
        raise pyk4a.K4AException()

    plugged.start = fail
    driver = camera(node)
    with pytest.raises(Unplugged, match="0001 does not start.*USB 2"):
        driver.open()
    driver.close()
    assert not plugged.opened
    plugged.start = start
    driver.open()
    assert driver.read(0.05) is not None


def test_a_pulled_cable_is_named_and_the_camera_comes_back(node, plug, jpegs):
    bench = plug("0001")
    driver = camera(node)
    driver.open()
    driver.read(0.05)
    bench.cameras[0].gone = True
    with pytest.raises(Unplugged, match="0001 is gone"):
        driver.read(0.05)
    driver.close()
    with pytest.raises(Unplugged):
        driver.open()
    driver.close()
    bench.cameras[0].gone = False
    driver.open()
    assert np.array_equal(driver.read(0.05).image, images.decode(jpegs[0]))


def test_a_camera_that_falls_silent_is_opened_again(node, plug, monkeypatch):
    bench = plug("0001")
    monkeypatch.setattr(azure_kinect_device, "_SILENT_S", 0.0)
    driver = camera(node)
    driver.open()
    assert driver.read(0.05) is not None
    bench.cameras[0].silent = True
    with pytest.raises(Unplugged, match="0001 has sent nothing"):
        driver.read(0.05)
