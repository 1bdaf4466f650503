"""What an image always becomes, computed once: files of resized frames and of the frozen encoder's tokens, beside the data set.

They lie in `Dataset.cache`, named by image size, crop, precision and the encoder's weights, and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from tqdm import tqdm

from gr1_core.data.dataset import Dataset
from gr1_core.data.loader import Loader, in_order
from gr1_core.data.windows import Windows
from gr1_core.model.config import GR1Config

PIXELS, TOKENS = "pixels", "tokens"
_AT_ONCE = 64


def sizes(config: GR1Config, tokens: bool, pixels: bool, bf16: bool) -> dict[str, int]:
    """Bytes a frame of each kind of file that is wanted."""
    wanted = {}
    if tokens:
        wanted[TOKENS] = (config.patches + 1) * config.vision_width * _type(TOKENS, bf16).itemsize
    if pixels:
        wanted[PIXELS] = 3 * config.image_size**2 * _type(PIXELS, bf16).itemsize
    return wanted


def digest(vision: nn.Module) -> str:
    """16 hexadecimal digits of an encoder's weights."""
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
    """The memory-mapped file of one camera: f16/f32[frames, 3, S, S] or [frames, 1 + patches, feature], [CLS] first.

    If it is not there it is made by compute(u8[N, h, w, 3]) -> [N, ...]; of several processes one does it and the others wait.
    key: of the encoder's weights.
    """
    name = f"{kind}.{role}.{config.image_size}.{dataset.cameras[role].crop}.{'bf16' if bf16 else 'fp32'}"
    shape = (3, config.image_size, config.image_size)
    if kind == TOKENS:
        name += f".{key}"
        shape = (config.patches + 1, config.vision_width)
    dtype = _type(kind, bf16)

    def build(path: Path) -> None:
        out = np.lib.format.open_memmap(path, "w+", dtype, (dataset.length, *shape))
        batches = in_order(dataset.length, _AT_ONCE)
        bar = tqdm(
            total=dataset.length, desc=f"{'encode' if kind == TOKENS else 'resize'} {role}", disable=None
        )
        with Loader(Windows(dataset, None, 1, 0), batches, threads, roles=(role,)) as loader, bar:
            for batch in loader:
                done = compute(batch.images[role][:, 0])
                out[batch.frames[:, 0]] = done.cpu().numpy()
                bar.update(len(done))
        out.flush()

    size = dataset.length * int(np.prod(shape)) * dtype.itemsize
    return np.load(dataset.cache.get(f"{name}.npy", size, build), mmap_mode="r")


def _type(kind: str, bf16: bool) -> np.dtype:
    # fp16 has more digits than bf16, and both pixels and tokens that come out of a layer norm lie well within its range.
    return np.dtype(np.float16 if bf16 else np.float32)
