"""An Azure Kinect recording (.mkv) without an Azure Kinect: written through ctypes by the recorder library
that pyk4a-bundle carries.

Layouts and names are those of k4a.h, k4atypes.h and k4arecord/record.h, Azure Kinect Sensor SDK 1.4.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from ctypes import byref, c_bool, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np
import pytest

pyk4a = pytest.importorskip(
    "pyk4a", reason="pyk4a is not in this environment: make test-kinect", exc_type=ImportError
)
MJPG, BGRA = pyk4a.ImageFormat.COLOR_MJPG, pyk4a.ImageFormat.COLOR_BGRA32
SIZES = {pyk4a.ColorResolution.RES_720P: (1280, 720), pyk4a.ColorResolution.RES_1536P: (2048, 1536)}
# Of a 4:3 sensor, in units of its width and height, (0, 0) the corner: cx, cy, fx, fy, k1 .. k6, codx, cody,
# p2, p1.
COLOR = (0.4995, 0.5012, 0.4781, 0.6373, 0.31, -2.4, 1.4, 0.19, -2.2, 1.3, 0.0, 0.0, -0.0002, 0.0005)


class _Configuration(ctypes.Structure):
    _fields_ = [
        ("color_format", c_int32),
        ("color_resolution", c_int32),
        ("depth_mode", c_int32),
        ("camera_fps", c_int32),
        ("synchronized_images_only", c_bool),
        ("depth_delay_off_color_usec", c_int32),
        ("wired_sync_mode", c_int32),
        ("subordinate_delay_off_master_usec", c_uint32),
        ("disable_streaming_indicator", c_bool),
    ]


def _library(name: str) -> ctypes.CDLL:
    (path,) = (Path(pyk4a.__file__).parent.parent / "pyk4a_bundle.libs").glob(f"{name}-*.so*")
    return ctypes.CDLL(str(path))


def noise(seed: int, width: int = 1280, height: int = 720) -> np.ndarray:
    """u8[H, W, 3] of squares of 16 pixels: no two images are alike, and JPEG keeps most of each."""
    colours = np.random.default_rng(seed).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    return np.ascontiguousarray(colours.repeat(16, 0).repeat(16, 1))


def write(
    path: Path, images: Sequence, stamps_us: Sequence[int], resolution=None, form=MJPG, fps=pyk4a.FPS.FPS_30
) -> None:
    """images: JPEG bytes, or u8[H, W, 4] BGRA arrays; stamps_us: the device's clock at the middle of each
    exposure.
    """
    resolution = resolution or pyk4a.ColorResolution.RES_720P
    camera, recorder = _library("libk4a"), _library("libk4arecord")
    configuration = _Configuration(form, resolution, pyk4a.DepthMode.OFF, fps)
    recording = c_void_p()
    _done(
        recorder.k4a_record_create(c_char_p(bytes(path)), None, configuration, byref(recording)),
        "k4a_record_create",
    )
    calibration = json.dumps(_calibration()).encode()
    _done(
        recorder.k4a_record_add_attachment(
            recording, b"calibration.json", calibration, c_size_t(len(calibration))
        ),
        "k4a_record_add_attachment",
    )
    _done(
        recorder.k4a_record_add_tag(recording, b"K4A_CALIBRATION_FILE", b"calibration.json"),
        "k4a_record_add_tag",
    )
    _done(recorder.k4a_record_write_header(recording), "k4a_record_write_header")
    width, height = SIZES[resolution]
    for image, stamp in zip(images, stamps_us, strict=True):
        data = bytes(image) if form == MJPG else image.tobytes()
        stride = 0 if form == MJPG else 4 * width
        buffer = ctypes.create_string_buffer(data, len(data))
        image, capture = c_void_p(), c_void_p()
        _done(
            camera.k4a_image_create_from_buffer(
                c_int32(form), width, height, stride, buffer, c_size_t(len(data)), None, None, byref(image)
            ),
            "k4a_image_create_from_buffer",
        )
        camera.k4a_image_set_device_timestamp_usec(image, c_uint64(stamp))
        _done(camera.k4a_capture_create(byref(capture)), "k4a_capture_create")
        camera.k4a_capture_set_color_image(capture, image)
        _done(recorder.k4a_record_write_capture(recording, capture), "k4a_record_write_capture")
        camera.k4a_capture_release(capture)
        camera.k4a_image_release(image)
        # The recorder keeps images until it has sorted them by time; the buffer is this function's.
        _done(recorder.k4a_record_flush(recording), "k4a_record_flush")
    recorder.k4a_record_close(recording)


def _done(result: int, call: str) -> None:
    assert result == 0, f"{call} returned {result}"


def _calibration() -> dict:
    return {
        "CalibrationInformation": {
            "Cameras": [_camera("D0", 1024, 1024), _camera("PV0", 4096, 3072)],
            "InertialSensors": _imu(),
        }
    }


def _camera(place: str, width: int, height: int) -> dict:
    return {
        "Intrinsics": {
            "ModelParameterCount": len(COLOR),
            "ModelParameters": list(COLOR),
            "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
        },
        "Location": f"CALIBRATION_CameraLocation{place}",
        "Purpose": "CALIBRATION_CameraPurposeDepth"
        if place == "D0"
        else "CALIBRATION_CameraPurposePhotoVideo",
        "MetricRadius": 1.7,
        "Rt": _rt(),
        "SensorWidth": width,
        "SensorHeight": height,
        "Shutter": "CALIBRATION_ShutterTypeUndefined",
        "ThermalAdjustmentParams": {"Params": [0] * 12},
    }


def _imu() -> list:
    sensor = {
        "BiasTemperatureModel": [0] * 12,
        "BiasUncertainty": [1e-4] * 3,
        "Id": "CALIBRATION_InertialSensorId_LSM6DSM",
        "MixingMatrixTemperatureModel": [1] * 36,
        "ModelTypeMask": 16,
        "Noise": [1e-3] * 6,
        "Rt": _rt(),
        "SecondOrderScaling": [0] * 9,
        "TemperatureBounds": [5, 60],
        "TemperatureC": 0,
    }
    return [
        sensor | {"SensorType": f"CALIBRATION_InertialSensorType_{kind}"}
        for kind in ("Gyro", "Accelerometer")
    ]


def _rt() -> dict:
    return {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": [0, 0, 0]}
