"""Files of resized frames and of the frozen encoder's tokens, computed once per dataset.

They lie in the dataset's cache, named by image size, crop, precision and the encoder's weights, and can be
deleted at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from torch import Tensor, nn
from tqdm import tqdm

from gr1_core.data.dataset import Dataset
from gr1_core.data.loader import Loader, in_order
from gr1_core.data.windows import Windows
from gr1_core.model.config import GR1Config

PIXELS, TOKENS = "pixels", "tokens"
_FRAMES_AT_ONCE = 64


def bytes_per_frame(config: GR1Config, tokens: bool, pixels: bool, bf16: bool) -> dict[str, int]:
    """Kind of file -> bytes per frame, for the requested kinds."""
    sizes = {}
    if tokens:
        sizes[TOKENS] = (config.patches + 1) * config.vision_width * _dtype(bf16).itemsize
    if pixels:
        sizes[PIXELS] = 3 * config.image_size**2 * _dtype(bf16).itemsize
    return sizes


def weights_digest(vision: nn.Module) -> str:
    """16 hexadecimal digits that identify an encoder's weights."""
    hashed = hashlib.sha256()
    for name, tensor in vision.state_dict().items():
        hashed.update(name.encode() + tensor.cpu().numpy().tobytes())
    return hashed.hexdigest()[:16]


def open_file(
    dataset: Dataset,
    role: str,
    kind: str,
    config: GR1Config,
    bf16: bool,
    key: str,
    threads: int | None,
    compute: Callable[[np.ndarray], Tensor],
) -> np.ndarray:
    """The memory-mapped file of one camera: f16/f32[frames, 3, S, S] or [frames, 1 + patches, feature], [CLS]
    first.

    A missing file is computed with compute(u8[N, h, w, 3]) -> [N, ...]; of several processes one does it and
    the others wait. key: `weights_digest` of the encoder.
    """
    name = f"{kind}.{role}.{config.image_size}.{dataset.cameras[role].crop}.{'bf16' if bf16 else 'fp32'}"
    shape = (dataset.length, 3, config.image_size, config.image_size)
    if kind == TOKENS:
        name += f".{key}"
        shape = (dataset.length, config.patches + 1, config.vision_width)
    path = dataset.cache.path(f"{name}.npy")
    if not path.is_file():
        size = int(np.prod(shape)) * _dtype(bf16).itemsize
        with dataset.cache.creating(path.name, size) as partial:
            if partial is not None:
                out = np.lib.format.open_memmap(partial, "w+", _dtype(bf16), shape)
                _fill(out, dataset, role, threads, compute, "encode" if kind == TOKENS else "resize")
    return np.load(path, mmap_mode="r")


def _fill(
    out: np.memmap,
    dataset: Dataset,
    role: str,
    threads: int | None,
    compute: Callable[[np.ndarray], Tensor],
    label: str,
) -> None:
    """Computes the rows of all frames."""
    windows = Windows(dataset, None, 1, 0)
    bar = tqdm(total=dataset.length, desc=f"{label} {role}", disable=None)
    with Loader(windows, in_order(dataset.length, _FRAMES_AT_ONCE), threads, roles=(role,)) as loader, bar:
        for batch in loader:
            out[batch.frames[:, 0]] = compute(batch.images[role][:, 0]).cpu().numpy()
            bar.update(len(batch.frames))
            loader.release(batch)
    out.flush()


def _dtype(bf16: bool) -> np.dtype:
    # fp16 has more digits than bf16; pixels and tokens after a layer norm lie well within its range.
    return np.dtype(np.float16 if bf16 else np.float32)
