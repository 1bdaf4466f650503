"""numpy arrays and floats <-> standard messages, without copies element by element.

Images are u8[H, W, 3] RGB on the Python side. Stamps are int nanoseconds.
"""

from __future__ import annotations

import array
import math
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Twist, Vector3
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from gr1_core import images
from gr1_core.images import ImageError


def nanoseconds(stamp: Time) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def seconds(stamp: Time) -> float:
    return nanoseconds(stamp) * 1e-9


def to_stamp(ns: int) -> Time:
    return Time(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def send_time(info: Mapping) -> float:
    """When the middleware sent a message, in s on this computer's steady clock: never later than now; now if
    unknown.

    info: the second argument of a subscription callback. Between computers it includes the difference of
    their clocks.
    """
    source = info["source_timestamp"]
    return time.monotonic() - max(time.time_ns() - source, 0) * 1e-9 if source > 0 else time.monotonic()


def command_time(stamp: Time, info: Mapping, clock_ns: int, ahead_s: float) -> float:
    """When a command was made, in s on this computer's steady clock: the older of header stamp and send time.

    In a replay the send time is that of the replay; the header stamp is that of the original command.
    clock_ns: the header's clock now. A stamp more than `ahead_s` ahead of that clock is implausible: -inf.
    """
    age = (clock_ns - nanoseconds(stamp)) * 1e-9
    return min(send_time(info), time.monotonic() - age) if age >= -ahead_s else -math.inf


def image_to_msg(image: np.ndarray, stamp: Time, frame_id: str) -> Image:
    """u8[H, W, 3] RGB -> Image with encoding rgb8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"image is {image.dtype}{list(image.shape)}, expected uint8[H, W, 3] RGB")
    height, width = image.shape[:2]
    # rclpy accepts an array.array without checks; bytes or a list would be checked element by element.
    data = array.array("B", image.tobytes())
    return Image(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        encoding="rgb8",
        step=3 * width,
        data=data,
    )


def image_to_jpeg(
    image: np.ndarray, stamp: Time, frame_id: str, quality: int = images.JPEG_QUALITY
) -> CompressedImage:
    """u8[H, W, 3] RGB -> CompressedImage with format jpeg."""
    data = array.array("B", images.encode_jpeg(image, quality))
    return CompressedImage(
        header=Header(stamp=stamp, frame_id=frame_id), format="rgb8; jpeg compressed bgr8", data=data
    )


def msg_to_image(msg: Image | CompressedImage) -> np.ndarray:
    """Image (8-bit colour or grey, rows may be padded) or CompressedImage (jpeg, png or webp) -> u8[H, W, 3]
    RGB. Raises ImageError.

    Other encodings (yuv422_yuy2, bayer_rggb8, ...) need ROS 2's cv_bridge. More than 8 bits are refused.
    An rgb8 image is a view of the message's memory; copy it if it must outlive the message.
    """
    if isinstance(msg, CompressedImage):
        return images.decode(memoryview(msg.data))
    if not images.is_known_encoding(msg.encoding):
        return _with_cv_bridge(msg)
    return images.from_raw(msg.encoding, msg.height, msg.width, msg.step, msg.data)


def _with_cv_bridge(msg: Image) -> np.ndarray:
    try:
        bridge = _load_cv_bridge()
    except Exception as error:  # a build for another numpy raises more than ImportError
        raise ImageError(
            f"image encoding '{msg.encoding}' needs cv_bridge, which cannot be used here ({error}): "
            "have the camera publish rgb8 or bgr8, or install ROS 2's (apt install ros-jazzy-cv-bridge)"
        ) from error
    try:
        return bridge.imgmsg_to_cv2(msg, desired_encoding="rgb8")
    except Exception as error:  # cv_bridge's own, and OpenCV's
        raise ImageError(
            f"cv_bridge cannot read a {msg.width}x{msg.height} image of encoding '{msg.encoding}': {error}"
        ) from error


def _load_cv_bridge():
    try:
        found = version("cv-bridge")
    except PackageNotFoundError:
        found = "2"  # not installed (the import will say so), or built without Python metadata
    if int(found.partition(".")[0]) < 2:
        raise ImportError(f"version {found}, as on PyPI, is of ROS 1")
    from cv_bridge import CvBridge

    return CvBridge()


def camera_info(
    intrinsics: np.ndarray, width: int, height: int, stamp: Time, frame_id: str, distortion=(0.0,) * 5
) -> CameraInfo:
    """3x3 pinhole matrix in pixels and distortion -> CameraInfo.

    distortion: plumb_bob's k1, k2, t1, t2, k3, or rational_polynomial's k1, k2, t1, t2, k3, k4, k5, k6
    (OpenCV's order).
    """
    k = np.asarray(intrinsics, np.float64)
    return CameraInfo(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        distortion_model={5: "plumb_bob", 8: "rational_polynomial"}[len(distortion)],
        d=[float(value) for value in distortion],
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel(),
    )


def to_pose(position, quaternion) -> Pose:
    """xyz in metres, quaternion xyzw -> Pose."""
    return Pose(
        position=Point(**_named("xyz", position)), orientation=Quaternion(**_named("xyzw", quaternion))
    )


def from_pose(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Pose -> f64[3] xyz in metres, f64[4] quaternion xyzw."""
    p, q = pose.position, pose.orientation
    return np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])


def to_twist(linear, angular) -> Twist:
    """m/s and rad/s, each [3] -> Twist."""
    return Twist(linear=to_vector(linear), angular=to_vector(angular))


def to_vector(values) -> Vector3:
    """xyz -> Vector3."""
    return Vector3(**_named("xyz", values))


def from_twist(twist: Twist) -> tuple[np.ndarray, np.ndarray]:
    """Twist -> f64[3] m/s, f64[3] rad/s."""
    v, w = twist.linear, twist.angular
    return np.array([v.x, v.y, v.z]), np.array([w.x, w.y, w.z])


def _named(names: str, values) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))
