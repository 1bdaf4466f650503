"""An Intel RealSense's colour stream through librealsense (pyrealsense2). ROS-free.

Guide: docs/how-to/connect_cameras.md.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gr1_common.option import Option
from gr1_robot.cameras.driver import CameraError, Frame, PlaybackEnded, Unplugged
from gr1_robot.cameras.framing import Framing, choose_size
from gr1_robot.cameras.lens_model import fit_plumb_bob
from gr1_robot.cameras.real_camera import RealCamera, choose_serial

_POWER_LINE = {"off": 0, "50": 1, "60": 2, "auto": 3}
OPTIONS = (
    Option(
        "serial",
        "",
        "Serial number of the camera, needed when several are connected; _123 means 123 and stays a "
        "string in ROS.",
    ),
    Option(
        "playback",
        "",
        "A file recorded by librealsense (.db3, or an older .bag), played once at its own pace instead "
        "of a camera.",
    ),
    Option(
        "exposure",
        0,
        "Fixed exposure in the camera's units (most colour cameras: 0.1 ms); 0: automatic.",
        low=0,
        live=True,
    ),
    Option("gain", 0, "Fixed gain, with a fixed exposure only; 0: the camera's default.", low=0, live=True),
    Option("white_balance", 0, "Fixed colour temperature, K; 0: automatic.", low=0, live=True),
    Option(
        "global_time",
        True,
        "librealsense converts the stamps to the computer's clock; false: the node does it, from the "
        "arrivals. Try false where frames come late after their stamp.",
        live=True,
    ),
    Option(
        "power_line_frequency",
        "as_is",
        "Against flicker of lamps: the mains' frequency, Hz.",
        choices=("as_is", *_POWER_LINE),
        live=True,
    ),
)
_SILENT_S = 0.5  # after so long without a frame the driver checks whether the camera is still connected
_STUCK_S = 3.0  # connected, but silent for so long: it is reopened


class Camera(RealCamera):
    """A camera and a recording use the same rs.pipeline; only its config differs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._serial = ""
        self._pipeline = self._playback = self._sensor = self._pending = None
        self._name = "RealSense"
        self._lost, self._figures = 0, {}
        self._slow_link, self._neighbours = "", []

    def open(self) -> None:
        with self._librealsense_errors():
            self._open(_library())

    def read(self, timeout: float) -> Frame | None:
        self._apply_changed_settings()
        with self._librealsense_errors():
            if self._pending is None:
                self._pending = self._next(timeout)
            if self._pending is None or not self._is_due(timeout):
                return None
            frame, self._pending = self._pending, None
            return self._finish(frame)

    def close(self) -> None:
        self._pending = self._sensor = self._playback = None
        pipeline, self._pipeline = self._pipeline, None
        if pipeline:
            try:
                pipeline.stop()
            except RuntimeError:
                pass  # it never started, or the camera is gone

    def diagnostic_values(self) -> dict[str, object]:
        return {"lost_by_camera": self._lost, **self._figures, **self._clock.diagnostic_values()}

    def warning(self) -> str:
        parts = [super().warning()]
        if self._clock.source == "host clock" and self._clock.warning():
            parts.append("if librealsense's global time is off, set realsense.global_time to false")
        return "; ".join(filter(None, (*parts, self._slow_link, *self._neighbours)))

    def missing(self) -> str:
        return (
            f"{self._name} is open, but sends no frame" if self._pipeline else f"{self._name} is being opened"
        )

    @contextmanager
    def _librealsense_errors(self):
        """Turns librealsense's errors (any call, once the cable is out) into Unplugged; for a recording into
        CameraError.
        """
        try:
            yield
        except CameraError:
            raise
        except RuntimeError as error:
            if file := self.settings["playback"]:
                raise CameraError(
                    f"realsense.playback is '{file}': librealsense cannot play it: {error}"
                ) from error
            raise Unplugged(f"{self._name} does not answer: {error}") from error

    # Opening

    def _open(self, rs) -> None:
        self._pipeline, config = rs.pipeline(), rs.config()
        if self.settings["playback"]:
            device = self._recording(rs, config)
        else:
            device = self._find(rs)
            self._serial = device.get_info(rs.camera_info.serial_number)
            config.enable_device(self._serial)
        self._name = _name(rs, device)
        self._slow_link = _slow_link(rs, device)
        self._sensor, profile = self._choose(rs, device)
        size = profile.width(), profile.height()
        config.enable_stream(rs.stream.color, profile.stream_index(), *size, rs.format.rgb8, profile.fps())
        if self.settings["playback"]:
            # Every frame is delivered, as late as it is asked for; set after the start, the first frames
            # would be lost.
            self._playback = config.resolve(rs.pipeline_wrapper(self._pipeline)).get_device().as_playback()
            self._playback.set_real_time(False)
        else:
            self._configure(rs)
        started = self._pipeline.start(config)
        self.rate_hz = float(profile.fps())
        self._framing = Framing(size, (self.width, self.height))
        stream = started.get_stream(rs.stream.color, profile.stream_index()).as_video_stream_profile()
        matrix, self._distortion, model = _calibration(rs, stream.get_intrinsics())
        self._intrinsics = self._framing.intrinsics(matrix)
        video = f"{str(self._framing) or f'{self.width}x{self.height}'} at {profile.fps()} Hz"
        self._description = "; ".join(part for part in (self._name, video, model, _link(rs, device)) if part)
        self._number, self._pending, self._paced = None, None, None
        self._heard = time.monotonic()
        self._clock.restart()

    def _recording(self, rs, config):
        file = self.settings["playback"]
        if not Path(file).is_file():
            raise CameraError(f"realsense.playback is '{file}': there is no such file")
        config.enable_device_from_file(file, repeat_playback=False)
        return config.resolve(rs.pipeline_wrapper(self._pipeline)).get_device()

    def _find(self, rs):
        wanted, (found, unusable) = self.settings["serial"].removeprefix("_"), _connected(rs)
        self._neighbours = unusable
        remedy = "; ".join(unusable) or "check its cable, and lsusb"
        chosen = choose_serial(
            (serial for serial, _ in found), wanted, "RealSense", "realsense.serial", remedy
        )
        return dict(found)[chosen]

    def _choose(self, rs, device):
        """The sensor with the colour stream, and the profile to request."""
        offered = [
            (sensor, profile.as_video_stream_profile())
            for sensor in device.query_sensors()
            for profile in sensor.get_stream_profiles()
            if profile.stream_type() == rs.stream.color and profile.format() == rs.format.rgb8
        ]
        fast = [(sensor, profile) for sensor, profile in offered if profile.fps() >= self._requested_hz]
        size = choose_size(
            ((profile.width(), profile.height()) for _, profile in fast), self.width, self.height
        )
        if size is None:
            modes = sorted({(profile.width(), profile.height(), profile.fps()) for _, profile in offered})
            raise CameraError(
                f"{self._name} has no rgb8 colour stream that covers {self.width}x{self.height} at "
                f"{self._requested_hz:g} Hz or more, only: "
                + (", ".join("{}x{} at {}".format(*mode) for mode in modes) or "none at all")
                + (f"; {self._slow_link}" if self._slow_link else "")
            )
        fitting = [item for item in fast if (item[1].width(), item[1].height()) == size]
        return min(fitting, key=lambda item: item[1].fps())

    # Settings

    def _configure(self, rs) -> None:
        """Raises CameraError for a value that this camera does not support."""
        option, wanted = rs.option, self.settings
        if wanted["gain"] and not wanted["exposure"]:
            raise CameraError(
                "realsense.gain needs a fixed realsense.exposure: the automatic one sets the gain itself"
            )
        # In dim light a camera would expose longer and lower its rate; a policy needs the rate.
        self._write_option(option.auto_exposure_priority, 0)
        self._write_option(option.global_time_enabled, 1 if wanted["global_time"] else 0)
        self._write_option(option.enable_auto_exposure, 0 if wanted["exposure"] else 1)
        if wanted["exposure"]:
            self._write_option(option.exposure, wanted["exposure"], "exposure")
            default = (
                self._sensor.get_option_range(option.gain).default
                if self._sensor.supports(option.gain)
                else 0
            )
            self._write_option(option.gain, wanted["gain"] or default, "gain" if wanted["gain"] else "")
        self._write_option(option.enable_auto_white_balance, 0 if wanted["white_balance"] else 1)
        if wanted["white_balance"]:
            self._write_option(option.white_balance, wanted["white_balance"], "white_balance")
        if wanted["power_line_frequency"] in _POWER_LINE:
            self._write_option(
                option.power_line_frequency,
                _POWER_LINE[wanted["power_line_frequency"]],
                "power_line_frequency",
            )

    def _write_option(self, option, value: float, name: str = "") -> None:
        """name: the setting behind it, "" for a default, which is skipped if the camera has no such
        option.
        """
        if not self._sensor.supports(option):
            if name:
                raise CameraError(
                    f"realsense.{name} is {self.settings[name]}, but {self._name} has no such option"
                )
            return
        limits = self._sensor.get_option_range(option)
        if name and not limits.min <= value <= limits.max:
            raise CameraError(
                f"realsense.{name} is {self.settings[name]}, but {self._name} accepts {limits.min:g} .. "
                f"{limits.max:g} "
                f"in steps of {limits.step:g} (default {limits.default:g})"
            )
        self._sensor.set_option(option, value)

    def _apply_settings(self) -> None:
        with self._librealsense_errors():
            self._configure(_library())

    # Frames

    def _next(self, timeout: float):
        arrived, frames = self._pipeline.try_wait_for_frames(max(int(1e3 * timeout), 1))
        frame = frames.get_color_frame() if arrived else None
        if frame:
            self._heard = time.monotonic()
            return frame
        self._check_silence()
        return None

    def _check_silence(self) -> None:
        rs = _library()
        silent = time.monotonic() - self._heard
        if silent < _SILENT_S:
            return
        if self._playback:
            # A playback is also "stopped" before it begins, and its last frame may arrive after the end of
            # the file.
            if self._playback.current_status() == rs.playback_status.stopped and (
                self._number is not None or silent > _STUCK_S
            ):
                raise PlaybackEnded(f"the recording '{self.settings['playback']}' has ended")
            return
        if self._serial not in dict(_connected(rs)[0]):
            raise Unplugged(f"{self._name} is no longer on the USB bus")
        if silent > _STUCK_S:
            raise Unplugged(f"{self._name} is connected, but has sent no frame for {silent:.0f} s")

    def _is_due(self, timeout: float) -> bool:
        """Whether the pending frame is due. Waits for a recorded frame's time, at most for the timeout."""
        if not self._playback:
            return True
        taken, now = self._pending.get_timestamp() * 1e-3, time.monotonic()
        if self._paced is None or taken < self._paced[0]:
            self._paced = taken, now
        wait = self._paced[1] + taken - self._paced[0] - now
        time.sleep(min(max(wait, 0.0), timeout))
        return wait <= timeout

    def _finish(self, frame) -> Frame | None:
        rs, arrival = _library(), self.arrival()
        number, before = frame.get_frame_number(), self._number
        if before is not None and number > before:
            self._lost += number - before - 1
        self._number = number
        host = frame.get_frame_timestamp_domain() != rs.timestamp_domain.hardware_clock and not self._playback
        stamp = self._clock.stamp(round(1e6 * frame.get_timestamp()), arrival, host)
        if stamp is None:
            return None
        self._figures = {
            name: frame.get_frame_metadata(kind)
            for name, kind in (
                ("exposure_us", rs.frame_metadata_value.actual_exposure),
                ("gain", rs.frame_metadata_value.gain_level),
            )
            if frame.supports_frame_metadata(kind)
        }
        image = self._framing.image(np.asanyarray(frame.get_data()))
        # The memory returns to the SDK with its frame.
        return Frame(
            stamp, image.copy() if image.base is not None else image, self._intrinsics, self._distortion
        )


def _library():
    try:
        import pyrealsense2
    except ImportError as error:
        remedy = "pip install pyrealsense2 (and apt install libusb-1.0-0)"
        raise CameraError(
            f"the camera driver 'realsense' needs librealsense's Python package: {remedy}: {error}"
        ) from error
    return pyrealsense2


def _connected(rs) -> tuple[list[tuple[str, object]], list[str]]:
    """([(serial number, device)], what is wrong with the others) of the RealSense devices on the USB bus.

    A device in recovery mode, whose firmware update broke off, has no serial number and no streams.
    """
    found, unusable = [], []
    for device in rs.context().query_devices():
        try:
            serial = _info(rs, device, "serial_number")
            recovery = getattr(device, "is_update_device", bool)()
        except RuntimeError as error:  # one that is being plugged in or out
            unusable.append(f"a RealSense does not answer ({error}): plug it in again")
            continue
        if serial and not recovery:
            found.append((serial, device))
            continue
        name = _info(rs, device, "name") or "a RealSense"
        unusable.append(
            f"{name} is in recovery mode: install its firmware with `rs-fw-update -r -f FILE`"
            if recovery or "recovery" in name.lower()
            else f"{name} tells no serial number: plug it in again, or update its firmware"
        )
    return found, unusable


def _info(rs, device, name: str) -> str:
    field = getattr(rs.camera_info, name)
    try:
        return device.get_info(field) if device.supports(field) else ""
    except RuntimeError:
        return ""


def _slow_link(rs, device) -> str:
    usb = _info(rs, device, "usb_type_descriptor")
    if not usb.startswith(("1", "2")):
        return ""
    return f"the camera is connected by USB {usb}, which offers fewer modes: use a USB 3 port and cable"


def _name(rs, device) -> str:
    serial, firmware = _info(rs, device, "serial_number"), _info(rs, device, "firmware_version")
    parts = [
        _info(rs, device, "name") or "RealSense",
        f"serial number {serial}" if serial else "",
        f"firmware {firmware}" if firmware else "",
    ]
    return ", ".join(part for part in parts if part)


def _link(rs, device) -> str:
    usb = _info(rs, device, "usb_type_descriptor")
    if _slow_link(rs, device):
        return f"USB {usb}: use a USB 3 port and cable for the full rate"
    return f"USB {usb}" if usb else ""


def _calibration(rs, intrinsics) -> tuple[np.ndarray, tuple[float, ...], str]:
    """librealsense's intrinsics -> f64[3, 3], plumb_bob coefficients, and how they were obtained (a text, or
    "").
    """
    matrix = np.array(
        [[intrinsics.fx, 0.0, intrinsics.ppx], [0.0, intrinsics.fy, intrinsics.ppy], [0.0, 0.0, 1.0]]
    )
    coefficients = tuple(float(value) for value in intrinsics.coeffs)
    if intrinsics.model in (rs.distortion.none, rs.distortion.brown_conrady) or not any(coefficients):
        return matrix, coefficients if intrinsics.model == rs.distortion.brown_conrady else (0.0,) * 5, ""
    coefficients, error = fit_plumb_bob(
        matrix,
        intrinsics.width,
        intrinsics.height,
        lambda u, v: rs.rs2_deproject_pixel_to_point(intrinsics, [u, v], 1.0)[:2],
    )
    return matrix, coefficients, f"lens model {intrinsics.model.name} as plumb_bob, within {error:.2f} px"
