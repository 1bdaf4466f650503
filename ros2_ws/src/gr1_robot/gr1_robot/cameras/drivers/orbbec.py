"""An Orbbec camera's colour stream through the vendor's SDK: the Femto Bolt, the Azure Kinect's successor. See docs/how-to/connect_cameras.md."""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path

import numpy as np

from gr1_common.option import Option
from gr1_core import images
from gr1_core.images import ImageError
from gr1_robot.cameras.driver import Ended, Frame, SourceError, Unplugged
from gr1_robot.cameras.framing import Framing, choose
from gr1_robot.cameras.real_camera import RealCamera, pick

OPTIONS = (
    Option("serial", "", "Serial number, where several are plugged in; empty: the only one."),
    Option(
        "playback",
        "",
        "A recording (.bag) of the vendor's viewer or SDK to play in place of a camera, once, at its own pace.",
    ),
    Option("exposure", 0, "Fixed exposure in the camera's units; 0: automatic.", low=0, live=True),
    Option("white_balance", 0, "Fixed colour temperature, K; 0: automatic.", low=0, live=True),
)
_SETTINGS = {"exposure": "EXPOSURE", "white_balance": "WHITE_BALANCE"}
_SILENT_S = 0.5  # without a frame for so long, the bus is asked whether the camera is still there
_STUCK_S = 4.0  # there, but silent for so long: it is opened again


class Camera(RealCamera):
    """A live camera and a recording run through the same vendor's pipeline; only where its device comes from differs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._pipeline = self._device = None
        self._name, self._serial = "Orbbec camera", ""
        self._damaged = self._lost = 0

    def open(self) -> None:
        ob = _library()
        recorded = bool(self.settings["playback"])
        with _sdk(SourceError if recorded else Unplugged, f"{self._name} does not start"):
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
        matrix, self._distortion = _lens(profile)
        self._intrinsics = self._framing.intrinsics(matrix)
        video = str(self._framing) or f"{self.width}x{self.height}"
        self._description = f"{self._name}, {info.get_connection_type()}; {video} at {profile.get_fps()} Hz"
        self._number, self._over = None, False
        self._heard = time.monotonic()
        self._clock.begin()

    def read(self, timeout: float) -> Frame | None:
        ob = _library()
        self._take_changes()
        with _sdk(Unplugged, f"{self._name} stopped"):
            frames = self._pipeline.wait_for_frames(max(int(1e3 * timeout), 1))
        arrival = self.arrival()
        frame = frames.get_color_frame() if frames else None
        if frame is None:
            self._why_silent(ob)
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
                f"{self._name}: a picture is left out: {error}", throttle_duration_sec=5.0
            )
            return None
        return Frame(stamp, self._framing.image(image), self._intrinsics, self._distortion)

    def close(self) -> None:
        pipeline, self._pipeline, self._device = self._pipeline, None, None
        if pipeline:
            with (
                contextlib.suppress(SourceError),
                _sdk(SourceError, "it never started, or the device is gone"),
            ):
                pipeline.stop()

    def values(self) -> dict[str, object]:
        return {"lost_by_camera": self._lost, "damaged": self._damaged, **self._clock.values()}

    def waits_for(self) -> str:
        return (
            f"{self._name} is open, but sends no frame" if self._pipeline else f"{self._name} is being opened"
        )

    # Opening

    def _recording(self, ob):
        file = self.settings["playback"]
        if not Path(file).is_file():
            raise SourceError(f"orbbec.playback is '{file}': there is no such file")
        with _sdk(SourceError, f"orbbec.playback is '{file}': the SDK cannot play it"):
            return ob.PlaybackDevice(file)

    def _find(self, context):
        devices = context.query_devices()
        remedy = "look at its cable, its power and its udev rules"
        return devices.get_device_by_serial_number(
            pick(_serials(devices), self.settings["serial"], "Orbbec", "orbbec.serial", remedy)
        )

    def _choose(self, ob):
        """The colour profile that suffices: MJPG, which every size and rate comes in."""
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
        size = choose(((w, h) for w, h, fps in offered if fps >= self._least_hz), self.width, self.height)
        if size is None:
            raise SourceError(
                f"{self._name} has no MJPG colour stream that covers {self.width}x{self.height} at {self._least_hz:g} Hz or more, only: "
                + (", ".join("{}x{} at {}".format(*mode) for mode in sorted(offered)) or "none at all")
            )
        return offered[min(mode for mode in offered if mode[:2] == size and mode[2] >= self._least_hz)]

    # Settings

    def _configure(self, ob) -> None:
        """Raises SourceError for a value that this camera does not take. What it was told once it may keep: "automatic" is said too."""
        for name, property_name in _SETTINGS.items():
            value = self.settings[name]
            automatic = getattr(ob.OBPropertyID, f"OB_PROP_COLOR_AUTO_{property_name}_BOOL")
            fixed = getattr(ob.OBPropertyID, f"OB_PROP_COLOR_{property_name}_INT")
            if not self._device.is_property_supported(automatic, ob.OBPermissionType.PERMISSION_WRITE):
                if value:
                    raise SourceError(f"orbbec.{name} is {value}, but {self._name} has no such setting")
                continue
            if value:
                limits = self._device.get_int_property_range(fixed)
                if not limits.min <= value <= limits.max:
                    raise SourceError(
                        f"orbbec.{name} is {value}, but {self._name} takes {limits.min} .. {limits.max} in steps of {limits.step}"
                    )
            self._device.set_bool_property(automatic, not value)
            if value:
                self._device.set_int_property(fixed, value)

    def _apply_settings(self) -> None:
        with _sdk(Unplugged, f"{self._name} does not take its settings"):
            self._configure(_library())

    def _why_silent(self, ob) -> None:
        """Raises Ended or Unplugged once it is clear that no frame will come."""
        if self.settings["playback"]:
            # The last frame may still be on its way when the status says that it was read.
            over, self._over = self._over, self._device.get_playback_status() == ob.OBPlaybackStatus.STOPPED
            if over and self._number is not None:
                raise Ended(f"the recording '{self.settings['playback']}' has ended")
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
        remedy = "pip install --no-deps pyorbbecsdk2 (what its package asks for besides is for its examples)"
        raise SourceError(
            f"the source 'orbbec' needs the vendor's Python package: {remedy}: {error}"
        ) from error
    return pyorbbecsdk


@functools.cache
def _context():
    """One for the process: it watches the bus. Without its log file, which would lie in the working directory."""
    ob = _library()
    ob.Context.set_logger_to_file(ob.OBLogLevel.NONE, "")
    ob.Context.set_logger_to_console(ob.OBLogLevel.ERROR)
    return ob.Context()


@contextlib.contextmanager
def _sdk(kind: type[SourceError], what: str):
    """An error of the SDK inside becomes `kind`; the binding raises its own, and RuntimeError from constructors."""
    try:
        yield
    except SourceError:
        raise
    except (_library().OBError, RuntimeError) as error:
        raise kind(f"{what}: {error}") from error


def _serials(devices) -> list[str]:
    return [devices.get_device_serial_number_by_index(number) for number in range(devices.get_count())]


def _lens(profile) -> tuple[np.ndarray, tuple[float, ...]]:
    """f64[3, 3] in pixels; k1, k2, p1, p2, k3, k4, k5, k6, OpenCV's order, as the Femto's rational model has them."""
    k, d = profile.get_intrinsic(), profile.get_distortion()
    matrix = np.array([[k.fx, 0.0, k.cx], [0.0, k.fy, k.cy], [0.0, 0.0, 1.0]])
    return matrix, (d.k1, d.k2, d.p1, d.p2, d.k3, d.k4, d.k5, d.k6)
