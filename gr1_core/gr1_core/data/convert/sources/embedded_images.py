"""Embedded images of other people's datasets: kept as they are where the dataset format has them, else
encoded
anew.
"""

from __future__ import annotations

from gr1_core import images, lfs
from gr1_core.data.convert.sources.mapping import CameraMapping
from gr1_core.data.convert.sources.source import SourceError


def reencoded(data: bytes, camera: CameraMapping) -> bytes:
    """Bytes of an image -> JPEG or PNG as people see it, cut and scaled as the mapping says.

    JPEG and PNG that need no change stay byte for byte. What was lossless becomes PNG, the rest JPEG. Raises
    ImageError or SourceError.
    """
    if lfs.is_pointer_text(data):
        raise SourceError(lfs.REMEDY)
    turned = images.is_turned(data)
    if camera.unchanged and not turned and not images.is_webp(data):
        images.size(data)
        return data
    image = camera.apply(images.decode_upright(data) if turned else images.decode(data))
    return images.encode_png(image) if images.is_lossless(data) else images.encode_jpeg(image)
