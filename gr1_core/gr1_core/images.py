"""Encoded images <-> arrays: the one place where a frame is decoded, for live topics, bags and datasets.

An array is u8[H, W, 3] RGB. JPEG is written with full colour resolution (4:4:4): halved colour costs 7 to 8
dB on saturated edges.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
import simplejpeg

JPEG_QUALITY = 95
ENCODINGS = {
    "rgb8": "rgb",
    "bgr8": "bgr",
    "rgba8": "rgba",
    "bgra8": "bgra",
    "mono8": "g",
    "8UC1": "g",
    "8UC3": "bgr",
    "8UC4": "bgra",
}
"""Encodings of sensor_msgs/Image -> their channels. 8UC3 and 8UC4 are OpenCV's order."""
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG"
_EXIF_ORIENTATION = 0x0112


class ImageError(ValueError):
    """Bytes that are no image, or an array that cannot be encoded as one."""


def decode(data, scratch: np.ndarray | None = None) -> np.ndarray:
    """JPEG, PNG or WebP bytes -> u8[H, W, 3] RGB, as stored: an EXIF orientation is not applied.

    scratch: a contiguous u8 array of the image's size; a JPEG is decoded into it and it is returned. This
    saves a third of a small image's time. An image of another size gets a new array.
    """
    head = bytes(data[:12])
    if head.startswith(_JPEG):
        try:
            fits = scratch is not None and scratch.shape[:2] == simplejpeg.decode_jpeg_header(data)[:2]
            return simplejpeg.decode_jpeg(data, buffer=scratch if fits else None)
        except ValueError as error:
            raise ImageError(f"damaged JPEG of {len(data)} bytes: {error}") from error
    if head.startswith(_PNG):
        _require_8_bit(data)
        return _by_opencv(data, "PNG")
    if is_webp(head):
        return _by_opencv(data, "WebP")
    raise ImageError(_unknown(data))


def decode_upright(data) -> np.ndarray:
    """As `decode`, turned as the EXIF orientation of a JPEG says."""
    return _by_opencv(data, "JPEG", cv2.IMREAD_COLOR)


def size(data) -> tuple[int, int]:
    """(height, width) of JPEG, PNG or WebP bytes, from their header."""
    head = bytes(data[:30])
    if head.startswith(_PNG):
        _require_8_bit(data)
        return int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
    if is_webp(head):
        return decode(data).shape[:2]
    try:
        return simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError as error:
        raise ImageError(_unknown(data)) from error


def is_webp(data) -> bool:
    """Whether bytes begin as a WebP image does."""
    head = bytes(data[:12])
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def is_lossless(data) -> bool:
    """Whether the bytes of an image are PNG or lossless WebP."""
    head = bytes(data[:16])
    return head.startswith(_PNG) or (is_webp(head) and head[12:16] == b"VP8L")


def is_turned(data) -> bool:
    """Whether the EXIF header of a JPEG asks viewers to turn or mirror it."""
    head = bytes(data[:4096])
    at = head.find(b"Exif\0\0")
    if not head.startswith(_JPEG) or at < 0 or head.find(b"\xff\xe1") < 0:
        return False
    tiff = head[at + 6 :]
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return False
    first = int.from_bytes(tiff[4:8], order)
    for entry in range(int.from_bytes(tiff[first : first + 2], order)):
        field = tiff[first + 2 + 12 * entry : first + 14 + 12 * entry]
        if len(field) == 12 and int.from_bytes(field[:2], order) == _EXIF_ORIENTATION:
            return int.from_bytes(field[8:10], order) in range(2, 9)
    return False


def _by_opencv(data, kind: str, flag: int = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise ImageError(f"damaged {kind} of {len(data)} bytes")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _require_8_bit(data) -> None:
    """A PNG of 16 bits, e.g. of depths, would be reduced to 8 without a word."""
    bits = bytes(data[24:25])
    if bits == b"\x10":
        raise ImageError("16 bits per channel (a depth image?), expected 8: choose a colour camera")


def _unknown(data) -> str:
    return f"{len(data)} bytes that begin with {bytes(data[:4])!r} are neither JPEG nor PNG"


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
    """The fields of a sensor_msgs/Image (rows may be padded) -> u8[H, W, 3] RGB, a view where that is
    possible.

    encoding: one of `ENCODINGS`; alpha is dropped, grey repeated.
    """
    channels = ENCODINGS.get(encoding)
    if channels is None:
        what = ": more than 8 bits per channel (a depth image?)" if is_known_encoding(encoding) else ""
        raise ImageError(
            f"image encoding '{encoding}' is not supported{what}: have the camera publish rgb8 or bgr8"
        )
    count = len(channels)
    data = np.frombuffer(data, np.uint8)
    if step < count * width or data.size < height * step:
        needed = height * max(step, count * width)
        raise ImageError(
            f"image of {width}x{height} with step {step} holds {data.size} bytes, expected at least "
            f"{needed}: a broken sender"
        )
    image = data[: height * step].reshape(height, step)[:, : count * width].reshape(height, width, count)
    if count == 1:
        return np.broadcast_to(image, (height, width, 3))
    return image[:, :, :3] if channels.startswith("rgb") else image[:, :, 2::-1]


def is_known_encoding(encoding: str) -> bool:
    """Whether `from_raw` reads the encoding, or knows that its pixels have more than 8 bits."""
    return encoding in ENCODINGS or re.search("16|32|64", encoding) is not None


def _rgb(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"image is {image.dtype}{list(image.shape)}, expected uint8[H, W, 3] RGB")
    return image
