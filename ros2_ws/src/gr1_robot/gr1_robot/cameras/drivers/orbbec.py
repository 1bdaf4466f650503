"""An Orbbec camera's colour stream through the vendor's SDK, such as the Femto Bolt, the Azure Kinect's
successor.

ROS-free. Guide: docs/how-to/connect_cameras.md.
"""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path

import numpy as np

from gr1_common.option import Option
from gr1_core import images
from gr1_core.images import ImageError
from gr1_robot.cameras.driver import CameraError, Frame, PlaybackEnded, Unplugged
from gr1_robot.cameras.framing import Framing, choose_size
from gr1_robot.cameras.real_camera import RealCamera, choose_serial

OPTIONS = (
    Option("serial", "", "Serial number, where several are connected; empty: the only one."),
    Option(
        "playback",
        "",
        "A recording (.bag) of the vendor's viewer or SDK to play instead of a camera, once, at its own "
        "pace.",
    ),
    Option("exposure", 0, "Fixed exposure in the camera's units; 0: automatic.", low=0, live=True),
    Option("white_balance", 0, "Fixed colour temperature, K; 0: automatic.", low=0, live=True),
)
_SETTINGS = {"exposure": "EXPOSURE", "white_balance": "WHITE_BALANCE"}
_SILENT_S = 0.5  # after so long without a frame the driver checks whether the camera is still connected
_STUCK_S = 4.0  # connected, but silent for so long: it is reopened


class Camera(RealCamera):
    """A camera and a recording use the same pipeline of the vendor's; only the device differs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._pipeline = self._device = None
        self._name, self._serial = "Orbbec camera", ""
        self._damaged = self._lost = 0

    def open(self) -> None:
        ob = _library()
        recorded = bool(self.settings["playback"])
        with _sdk_errors_as(CameraError if recorded else Unplugged, f"{self._name} does not start"):
            context = _context()
            self._device = self._recording(ob) if recorded else self._find(context)
            info = self._device.get_device_info()
            self._serial = info.get_serial_number()
            self._name = (
                f"{info.get_name()}, serial number {self._serial}, firmware {info.get_firmware_version()}"
            )
            self._pipeline = ob.Pipeline(self._device)
            profile = self._choose(ob)
            if not recorded:
                self._configure(ob)
            config = ob.Config()
            config.enable_stream(profile)
            self._pipeline.start(config)
        size = profile.get_width(), profile.get_height()
        self.rate_hz = float(profile.get_fps())
        self._framing = Framing(size, (self.width, self.height))
        matrix, self._distortion = _calibration(profile)
        self._intrinsics = self._framing.intrinsics(matrix)
        video = str(self._framing) or f"{self.width}x{self.height}"
        self._description = f"{self._name}, {info.get_connection_type()}; {video} at {profile.get_fps()} Hz"
        self._number, self._over = None, False
        self._heard = time.monotonic()
        self._clock.restart()

    def read(self, timeout: float) -> Frame | None:
        ob = _library()
        self._apply_changed_settings()
        with _sdk_errors_as(Unplugged, f"{self._name} stopped"):
            frames = self._pipeline.wait_for_frames(max(int(1e3 * timeout), 1))
        arrival = self.arrival()
        frame = frames.get_color_frame() if frames else None
        if frame is None:
            self._check_silence(ob)
            return None
        self._heard = time.monotonic()
        number, before = frame.get_index(), self._number
        if before is not None and number > before:
            self._lost += number - before - 1
        self._number = number
        stamp = self._clock.stamp(1000 * frame.get_timestamp_us(), arrival)
        if stamp is None:
            return None
        try:
            image = images.decode(frame.get_data())
            if image.shape[1::-1] != self._framing.native:
                raise ImageError(f"it is {image.shape[1]}x{image.shape[0]}")
        except ImageError as error:
            self._damaged += 1
            self.node.get_logger().warning(
                f"{self._name}: an image is dropped: {error}", throttle_duration_sec=5.0
            )
            return None
        return Frame(stamp, self._framing.image(image), self._intrinsics, self._distortion)

    def close(self) -> None:
        pipeline, self._pipeline, self._device = self._pipeline, None, None
        if pipeline:
            with (
                contextlib.suppress(CameraError),
                _sdk_errors_as(CameraError, "it never started, or the device is gone"),
            ):
                pipeline.stop()

    def diagnostic_values(self) -> dict[str, object]:
        return {"lost_by_camera": self._lost, "damaged": self._damaged, **self._clock.diagnostic_values()}

    def missing(self) -> str:
        return (
            f"{self._name} is open, but sends no frame" if self._pipeline else f"{self._name} is being opened"
        )

    # Opening

    def _recording(self, ob):
        file = self.settings["playback"]
        if not Path(file).is_file():
            raise CameraError(f"orbbec.playback is '{file}': there is no such file")
        with _sdk_errors_as(CameraError, f"orbbec.playback is '{file}': the SDK cannot play it"):
            return ob.PlaybackDevice(file)

    def _find(self, context):
        devices = context.query_devices()
        remedy = "check its cable, its power and its udev rules"
        return devices.get_device_by_serial_number(
            choose_serial(_serials(devices), self.settings["serial"], "Orbbec", "orbbec.serial", remedy)
        )

    def _choose(self, ob):
        """The smallest sufficient colour profile in MJPG, the format that has every size and rate."""
        profiles = self._pipeline.get_stream_profile_list(ob.OBSensorType.COLOR_SENSOR)
        videos = [
            profiles.get_stream_profile_by_index(number).as_video_stream_profile()
            for number in range(profiles.get_count())
        ]
        offered = {
            (p.get_width(), p.get_height(), p.get_fps()): p
            for p in videos
            if p.get_format() == ob.OBFormat.MJPG
        }
        size = choose_size(
            ((w, h) for w, h, fps in offered if fps >= self._requested_hz), self.width, self.height
        )
        if size is None:
            raise CameraError(
                f"{self._name} has no MJPG colour stream that covers {self.width}x{self.height} at "
                f"{self._requested_hz:g} Hz or more, only: "
                + (", ".join("{}x{} at {}".format(*mode) for mode in sorted(offered)) or "none at all")
            )
        return offered[min(mode for mode in offered if mode[:2] == size and mode[2] >= self._requested_hz)]

    # Settings

    def _configure(self, ob) -> None:
        """Raises CameraError for a value that this camera does not support. It may keep old settings:
        "automatic" is sent too.
        """
        for name, property_name in _SETTINGS.items():
            value = self.settings[name]
            automatic = getattr(ob.OBPropertyID, f"OB_PROP_COLOR_AUTO_{property_name}_BOOL")
            fixed = getattr(ob.OBPropertyID, f"OB_PROP_COLOR_{property_name}_INT")
            if not self._device.is_property_supported(automatic, ob.OBPermissionType.PERMISSION_WRITE):
                if value:
                    raise CameraError(f"orbbec.{name} is {value}, but {self._name} has no such setting")
                continue
            if value:
                limits = self._device.get_int_property_range(fixed)
                if not limits.min <= value <= limits.max:
                    raise CameraError(
                        f"orbbec.{name} is {value}, but {self._name} accepts {limits.min} .. {limits.max} "
                        f"in steps of {limits.step}"
                    )
            self._device.set_bool_property(automatic, not value)
            if value:
                self._device.set_int_property(fixed, value)

    def _apply_settings(self) -> None:
        with _sdk_errors_as(Unplugged, f"{self._name} refuses its settings"):
            self._configure(_library())

    def _check_silence(self, ob) -> None:
        """Raises PlaybackEnded or Unplugged when no frame will arrive."""
        if self.settings["playback"]:
            # The last frame may not have arrived yet when the status says that it was read.
            over, self._over = self._over, self._device.get_playback_status() == ob.OBPlaybackStatus.STOPPED
            if over and self._number is not None:
                raise PlaybackEnded(f"the recording '{self.settings['playback']}' has ended")
            return
        silent = time.monotonic() - self._heard
        if silent >= _SILENT_S and self._serial not in _serials(_context().query_devices()):
            raise Unplugged(f"{self._name} is no longer connected")
        if silent >= _STUCK_S:
            raise Unplugged(f"{self._name} is connected, but has sent no frame for {silent:.0f} s")


def _library():
    try:
        import pyorbbecsdk
    except ImportError as error:
        remedy = "pip install --no-deps pyorbbecsdk2 (its other dependencies are for its examples only)"
        raise CameraError(
            f"the camera driver 'orbbec' needs the vendor's Python package: {remedy}: {error}"
        ) from error
    return pyorbbecsdk


@functools.cache
def _context():
    """One per process: it monitors the bus. Without its log file, which it would write to the working
    directory.
    """
    ob = _library()
    ob.Context.set_logger_to_file(ob.OBLogLevel.NONE, "")
    ob.Context.set_logger_to_console(ob.OBLogLevel.ERROR)
    return ob.Context()


@contextlib.contextmanager
def _sdk_errors_as(kind: type[CameraError], what: str):
    """Turns the SDK's errors into `kind`: the binding raises its own, and RuntimeError from constructors."""
    try:
        yield
    except CameraError:
        raise
    except (_library().OBError, RuntimeError) as error:
        raise kind(f"{what}: {error}") from error


def _serials(devices) -> list[str]:
    return [devices.get_device_serial_number_by_index(number) for number in range(devices.get_count())]


def _calibration(profile) -> tuple[np.ndarray, tuple[float, ...]]:
    """f64[3, 3] in pixels; k1, k2, p1, p2, k3, k4, k5, k6 of the rational model, in OpenCV's order."""
    k, d = profile.get_intrinsic(), profile.get_distortion()
    matrix = np.array([[k.fx, 0.0, k.cx], [0.0, k.fy, k.cy], [0.0, 0.0, 1.0]])
    return matrix, (d.k1, d.k2, d.p1, d.p2, d.k3, d.k4, d.k5, d.k6)
