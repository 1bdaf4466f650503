"""The camera node: one camera, named by its role. Topics and parameters: docs/reference/interfaces.md."""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from gr1_common.diagnostics import ERROR, OK, STALE, WARN, Diagnostics
from gr1_common.messages import camera_info, image_to_jpeg, image_to_msg, to_stamp
from gr1_common.parameters import ParameterError, declare, declare_options, refuse_renamed
from gr1_common.process import run_node
from gr1_common.qos import RELIABILITIES, sensor_profile
from gr1_common.timing import RateMeter, RollingWindow
from gr1_core.rig import ROLES, Rig, RigError
from gr1_robot import renamed
from gr1_robot.cameras.driver import (
    CameraError,
    Frame,
    PlaybackEnded,
    Unplugged,
    driver_names,
    driver_options,
    load_driver,
)

_READ_TIMEOUT_S = 0.05
_CHECK_PERIOD_S = 0.05
_SLOW_SHARE = 0.8  # of the expected rate: below it is a warning
_BACK_OFF_S = (0.5, 8.0)  # pause before a missing camera is opened again: first, longest


class CameraNode(Node):
    """See the module's text. Raises ParameterError or RigError for errors that the user can fix."""

    exit_code = 0

    def __init__(self):
        super().__init__(f"camera_{_read_role()}")
        refuse_renamed(self, renamed.CAMERA_PARAMETERS)
        role = _declare_role(self)
        kind = declare(
            self,
            "camera_driver",
            "sim",
            "Name of the camera driver.",
            read_only=True,
            choices=driver_names(),
        )
        rig = Rig.load(
            declare(
                self, "rig", "kinova_gen2", "Name of a built-in rig or path of its YAML file.", read_only=True
            )
        )
        camera = rig.cameras[role]
        rate_hz = declare(
            self, "rate_hz", 20.0, "Minimum frame rate, Hz.", low=0.1, high=120.0, read_only=True
        )
        if rate_hz < rig.control_hz:
            raise ParameterError(
                f"parameter 'rate_hz' is {rate_hz:g}, but rig '{rig.name}' needs a new frame "
                f"{rig.control_hz:g} times a second: "
                "raise it, or use a rig with a lower control_hz"
            )
        width = declare(
            self,
            "width",
            camera.width,
            "Image width, pixels; default: the rig's.",
            low=16,
            high=4096,
            read_only=True,
        )
        height = declare(
            self,
            "height",
            camera.height,
            "Image height, pixels; default: the rig's.",
            low=16,
            high=4096,
            read_only=True,
        )
        self._quality = declare(
            self,
            "jpeg_quality",
            0,
            "JPEG quality of image_raw/compressed; 0: it is not published.",
            low=0,
            high=100,
            read_only=True,
        )
        reliability = declare(
            self,
            "qos_reliability",
            "best_effort",
            "QoS reliability of the images and camera_info.",
            read_only=True,
            choices=RELIABILITIES,
        )
        qos, topic = sensor_profile(reliability), f"camera/{role}"
        self._image = self.create_publisher(Image, f"{topic}/image_raw", qos)
        self._jpeg = (
            self.create_publisher(CompressedImage, f"{topic}/image_raw/compressed", qos)
            if self._quality
            else None
        )
        self._info = self.create_publisher(CameraInfo, f"{topic}/camera_info", qos)
        self._frame_id = f"camera_{role}_optical_frame"
        self._max_age, self._shape = camera.max_age, (height, width, 3)

        self._lock = threading.Lock()
        self._rate, self._latency = RateMeter(), RollingWindow()
        self._frames = self._dropped = self._outages = 0
        self._exposed_at: float | None = None
        self._published_at = 0.0
        self._device = "not open yet"
        self._outage = ""  # why there is no camera now; the first frame ends it
        self._reported: tuple[bytes, str] | None = None
        self._diagnostics = Diagnostics(self, self._report)
        self.create_timer(
            _CHECK_PERIOD_S, self._report_changes, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

        self.finished = threading.Event()
        self._ending = threading.Event()
        settings = declare_options(
            self, kind, driver_options(kind), lambda option, value: self._driver.set_option(option, value)
        )
        self._driver = load_driver(kind, self, role, width, height, rate_hz, settings)
        self._thread = threading.Thread(target=self._run, name=f"camera {role}", daemon=True)
        self._thread.start()
        self.get_logger().info(f"camera '{role}' with driver '{kind}', {width}x{height} at {rate_hz:g} Hz")

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    # In the camera's thread

    def _run(self) -> None:
        self._delay, longest = _BACK_OFF_S
        try:
            while not self._ending.is_set():
                try:
                    self._stream()
                except Unplugged as error:
                    self._on_unplugged(str(error))
                    self._driver.close()
                    self._ending.wait(self._delay)
                    self._delay = min(2.0 * self._delay, longest)
        except PlaybackEnded as error:
            self.get_logger().info(str(error))
            with self._lock:
                self._outage = str(error)
        except CameraError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail("".join(traceback.format_exception(error)))
        finally:
            self._driver.close()

    def _stream(self) -> None:
        self._driver.open()
        with self._lock:
            self._device = self._driver.describe()
        while not self._ending.is_set():
            if frame := self._driver.read(_READ_TIMEOUT_S):
                self._publish(frame)

    def _on_unplugged(self, text: str) -> None:
        with self._lock:
            new, self._outage = not self._outage, text
            self._outages += new
        if new:
            self.get_logger().warning(f"{text}; the node keeps trying to open it")

    def _fail(self, text: str) -> None:
        self.get_logger().fatal(text)
        self.exit_code = 1
        self.finished.set()

    def _publish(self, frame: Frame) -> None:
        if frame.image.shape != self._shape:
            raise CameraError(
                f"{self._device} delivers {_size(frame.image.shape)} pixels, but the parameters 'width' "
                "and 'height' say "
                f"{_size(self._shape)}: set them to the camera's size, or the camera to theirs"
            )
        stamp = to_stamp(frame.stamp)
        self._image.publish(image_to_msg(frame.image, stamp, self._frame_id))
        if self._jpeg and self._jpeg.get_subscription_count():
            self._jpeg.publish(image_to_jpeg(frame.image, stamp, self._frame_id, self._quality))
        height, width = frame.image.shape[:2]
        self._info.publish(
            camera_info(frame.intrinsics, width, height, stamp, self._frame_id, frame.distortion)
        )
        latency = (self.get_clock().now().nanoseconds - frame.stamp) * 1e-9
        with self._lock:
            now = time.monotonic()
            if self._frames and not self._outage:
                self._dropped += max(round((now - self._published_at) * self._driver.rate_hz) - 1, 0)
            self._published_at = now
            self._rate.tick(now)
            self._latency.add(latency)
            self._exposed_at = now - latency
            self._frames += 1
            back, self._outage = bool(self._outage), ""
        self._delay = _BACK_OFF_S[0]
        if back:
            self.get_logger().info(f"camera '{self._driver.role}' is back: {self._device}")

    # In the executor's thread

    def _report_changes(self) -> None:
        with self._lock:
            state = self._assess()[0], self._outage
        if state != self._reported:
            self._report()

    def _assess(self) -> tuple[bytes, str]:
        """Level and message of the status."""
        now, expected = time.monotonic(), self._driver.rate_hz
        if self._outage:
            return ERROR, self._outage
        if self._exposed_at is None:
            return STALE, f"no frame yet: {self._driver.missing()}"
        if now - self._exposed_at > max(self._max_age, 2.0 / expected):
            if now - self._published_at > self._published_at - self._exposed_at:
                return ERROR, f"the stream has stopped: {self._driver.missing()}"
            why = self._driver.warning() or "a busy computer, or a wrong stamp"
            late = f"frames come {1e3 * self._latency.quantile(0.5):.0f} ms after their stamp"
            return ERROR, f"{late}, the rig allows {1e3 * self._max_age:.0f} ms: {why}"
        if 0.0 < self._rate.hz < _SLOW_SHARE * expected:
            return WARN, f"{self._rate.hz:.1f} Hz instead of {expected:g} Hz"
        if warning := self._driver.warning():
            return WARN, warning
        return OK, "streaming"

    def _report(self) -> None:
        with self._lock:
            level, message = self._assess()
            self._reported = level, self._outage
            now = time.monotonic()
            values = {
                "rate_hz": self._rate.hz_at(now),
                "expected_hz": self._driver.rate_hz,
                "age_ms": 1e3 * (now - self._exposed_at) if self._exposed_at is not None else math.nan,
                "latency_p50_ms": 1e3 * self._latency.quantile(0.5),
                "latency_p99_ms": 1e3 * self._latency.quantile(0.99),
                "frames": self._frames,
                "dropped": self._dropped,
                "outages": self._outages,
                "device": self._device,
                **self._driver.diagnostic_values(),
            }
        self._diagnostics.status("stream", level, message, values, state=self._outage)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _declare_role(node: Node) -> str:
    return declare(
        node, "role", "static", "Which of the rig's cameras this is.", read_only=True, choices=ROLES
    )


def _read_role() -> str:
    """The role is part of the node's name, so it is needed before the node exists: a short-lived node reads
    the parameter.
    """
    probe = Node("camera", enable_rosout=False, start_parameter_services=False)
    try:
        return _declare_role(probe)
    finally:
        probe.destroy_node()


def main(args=None) -> int:
    return run_node(CameraNode, args, errors=(ParameterError, RigError))


if __name__ == "__main__":
    sys.exit(main())
