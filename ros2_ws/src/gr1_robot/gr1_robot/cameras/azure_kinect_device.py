"""The Azure Kinect's colour camera through pyk4a: a connected camera, or a recording at its own pace.
ROS-free.

Both return captures (pyk4a.PyK4ACapture). pyk4a is imported where it is used: it needs numpy < 2, so the node
that uses it runs in its own environment. Source: Azure Kinect Sensor SDK 1.4, k4a.h, k4atypes.h and
k4arecord/playback.h.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gr1_robot.cameras.driver import CameraError, PlaybackEnded, Unplugged

MODES = {
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "1536p": (2048, 1536),
    "2160p": (3840, 2160),
    "3072p": (4096, 3072),
}
"""Image sizes in pixels by the vendor's names. 1536p and 3072p show a quarter more at top and bottom than the
others.
"""
RATES = (5, 15, 30)
EXPOSURE = (500, 133_330)
WHITE_BALANCE = (2_500, 12_500)
_RATE_LIMITS = {"3072p": 15}
_SILENT_S = 4.0  # longer than the camera needs to start


class Settings(NamedTuple):
    """mode: a key of MODES; fps: one of RATES; exposure in microseconds and white_balance in kelvin: 0 is
    automatic.
    """

    serial: str
    mode: str
    fps: int
    exposure: int
    white_balance: int


def check_settings(settings: Settings) -> None:
    """Raises CameraError for a setting that the camera does not support; names the parameter, its value and
    what is allowed.
    """
    _in_range("exposure", settings.exposure, EXPOSURE, "microseconds")
    _in_range("white_balance", settings.white_balance, WHITE_BALANCE, "kelvin")
    if settings.white_balance % 10:
        raise CameraError(
            f"azure_kinect.white_balance is {settings.white_balance}: the camera takes steps of 10 kelvin"
        )
    if settings.exposure * settings.fps > 1_000_000:
        raise CameraError(
            f"azure_kinect.exposure is {settings.exposure}, longer than the {1_000_000 // settings.fps} "
            "microseconds "
            f"between two of {settings.fps} frames a second: shorten it, or lower 'rate_hz'"
        )
    if settings.fps > _RATE_LIMITS.get(settings.mode, settings.fps):
        raise CameraError(
            f"the Azure Kinect sends {settings.mode} at most {_RATE_LIMITS[settings.mode]} times a "
            f"second, but {settings.fps} are requested: "
            "lower 'rate_hz', or choose a smaller 'azure_kinect.resolution'"
        )


def import_pyk4a():
    """The module pyk4a. Raises CameraError, saying how to get it."""
    try:
        import pyk4a
    except ImportError as error:
        if int(np.__version__.split(".")[0]) >= 2 and error.name != "pyk4a":
            why = f"pyk4a cannot be loaded beside numpy {np.__version__}, it needs numpy < 2"
        else:
            why = f"pyk4a cannot be loaded here ({error})"
        raise CameraError(
            f"camera driver 'azure_kinect': {why}. It has its own environment: run `make kinect`, and "
            "start this node with "
            ".venv-kinect/bin/python -m gr1_robot.cameras.node (gr1 up and ros2 launch do so automatically)"
        ) from error
    return pyk4a


class Device:
    """A connected camera."""

    def __init__(self, settings: Settings):
        """Opens and starts it. Raises Unplugged if there is none or it is in use, CameraError for wrong
        settings or several cameras.
        """
        check_settings(settings)
        self._k4a = import_pyk4a()
        self.mode, self.fps = settings.mode, settings.fps
        self.serial, self._camera = self._find(settings)
        try:
            self.apply(settings)
            self._camera.start()
        except self._k4a.K4AException as error:
            self.close()
            raise Unplugged(
                f"the Azure Kinect {self.serial} does not start: in use by another program, on a USB 2 "
                "port, or without power"
            ) from error
        except CameraError:
            self.close()
            raise
        self._heard = time.monotonic()

    def capture(self, timeout: float):
        """The next capture, or None after `timeout` seconds. Raises Unplugged."""
        try:
            capture = self._camera.get_capture(timeout=round(1e3 * timeout))
        except self._k4a.K4ATimeoutException:
            # On Linux a pulled cable may only show as silence.
            if time.monotonic() - self._heard > _SILENT_S:
                raise Unplugged(
                    f"the Azure Kinect {self.serial} has sent nothing for {_SILENT_S:g} s: check its "
                    "cable and power"
                ) from None
            return None
        except self._k4a.K4AException as error:
            raise Unplugged(f"the Azure Kinect {self.serial} is gone: check its cable and power") from error
        self._heard = time.monotonic()
        return capture

    def calibration(self) -> tuple[np.ndarray, np.ndarray]:
        return _calibration(self._k4a, self._camera.calibration)

    def apply(self, settings: Settings) -> None:
        """Exposure and white balance; may be called while it runs. The camera keeps them until it loses
        power: "automatic" is sent too.

        Raises CameraError for a value that the camera does not support, Unplugged if the camera refuses.
        """
        check_settings(settings)
        try:
            if settings.exposure:
                self._camera.exposure = settings.exposure
            else:
                self._camera.exposure_mode_auto = True
            if settings.white_balance:
                self._camera.whitebalance = settings.white_balance
            else:
                self._camera.whitebalance_mode_auto = True
        except self._k4a.K4AException as error:
            raise Unplugged(f"the Azure Kinect {self.serial} refuses exposure or white balance") from error

    def describe(self) -> str:
        return f"Azure Kinect {self.serial}"

    def close(self) -> None:
        """May be called twice."""
        if not self._camera.opened:
            return
        try:
            self._camera.stop() if self._camera.is_running else self._camera.close()
        except self._k4a.K4AException:
            pass  # the camera is gone

    def _find(self, settings: Settings):
        config = self._k4a.Config(
            color_resolution=self._k4a.ColorResolution[f"RES_{settings.mode.upper()}"],
            color_format=self._k4a.ImageFormat.COLOR_MJPG,
            # Without depth the camera needs neither its depth engine nor OpenGL.
            depth_mode=self._k4a.DepthMode.OFF,
            camera_fps=self._k4a.FPS[f"FPS_{settings.fps}"],
            synchronized_images_only=False,
        )
        cameras = [
            self._k4a.PyK4A(config, device_id=number) for number in range(self._k4a.connected_device_count())
        ]
        serials, busy = {}, 0
        for camera in cameras:
            try:
                camera.open()
                serials[camera.serial] = camera
            except self._k4a.K4AException:
                busy += 1
        wanted = settings.serial or (next(iter(serials)) if len(serials) == 1 and not busy else "")
        for serial, camera in serials.items():
            if serial != wanted:
                camera.close()
        if wanted in serials:
            return wanted, serials[wanted]
        found = _found(list(serials), busy)
        if len(cameras) > 1 and not settings.serial:
            raise CameraError(f"there are several cameras ({found}): select one with azure_kinect.serial")
        raise Unplugged(f"there is no Azure Kinect{settings.serial and f' {settings.serial}'} ({found})")


class Recording:
    """A recording (.mkv) of the vendor's k4arecorder: every capture with a colour image once, none before its
    time.
    """

    def __init__(self, path: str):
        """Raises CameraError for a file that cannot be played."""
        self._k4a, self._path = import_pyk4a(), path
        if not Path(path).is_file():
            raise CameraError(f"azure_kinect.playback: there is no file '{path}'")
        self._playback = self._k4a.PyK4APlayback(path)
        self._open = False
        try:
            self._playback.open()
            self._open = True
            configuration = self._playback.configuration
        except (self._k4a.K4AException, ValueError) as error:
            raise CameraError(
                f"azure_kinect.playback: '{path}' is not a recording of an Azure Kinect"
            ) from error
        color = self._k4a.ImageFormat
        if not configuration["color_track_enabled"] or configuration["color_format"] not in (
            color.COLOR_MJPG,
            color.COLOR_BGRA32,
        ):
            self.close()
            raise CameraError(f"azure_kinect.playback: '{path}' has no colour images in MJPG or BGRA32")
        self.mode = configuration["color_resolution"].name.removeprefix("RES_").lower()
        self.fps = int(configuration["camera_fps"].name.removeprefix("FPS_"))
        self._next = None
        self._start: float | None = None

    def capture(self, timeout: float):
        """The next capture, or None after `timeout` seconds. Raises PlaybackEnded."""
        if self._next is None:
            self._next = self._read()
        taken, now = 1e-6 * self._next.color_timestamp_usec, time.monotonic()
        if self._start is None:
            self._start = now - taken
        wait = max(self._start + taken - now, 0.0)
        time.sleep(min(wait, timeout))
        if wait > timeout:
            return None
        capture, self._next = self._next, None
        return capture

    def calibration(self) -> tuple[np.ndarray, np.ndarray]:
        return _calibration(self._k4a, self._playback.calibration)

    def describe(self) -> str:
        return f"recording {self._path} of an Azure Kinect"

    def close(self) -> None:
        """May be called twice."""
        if self._open:
            self._open = False
            self._playback.close()

    def _read(self):
        while True:
            try:
                capture = self._playback.get_next_capture()
            except EOFError:
                raise PlaybackEnded(f"the recording '{self._path}' has ended") from None
            except self._k4a.K4AException as error:
                raise CameraError(f"the recording '{self._path}' is damaged") from error
            if capture.color is not None:
                return capture


def _calibration(k4a, calibration) -> tuple[np.ndarray, np.ndarray]:
    """f64[3, 3] in pixels, (0, 0) the centre of the first; f64[8] k1, k2, p1, p2, k3, k4, k5, k6, OpenCV's
    order.
    """
    color = k4a.CalibrationType.COLOR
    return calibration.get_camera_matrix(color), calibration.get_distortion_coefficients(color)


def _in_range(name: str, value: int, limits: tuple[int, int], unit: str) -> None:
    if value and not limits[0] <= value <= limits[1]:
        raise CameraError(
            f"azure_kinect.{name} is {value}, but the camera takes {limits[0]} to {limits[1]} {unit}, or "
            "0 for automatic"
        )


def _found(serials: list[str], busy: int) -> str:
    parts = [f"found: {', '.join(sorted(serials))}"] if serials else []
    if busy:
        parts.append(f"{busy} cannot be opened: in use by another program, or its udev rules are missing")
    return "; ".join(parts) or "none is plugged in"
