"""From batches of windows to the model's inputs: shift, resize, frozen encoders; or all of that from files that were made once.

With frozen encoders and without random shifts, an image always gives the same tokens. On a CPU encoding would be most of the work, so the
tokens of every frame are computed once into a memory-mapped file beside the data set (`Dataset.cache`), as are the resized frames.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gr1_core.data.dataset import Dataset
from gr1_core.data.loader import Loader, in_order
from gr1_core.data.windows import Batch, Windows
from gr1_core.model import patches
from gr1_core.model.gr1 import GR1
from gr1_core.pack import pack
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import Recipe

_ENCODED_AT_ONCE = 64
_MOST_TEXTS = 100_000


@dataclass(frozen=True)
class Wants:
    """What a feed makes. roles: cameras; future: those whose frames are predicted; robot: states and actions too.

    frozen: whether the image encoder is (a model that trains it gets images). shift: most pixels a camera. threads: that decode.
    cache, cache_gb: as in a recipe.
    """

    roles: tuple[str, ...]
    future: tuple[str, ...]
    robot: bool
    frozen: bool = True
    shift: dict[str, int] = field(default_factory=dict)
    threads: int | None = None
    cache: str = "off"
    cache_gb: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe) -> Wants:
        return cls(
            roles=recipe.roles,
            future=tuple(role for role in recipe.roles if role in recipe.targets),
            robot=recipe.stage == "finetune",
            frozen=not recipe.train_vision,
            shift={role: getattr(recipe.shift, role) for role in recipe.roles},
            threads=recipe.loader_threads,
            cache=recipe.cache,
            cache_gb=recipe.cache_gb,
        )


class Feed:
    """Makes Inputs of Batches of one data set, on a device."""

    def __init__(self, model: GR1, dataset: Dataset, wants: Wants, device: torch.device, bf16: bool):
        self.config, self.dataset, self.wants, self.device, self.bf16 = model.config, dataset, wants, device, bf16
        self._text, self._embeddings = model.text, {}
        self._vision = _encoder(model.vision, bf16) if wants.frozen else None
        self._digest = _digest(model.vision) if wants.frozen else ""
        self.cached = self._wants_cache()
        self._files: dict[str, dict[str, np.ndarray]] = {}
        self.waited_s = 0.0  # for the files

    def loader(self, windows: Windows, batches: Iterable[np.ndarray]) -> Loader:
        return Loader(windows, batches, self.wants.threads, images=not self.cached, roles=self.wants.roles)

    def inputs(self, batch: Batch, shifts: dict[str, np.ndarray] | None = None) -> Inputs:
        """shifts: each camera's i64[B, 2] (down, right) in pixels, None: no shift."""
        inputs = Inputs(
            embedding=self._embed(batch.tokens),
            state=self._tensor(batch.state) if self.wants.robot else None,
            action=self._tensor(batch.action) if self.wants.robot else None,
            valid=None if batch.valid.all() else self._tensor(batch.valid),
            future=None if batch.future.all() else self._tensor(batch.future),
        )
        for role in self.wants.roles:
            if self.cached:
                self._from_files(inputs, role, batch.frames)
                continue
            if shifts is None:
                self._each_frame_once(inputs, role, batch)
            else:
                self._each_window(inputs, role, batch, shifts[role])
        return inputs

    # Images

    def image(self, role: str, frame: int) -> Tensor:
        """One frame as the model sees it, preprocessed [1, 3, S, S], on the CPU."""
        pixels = self.dataset.cameras[role].view(self.dataset.image(role, int(frame)))
        return patches.preprocess(torch.from_numpy(np.ascontiguousarray(pixels))[None], self.config.image_size)

    def _each_frame_once(self, inputs: Inputs, role: str, batch: Batch) -> None:
        """Windows of one batch may overlap: each frame is resized and encoded once."""
        window, future = self.config.window, role in self.wants.future
        frames = batch.frames if future else batch.frames[:, :window]
        rows, first, where = np.unique(frames, return_index=True, return_inverse=True)
        where = where.reshape(frames.shape)
        images = self._preprocess(batch.images[role][np.unravel_index(first, frames.shape)])
        if self.wants.frozen:
            seen, place = np.unique(where[:, :window], return_inverse=True)
            place = self._tensor(place.reshape(-1, window))
            inputs.features[role] = tuple(part[place] for part in self._encode(images[self._tensor(seen)]))
        else:
            inputs.seen[role] = images[self._tensor(where[:, :window])]
        if future:
            inputs.future_images[role] = images[self._tensor(where[:, -window:])]

    def _each_window(self, inputs: Inputs, role: str, batch: Batch, shift: np.ndarray) -> None:
        window, future = self.config.window, role in self.wants.future
        pixels = batch.images[role] if future else batch.images[role][:, :window]
        moved = shifted(self._tensor(pixels), self._tensor(shift))
        images = self._preprocess(moved.flatten(0, 1)).unflatten(0, moved.shape[:2])
        if self.wants.frozen:
            encoded = self._encode(images[:, :window].flatten(0, 1))
            inputs.features[role] = tuple(part.unflatten(0, (-1, window)) for part in encoded)
        else:
            inputs.seen[role] = images[:, :window]
        if future:
            inputs.future_images[role] = images[:, -window:]

    def _preprocess(self, images: np.ndarray | Tensor) -> Tensor:
        """u8[N, h, w, 3] -> [N, 3, S, S] on the device."""
        return patches.preprocess(images if isinstance(images, Tensor) else self._tensor(images), self.config.image_size)

    @torch.no_grad()
    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        cls, tokens = self._vision(images)
        return cls.float(), tokens.float()

    # Text

    @torch.no_grad()
    def _embed(self, tokens: np.ndarray) -> Tensor:
        """i64[B, 77] -> f32[B, text_dim]; each text is encoded once."""
        keys = [row.tobytes() for row in tokens]
        new = {key: row for key, row in zip(keys, tokens) if key not in self._embeddings}
        if new:
            if len(self._embeddings) > _MOST_TEXTS:
                self._embeddings = {key: self._embeddings[key] for key in keys if key in self._embeddings}
            # One by one on a CPU, so that an embedding does not depend on which others were new with it.
            rows = torch.from_numpy(np.stack(list(new.values()))).to(self.device)
            parts = rows.split(1) if self.device.type == "cpu" else (rows,)
            self._embeddings |= zip(new, torch.cat([self._text(part) for part in parts]))
        return torch.stack([self._embeddings[key] for key in keys])

    # Files

    def _wants_cache(self) -> bool:
        wants = self.wants
        possible = not any(wants.shift.values())
        if wants.cache == "on" and not possible:
            raise ValueError("cache=on does not go with random shifts, which make every image another: set shift.static=0 shift.wrist=0")
        size = sum(self._sizes().values()) * self.dataset.length * len(wants.roles)
        auto = possible and self.device.type == "cpu" and size <= wants.cache_gb * 1e9
        return wants.cache == "on" or (wants.cache == "auto" and auto)

    def _sizes(self) -> dict[str, int]:
        """Bytes a frame of the files that are needed."""
        sizes = {}
        if self.wants.frozen:
            sizes["tokens"] = (self.config.patches + 1) * self.config.vision_width * (2 if self.bf16 else 4)
        if not self.wants.frozen or self.wants.future:
            sizes["pixels"] = 3 * self.config.image_size**2 * 4
        return sizes

    def prepare(self) -> None:
        """Makes the files that are not there yet; of several processes one does it and the others wait."""
        for role in self.wants.roles if self.cached else ():
            files = self._files[role] = {}
            for kind, size in self._sizes().items():
                name = f"{kind}.{role}.{self._key(kind, role)}.npy"
                path = self.dataset.cache.get(
                    name, size * self.dataset.length, lambda path, kind=kind, role=role: self._build(path, kind, role)
                )
                files[kind] = np.load(path, mmap_mode="r")

    def _key(self, kind: str, role: str) -> str:
        key = f"{self.config.image_size}.{self.dataset.cameras[role].crop}"
        return key if kind == "pixels" else f"{key}.{'bf16' if self.bf16 else 'fp32'}.{self._digest}"

    def _build(self, path, kind: str, role: str) -> None:
        windows = Windows(self.dataset, None, 1, 0)
        config = self.config
        if kind == "pixels":
            shape, dtype = (3, config.image_size, config.image_size), np.float32
        else:
            # bf16 has fewer digits than fp16, and tokens after a layer norm lie well within its range.
            shape, dtype = (config.patches + 1, config.vision_width), np.float16 if self.bf16 else np.float32
        out = np.lib.format.open_memmap(path, "w+", dtype, (len(windows), *shape))
        batches = in_order(len(windows), _ENCODED_AT_ONCE)
        label = f"{'encode' if kind == 'tokens' else 'resize'} {role}"
        bar = tqdm(total=len(windows), desc=label, disable=None)
        with Loader(windows, batches, self.wants.threads, roles=(role,)) as loader, bar:
            for batch in loader:
                done = self._preprocess(batch.images[role][:, 0])
                if kind == "tokens":
                    cls, tokens = self._encode(done)
                    done = torch.cat([cls.unsqueeze(1), tokens], 1)
                out[batch.frames[:, 0]] = done.cpu().numpy()
                bar.update(len(done))
        out.flush()

    def _from_files(self, inputs: Inputs, role: str, frames: np.ndarray) -> None:
        began = time.perf_counter()
        window, files = self.config.window, self._files[role]
        if "tokens" in files:
            tokens = self._tensor(files["tokens"][frames[:, :window]]).float()
            inputs.features[role] = (tokens[:, :, 0], tokens[:, :, 1:])
        if "pixels" in files:
            images = self._tensor(files["pixels"][frames])
            if not self.wants.frozen:
                inputs.seen[role] = images[:, :window]
            if role in self.wants.future:
                inputs.future_images[role] = images[:, -window:]
        self.waited_s += time.perf_counter() - began

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


def shifted(images: Tensor, shift: Tensor) -> Tensor:
    """Moves u8[B, T, h, w, 3] by shift i64[B, 2] (down, right) pixels a window; the edge is repeated into what comes free."""
    height, width = images.shape[2:4]
    rows = (torch.arange(height, device=images.device) - shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - shift[:, 1:]).clamp(0, width - 1)
    of = torch.arange(len(images), device=images.device)[:, None, None]
    # Indexed axes come first when a slice lies between them: [B, h, w, T, 3].
    return images[of, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def _encoder(vision: nn.Module, bf16: bool) -> nn.Module:
    """A copy for inference alone, its products in bf16 or fp32, as `Policy` has it."""
    return pack(copy.deepcopy(vision).requires_grad_(False).eval(), torch.bfloat16 if bf16 else torch.float32)


def _digest(vision: nn.Module) -> str:
    """16 hexadecimal digits of the encoder's weights."""
    digest = hashlib.sha256()
    for name, tensor in vision.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
