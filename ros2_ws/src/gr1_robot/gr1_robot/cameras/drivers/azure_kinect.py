"""The Azure Kinect as a colour camera, the paper's static one. Runs in the environment that `make kinect` makes; see docs/how-to/connect_cameras.md."""

from __future__ import annotations

import numpy as np

from gr1_common.option import Option
from gr1_core import images
from gr1_core.images import ImageError
from gr1_robot.cameras import kinect_device
from gr1_robot.cameras.driver import Frame, SourceError
from gr1_robot.cameras.framing import Framing, choose
from gr1_robot.cameras.real_camera import RealCamera

AUTO = "auto"
OPTIONS = (
    Option("serial", "", "Serial number, where several are plugged in; empty: the only one."),
    Option("playback", "", "A recording (.mkv) to play in place of a camera, once, at its own pace."),
    Option(
        "resolution",
        AUTO,
        "What the camera sends before it is cropped and scaled; auto: the smallest that covers width x height.",
        choices=(AUTO, *kinect_device.MODES),
    ),
    Option("exposure", 0, "Fixed exposure, 500 to 133330 us; 0: automatic.", low=0, live=True),
    Option(
        "white_balance",
        0,
        "Fixed colour temperature, 2500 to 12500 K in steps of 10; 0: automatic.",
        low=0,
        live=True,
    ),
)


class Camera(RealCamera):
    """MJPG as it comes over USB, decoded once; at the camera's own size bit for bit, else the centred part scaled down."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._device: kinect_device.Device | kinect_device.Recording | None = None
        self._damaged = 0

    def open(self) -> None:
        if self.settings["playback"]:
            self._device = kinect_device.Recording(self.settings["playback"])
        else:
            self._device = kinect_device.Device(self._wanted())
        device, wanted = self._device, (self.width, self.height)
        native = kinect_device.MODES[device.mode]
        if native[0] < wanted[0] or native[1] < wanted[1]:
            raise SourceError(
                f"{device.describe()} has pictures of {native[0]}x{native[1]}, but the parameters 'width' and 'height' say "
                f"{wanted[0]}x{wanted[1]}: pictures are not enlarged, lower them"
            )
        if device.fps < self._least_hz:
            raise SourceError(
                f"{device.describe()} has {device.fps} frames a second, but the parameter 'rate_hz' is {self._least_hz:g}: lower it"
            )
        self.rate_hz = float(device.fps)
        self._framing = Framing(native, wanted)
        # New pages for each picture would cost more than decoding into old ones; what leaves the driver is an array of its own.
        self._scratch = None if native == wanted else np.empty((native[1], native[0], 3), np.uint8)
        matrix, distortion = device.lens()
        self._intrinsics, self._distortion = self._framing.intrinsics(matrix), tuple(distortion.tolist())
        framing = str(self._framing) or f"{self.width}x{self.height}"
        self._description = f"{device.describe()}; {framing} at {device.fps} Hz"
        self._clock.begin()

    def read(self, timeout: float) -> Frame | None:
        self._take_changes()
        capture, arrival = self._device.capture(timeout), self.arrival()
        if capture is None or capture.color is None:
            return None
        stamp = self._clock.stamp(1000 * capture.color_timestamp_usec, arrival)
        if stamp is None:
            return None
        try:
            image = self._framing.image(self._rgb(capture.color))
        except ImageError as error:
            self._damaged += 1
            self.node.get_logger().warning(
                f"{self._device.describe()}: a picture is left out: {error}", throttle_duration_sec=5.0
            )
            return None
        if self._scratch is not None and np.may_share_memory(image, self._scratch):
            image = image.copy()
        return Frame(stamp, image, self._intrinsics, self._distortion)

    def close(self) -> None:
        if self._device:
            self._device.close()
            self._device = None

    def values(self) -> dict[str, object]:
        return {"damaged": self._damaged, **self._clock.values()}

    def waits_for(self) -> str:
        if self.settings["playback"]:
            return f"no picture comes from the recording '{self.settings['playback']}'"
        return "no picture comes from the Azure Kinect: look at its cable and power"

    def _wanted(self) -> kinect_device.Settings:
        """What the camera is asked for. Raises SourceError, naming the parameter."""
        mode = self.settings["resolution"]
        if mode == AUTO:
            native = choose(kinect_device.MODES.values(), self.width, self.height)
            if not native:
                raise SourceError(
                    f"no resolution of the Azure Kinect covers {self.width}x{self.height}: lower 'width' and 'height'"
                )
            mode = next(name for name, size in kinect_device.MODES.items() if size == native)
        fps = next((fps for fps in kinect_device.RATES if fps >= self._least_hz), None)
        if not fps:
            fastest = kinect_device.RATES[-1]
            raise SourceError(
                f"parameter 'rate_hz' is {self._least_hz:g}, but the Azure Kinect sends at most {fastest} Hz: lower it"
            )
        return kinect_device.Settings(
            self.settings["serial"], mode, fps, self.settings["exposure"], self.settings["white_balance"]
        )

    def _apply_settings(self) -> None:
        self._device.control(self._wanted())

    def _rgb(self, color: np.ndarray) -> np.ndarray:
        """JPEG bytes u8[N] or u8[H, W, 4] BGRA -> u8[H, W, 3] RGB of the native size. Raises ImageError."""
        image = (
            images.decode(color, self._scratch)
            if color.ndim == 1
            else np.ascontiguousarray(color[:, :, 2::-1])
        )
        if image.shape[1::-1] != self._framing.native:
            raise ImageError(f"it is {image.shape[1]}x{image.shape[0]}")
        return image
