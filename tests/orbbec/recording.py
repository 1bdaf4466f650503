"""A Femto Bolt recording (.bag) without a Femto Bolt: a ROS 1 bag with the topics and messages that OrbbecSDK
2 reads.

Topics, field orders and checksums are those of OrbbecSDK v2 (RosFileFormat.hpp, custom_msg/*.h,
sensor_msgs/Image.h), bag format 2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from rosbags.rosbag1 import Writer

ob = pytest.importorskip("pyorbbecsdk", reason="needs pyorbbecsdk2 (make setup)", exc_type=ImportError)
COLOR = int(ob.OBStreamType.COLOR_STREAM)
FX, FY, CX, CY = 747.25, 746.5, 639.75, 361.5  # exact in single precision, which the SDK keeps
K, P = (0.125, -2.5, 1.5, 0.25, -2.25, 1.375), (0.0009765625, -0.00048828125)
_VERSION, _RATIONAL = 2.0, 3
_SUMS = {"OBDeviceInfo": "afef5328bb4abebd1a309e1ea8b26b3a", "Image": "060021388200f6f0f447d0fcd9c64743"}
_OTHER_SUM = "0123456789abcdef0123456789abcdef"


def write(
    path: Path,
    jpegs: Sequence[bytes],
    stamps_us: Sequence[int],
    size=(1280, 720),
    fps=30,
    serial="CL8F000001",
) -> None:
    """stamps_us: the camera's clock at each exposure."""
    begin = stamps_us[0]
    with Writer(path) as bag:
        info = _topic(bag, "/cam/deviceInfo", "custom_msg/OBDeviceInfo")
        profile = _topic(bag, f"/cam/streamProfileType_{COLOR}", "custom_msg/OBStreamProfileInfo")
        setting = _topic(bag, "/cam/property", "custom_msg/OBProperty")
        color = _topic(
            bag,
            f"/cam/sensor_{int(ob.OBSensorType.COLOR_SENSOR)}/frameType_{int(ob.OBFrameType.COLOR_FRAME)}",
            "sensor_msgs/Image",
        )
        version = struct.pack("<I", 0) + _blob(struct.pack("<d", _VERSION)) + struct.pack("<I", 8)
        bag.write(setting, 1000 * begin, _header(begin) + version)
        for number, (jpeg, stamp) in enumerate(zip(jpegs, stamps_us, strict=True)):
            image = (
                struct.pack("<II", size[1], size[0]) + _text("mjpg") + struct.pack("<BI", 0, 0) + _blob(jpeg)
            )
            rest = struct.pack("<IQQQQ", 8, number, stamp, stamp, stamp) + _blob(b"") + struct.pack("<I", 0)
            bag.write(color, 1000 * stamp, _header(stamp) + image + rest)
        name = [_text(text) for text in ("Orbbec Femto Bolt", "Orbbec Femto Bolt", "")]
        about = [_text(text) for text in ("1-1", serial, "1.1.2", "", "2.0.0", "USB3.2")]
        device = b"".join(
            [
                *name,
                struct.pack("<HH", 0x2BC5, 0x066B),
                *about,
                struct.pack("<HB", 0, 0),
                _text(""),
                _text(""),
            ]
        )
        bag.write(info, 1000 * begin, _header(begin) + device)
        turned = struct.pack("<BB12f", COLOR, int(ob.OBFormat.MJPG), 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
        lens = struct.pack("<3H4f8fB", *size, fps, FX, FY, CX, CY, *K, *P, _RATIONAL)
        bag.write(profile, 1000 * begin, _header(begin) + turned + lens)


def _topic(bag: Writer, topic: str, kind: str):
    package, name = kind.split("/")
    return bag.add_connection(
        topic, f"{package}/msg/{name}", msgdef=f"# {kind}", md5sum=_SUMS.get(name, _OTHER_SUM)
    )


def _header(stamp_us: int) -> bytes:
    return struct.pack("<III", 0, stamp_us // 1_000_000, stamp_us % 1_000_000 * 1000) + _text("")


def _text(text: str) -> bytes:
    return _blob(text.encode())


def _blob(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data
