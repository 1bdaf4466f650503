"""One camera, named by its role. Names and types are in docs/reference/interfaces.md."""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from gr1_common.diagnostics import ERROR, OK, STALE, WARN, Diagnostics, Rate, Window
from gr1_common.messages import camera_info, image_to_jpeg, image_to_msg, to_stamp
from gr1_common.parameters import ParameterError, declare, declare_options
from gr1_common.process import run
from gr1_common.qos import RELIABILITIES, sensor
from gr1_core.rig import ROLES, Rig, RigError
from gr1_robot.cameras import driver as sources

_READ_S = 0.05
_WATCH_S = 0.05
_TOO_SLOW = 0.8
_BACK_OFF_S = (0.5, 8.0)  # before an absent camera is looked for again: at first, and at most


class CameraNode(Node):
    """See the module's text. Raises ParameterError or RigError for what the user can mend."""

    exit_code = 0

    def __init__(self):
        super().__init__(f"camera_{_role()}")
        role = _declare_role(self)
        kind = declare(
            self,
            "source",
            "sim",
            "Which camera: the name of a source.",
            read_only=True,
            choices=sources.names(),
        )
        rig = Rig.load(
            declare(self, "rig", "kinova_gen2", "Built-in rig or path of its YAML file.", read_only=True)
        )
        camera = rig.cameras[role]
        rate_hz = declare(
            self, "rate_hz", 20.0, "Frames a second, at least.", low=0.1, high=120.0, read_only=True
        )
        if rate_hz < rig.control_hz:
            raise ParameterError(
                f"parameter 'rate_hz' is {rate_hz:g}, but rig '{rig.name}' wants a new frame {rig.control_hz:g} times a second: "
                "raise it, or use a rig with a lower control_hz"
            )
        width = declare(
            self,
            "width",
            camera.width,
            "Pixels; the default is the rig's.",
            low=16,
            high=4096,
            read_only=True,
        )
        height = declare(
            self,
            "height",
            camera.height,
            "Pixels; the default is the rig's.",
            low=16,
            high=4096,
            read_only=True,
        )
        self._quality = declare(
            self,
            "jpeg_quality",
            0,
            "Of image_raw/compressed; 0: none is published.",
            low=0,
            high=100,
            read_only=True,
        )
        reliability = declare(
            self,
            "qos_reliability",
            "best_effort",
            "QoS of the images and camera_info.",
            read_only=True,
            choices=RELIABILITIES,
        )
        qos, topic = sensor(reliability), f"camera/{role}"
        self._image = self.create_publisher(Image, f"{topic}/image_raw", qos)
        self._jpeg = (
            self.create_publisher(CompressedImage, f"{topic}/image_raw/compressed", qos)
            if self._quality
            else None
        )
        self._info = self.create_publisher(CameraInfo, f"{topic}/camera_info", qos)
        self._frame_id = f"camera_{role}_optical_frame"
        self._max_age, self._size = camera.max_age, (height, width, 3)

        self._lock = threading.Lock()
        self._rate, self._latency = Rate(), Window()
        self._frames = self._dropped = self._outages = 0
        self._exposed: float | None = None
        self._arrived = 0.0
        self._device = "not open yet"
        self._trouble = ""  # why there is no camera now; the outage is over with the first frame
        self._state: tuple[bytes, str] | None = None  # as last reported
        self._diagnostics = Diagnostics(self, self._report)
        self.create_timer(_WATCH_S, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

        self.finished = threading.Event()
        self._ending = threading.Event()
        settings = declare_options(
            self, kind, sources.options(kind), lambda option, value: self._source.set(option, value)
        )
        self._source = sources.load(kind, self, role, width, height, rate_hz, settings)
        self._thread = threading.Thread(target=self._work, name=f"camera {role}", daemon=True)
        self._thread.start()
        self.get_logger().info(f"camera '{role}' from '{kind}', {width}x{height} at {rate_hz:g} Hz")

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    # The camera's thread

    def _work(self) -> None:
        self._delay, longest = _BACK_OFF_S
        try:
            while not self._ending.is_set():
                try:
                    self._stream()
                except sources.Unplugged as error:
                    self._lost(str(error))
                    self._source.close()
                    self._ending.wait(self._delay)
                    self._delay = min(2.0 * self._delay, longest)
        except sources.Ended as error:
            self.get_logger().info(str(error))
            with self._lock:
                self._trouble = str(error)
        except sources.SourceError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail("".join(traceback.format_exception(error)))
        finally:
            self._source.close()

    def _stream(self) -> None:
        self._source.open()
        with self._lock:
            self._device = self._source.describe()
        while not self._ending.is_set():
            if frame := self._source.read(_READ_S):
                self._publish(frame)

    def _lost(self, text: str) -> None:
        with self._lock:
            new, self._trouble = not self._trouble, text
            self._outages += new
        if new:
            self.get_logger().warning(f"{text}; it is looked for until it is back")

    def _fail(self, text: str) -> None:
        self.get_logger().fatal(text)
        self.exit_code = 1
        self.finished.set()

    def _publish(self, frame: sources.Frame) -> None:
        if frame.image.shape != self._size:
            raise sources.SourceError(
                f"{self._device} delivers {_size(frame.image.shape)} pixels, but the parameters 'width' and 'height' say "
                f"{_size(self._size)}: set them to the camera's size, or the camera to theirs"
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
            if self._frames and not self._trouble:
                self._dropped += max(round((now - self._arrived) * self._source.rate_hz) - 1, 0)
            self._arrived = now
            self._rate.tick(now)
            self._latency.add(latency)
            self._exposed = now - latency
            self._frames += 1
            back, self._trouble = bool(self._trouble), ""
        self._delay = _BACK_OFF_S[0]
        if back:
            self.get_logger().info(f"camera '{self._source.role}' is back: {self._device}")

    # The executor's thread

    def _watch(self) -> None:
        with self._lock:
            state = self._judge()[0], self._trouble
        if state != self._state:
            self._report()

    def _judge(self) -> tuple[bytes, str]:
        now, expected = time.monotonic(), self._source.rate_hz
        if self._trouble:
            return ERROR, self._trouble
        if self._exposed is None:
            return STALE, f"no frame yet: {self._source.waits_for()}"
        if now - self._exposed > max(self._max_age, 2.0 / expected):
            return ERROR, f"the stream has stopped: {self._source.waits_for()}"
        if 0.0 < self._rate.hz < _TOO_SLOW * expected:
            return WARN, f"{self._rate.hz:.1f} Hz instead of {expected:g} Hz"
        if warning := self._source.warning():
            return WARN, warning
        return OK, "streaming"

    def _report(self) -> None:
        with self._lock:
            level, message = self._judge()
            self._state = level, self._trouble
            now = time.monotonic()
            values = {
                "rate_hz": self._rate.hz_at(now),
                "expected_hz": self._source.rate_hz,
                "age_ms": 1e3 * (now - self._exposed) if self._exposed is not None else math.nan,
                "latency_p50_ms": 1e3 * self._latency.quantile(0.5),
                "latency_p99_ms": 1e3 * self._latency.quantile(0.99),
                "frames": self._frames,
                "dropped": self._dropped,
                "outages": self._outages,
                "device": self._device,
                **self._source.values(),
            }
        self._diagnostics.status("stream", level, message, values, state=self._trouble)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _declare_role(node: Node) -> str:
    return declare(
        node, "role", "static", "Which of the rig's cameras this is.", read_only=True, choices=ROLES
    )


def _role() -> str:
    """The role is part of the node's name, so it must be known before the node is: a short-lived node reads the parameter."""
    probe = Node("camera", enable_rosout=False, start_parameter_services=False)
    try:
        return _declare_role(probe)
    finally:
        probe.destroy_node()


def main(args=None) -> int:
    return run(CameraNode, args, errors=(ParameterError, RigError))


if __name__ == "__main__":
    sys.exit(main())
