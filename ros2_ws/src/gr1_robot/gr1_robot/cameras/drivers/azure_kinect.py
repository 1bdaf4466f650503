"""The Azure Kinect's colour camera, the paper's static camera. Needs the environment of `make kinect`.

ROS-free. Guide: docs/how-to/connect_cameras.md.
"""

from __future__ import annotations

import numpy as np

from gr1_common.option import Option
from gr1_core import images
from gr1_core.images import ImageError
from gr1_robot.cameras import azure_kinect_device
from gr1_robot.cameras.driver import CameraError, Frame
from gr1_robot.cameras.framing import Framing, choose_size
from gr1_robot.cameras.real_camera import RealCamera

AUTO = "auto"
OPTIONS = (
    Option("serial", "", "Serial number, where several are connected; empty: the only one."),
    Option("playback", "", "A recording (.mkv) to play instead of a camera, once, at its own pace."),
    Option(
        "resolution",
        AUTO,
        "Size of the camera's images before crop and reduction; auto: the smallest that covers width x "
        "height.",
        choices=(AUTO, *azure_kinect_device.MODES),
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
    """MJPG from the USB bus, decoded once; at the camera's own size bit-exact, else the centred part
    reduced.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._device: azure_kinect_device.Device | azure_kinect_device.Recording | None = None
        self._damaged = 0

    def open(self) -> None:
        if self.settings["playback"]:
            self._device = azure_kinect_device.Recording(self.settings["playback"])
        else:
            self._device = azure_kinect_device.Device(self._device_settings())
        device, wanted = self._device, (self.width, self.height)
        native = azure_kinect_device.MODES[device.mode]
        if native[0] < wanted[0] or native[1] < wanted[1]:
            raise CameraError(
                f"{device.describe()} has images of {native[0]}x{native[1]}, but the parameters 'width' "
                "and 'height' say "
                f"{wanted[0]}x{wanted[1]}: images are not enlarged, lower them"
            )
        if device.fps < self._requested_hz:
            raise CameraError(
                f"{device.describe()} has {device.fps} frames a second, but the parameter 'rate_hz' is "
                f"{self._requested_hz:g}: lower it"
            )
        self.rate_hz = float(device.fps)
        self._framing = Framing(native, wanted)
        # New memory for each image would cost more than decoding into old memory; the driver returns a copy.
        self._buffer = None if native == wanted else np.empty((native[1], native[0], 3), np.uint8)
        matrix, distortion = device.calibration()
        self._intrinsics, self._distortion = self._framing.intrinsics(matrix), tuple(distortion.tolist())
        framing = str(self._framing) or f"{self.width}x{self.height}"
        self._description = f"{device.describe()}; {framing} at {device.fps} Hz"
        self._clock.restart()

    def read(self, timeout: float) -> Frame | None:
        self._apply_changed_settings()
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
                f"{self._device.describe()}: an image is dropped: {error}", throttle_duration_sec=5.0
            )
            return None
        if self._buffer is not None and np.may_share_memory(image, self._buffer):
            image = image.copy()
        return Frame(stamp, image, self._intrinsics, self._distortion)

    def close(self) -> None:
        if self._device:
            self._device.close()
            self._device = None

    def diagnostic_values(self) -> dict[str, object]:
        return {"damaged": self._damaged, **self._clock.diagnostic_values()}

    def missing(self) -> str:
        if self.settings["playback"]:
            return f"no image arrives from the recording '{self.settings['playback']}'"
        return "no image arrives from the Azure Kinect: check its cable and power"

    def _device_settings(self) -> azure_kinect_device.Settings:
        """The camera's settings from the parameters. Raises CameraError, naming the parameter."""
        mode = self.settings["resolution"]
        if mode == AUTO:
            native = choose_size(azure_kinect_device.MODES.values(), self.width, self.height)
            if not native:
                raise CameraError(
                    f"no resolution of the Azure Kinect covers {self.width}x{self.height}: lower 'width' "
                    "and 'height'"
                )
            mode = next(name for name, size in azure_kinect_device.MODES.items() if size == native)
        fps = next((fps for fps in azure_kinect_device.RATES if fps >= self._requested_hz), None)
        if not fps:
            fastest = azure_kinect_device.RATES[-1]
            raise CameraError(
                f"parameter 'rate_hz' is {self._requested_hz:g}, but the Azure Kinect sends at most "
                f"{fastest} Hz: lower it"
            )
        return azure_kinect_device.Settings(
            self.settings["serial"], mode, fps, self.settings["exposure"], self.settings["white_balance"]
        )

    def _apply_settings(self) -> None:
        self._device.apply(self._device_settings())

    def _rgb(self, color: np.ndarray) -> np.ndarray:
        """JPEG bytes u8[N] or u8[H, W, 4] BGRA -> u8[H, W, 3] RGB of the native size. Raises ImageError."""
        image = (
            images.decode(color, self._buffer)
            if color.ndim == 1
            else np.ascontiguousarray(color[:, :, 2::-1])
        )
        if image.shape[1::-1] != self._framing.native:
            raise ImageError(f"it is {image.shape[1]}x{image.shape[0]}")
        return image
