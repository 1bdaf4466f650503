"""Encoded images <-> arrays: the one place where a frame is decoded, for live topics, bags and datasets.

An array is u8[H, W, 3] RGB. JPEG is written with full colour resolution (4:4:4): halved colour costs 7 to 8
dB on saturated edges.
"""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

JPEG_QUALITY = 95
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG"


class ImageError(ValueError):
    """Bytes that are no image, or an array that cannot be encoded as one."""


def decode(data, scratch: np.ndarray | None = None) -> np.ndarray:
    """JPEG or PNG bytes -> u8[H, W, 3] RGB.

    scratch: a contiguous u8 array of the image's size; a JPEG is decoded into it and it is returned. This
    saves a third of a small image's time. An image of another size gets a new array.
    """
    head = bytes(data[:4])
    if head.startswith(_JPEG):
        try:
            fits = scratch is not None and scratch.shape[:2] == simplejpeg.decode_jpeg_header(data)[:2]
            return simplejpeg.decode_jpeg(data, buffer=scratch if fits else None)
        except ValueError as error:
            raise ImageError(f"damaged JPEG of {len(data)} bytes: {error}") from error
    if head == _PNG:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        raise ImageError(f"damaged PNG of {len(data)} bytes")
    raise ImageError(f"{len(data)} bytes that begin with {head!r} are neither JPEG nor PNG")


def size(data) -> tuple[int, int]:
    """(height, width) of JPEG or PNG bytes, from their header."""
    head = bytes(data[:24])
    if head.startswith(_PNG):
        return int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
    try:
        return simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError as error:
        raise ImageError(
            f"{len(data)} bytes that begin with {head[:4]!r} are neither JPEG nor PNG"
        ) from error


def encode_jpeg(image: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """u8[H, W, 3] RGB -> JPEG."""
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(_rgb(image)), quality=quality, colorspace="RGB", colorsubsampling="444"
    )


def encode_png(image: np.ndarray) -> bytes:
    """u8[H, W, 3] RGB -> PNG, without loss."""
    done, data = cv2.imencode(
        ".png", cv2.cvtColor(_rgb(image), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    if not done:
        raise ImageError(f"OpenCV could not encode a {image.shape[1]}x{image.shape[0]} image as PNG")
    return data.tobytes()


def from_raw(encoding: str, height: int, width: int, step: int, data) -> np.ndarray:
    """The fields of a sensor_msgs/Image (rgb8 or bgr8, rows may be padded) -> u8[H, W, 3] RGB, a view where
    that is possible.
    """
    if encoding not in ("rgb8", "bgr8"):
        raise ImageError(
            f"image encoding '{encoding}' is not supported: have the camera publish rgb8 or bgr8"
        )
    data = np.frombuffer(data, np.uint8)
    if step < 3 * width or data.size < height * step:
        needed = height * max(step, 3 * width)
        raise ImageError(
            f"image of {width}x{height} with step {step} holds {data.size} bytes, expected at least "
            f"{needed}: a broken sender"
        )
    image = data[: height * step].reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    return image if encoding == "rgb8" else image[:, :, ::-1]


def _rgb(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"image is {image.dtype}{list(image.shape)}, expected uint8[H, W, 3] RGB")
    return image
