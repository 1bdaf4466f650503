"""RealSense recordings with known content, made by librealsense's own recorder from its software device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

rs = pytest.importorskip("pyrealsense2", reason="needs pyrealsense2 (make setup) and libusb-1.0-0")

SERIAL = "841512070001"
FX, FY, CX, CY = 301.25, 302.5, 158.75, 121.5
COEFFICIENTS = (
    0.125,
    -0.25,
    0.0009765625,
    -0.001953125,
    0.0625,
)  # exact in single precision, which librealsense keeps


class Recording(NamedTuple):
    """path; the frames u8[N, H, W, 3] in it; their device stamps in ms and their frame numbers."""

    path: str
    images: np.ndarray
    stamps: np.ndarray
    numbers: np.ndarray


def record(
    path, frames=60, width=320, height=240, fps=30, numbers=None, model="brown_conrady", usb="3.2"
) -> Recording:
    """Writes a colour stream of noise: no two frames are alike, and one wrong bit shows."""
    images = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)
    numbers = np.arange(1, frames + 1) if numbers is None else np.asarray(numbers)
    stamps = 5000.0 + numbers * (1000.0 / fps)
    device = rs.software_device()
    for field, value in (
        ("name", "Software D435"),
        ("serial_number", SERIAL),
        ("firmware_version", "5.16.0.1"),
        ("usb_type_descriptor", usb),
    ):
        device.register_info(getattr(rs.camera_info, field), value)
    sensor = device.add_sensor("RGB Camera")
    stream = rs.video_stream()
    stream.type, stream.index, stream.uid, stream.fmt, stream.bpp = rs.stream.color, 0, 1, rs.format.rgb8, 3
    stream.width, stream.height, stream.fps = width, height, fps
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = width, height, FX, FY, CX, CY
    lens.model, lens.coeffs = getattr(rs.distortion, model), list(COEFFICIENTS)
    stream.intrinsics = lens
    profile = sensor.add_video_stream(stream)
    recorder = rs.recorder(str(path), device)
    written = recorder.query_sensors()[0]
    written.open(written.get_stream_profiles()[0])
    queue = rs.frame_queue(8)
    written.start(queue)
    for image, stamp, number in zip(images, stamps, numbers, strict=True):
        frame = rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp = image, 3 * width, 3
        frame.timestamp, frame.domain, frame.frame_number = (
            stamp,
            rs.timestamp_domain.hardware_clock,
            int(number),
        )
        frame.profile = profile.as_video_stream_profile()
        sensor.on_video_frame(frame)
        queue.wait_for_frame()
    written.stop()
    written.close()
    return Recording(str(path), images, stamps, numbers)
