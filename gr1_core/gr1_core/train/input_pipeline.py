"""From batches of windows to the model's inputs: shift, resize, frozen encoders; or all of that from files that were made once.

Without random shifts an image always becomes the same pixels and, with a frozen encoder, the same tokens. On a CPU that would be most of
the work, so it is done once for every frame (feature_cache.py).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gr1_core.data.dataset import Dataset
from gr1_core.data.loader import Loader
from gr1_core.data.windows import Batch, Windows
from gr1_core.model import patches
from gr1_core.model.gr1 import GR1
from gr1_core.model.packed_linear import pack
from gr1_core.train import feature_cache
from gr1_core.train.augmentation import Augmentation, AugmentationLimits, recolour_images, shift_images
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import Recipe

_MOST_TEXTS = 100_000


@dataclass(frozen=True)
class InputSpec:
    """What a feed makes. roles: cameras; future: those whose frames are predicted; robot: states and actions too.

    frozen: whether the image encoder is (a model that trains it gets images). change: how much pictures do, at random.
    threads: that decode.
    cache, cache_gb: as in a recipe.
    """

    roles: tuple[str, ...]
    future: tuple[str, ...]
    robot: bool
    frozen: bool = True
    change: AugmentationLimits = AugmentationLimits()
    threads: int | None = None
    cache: str = "off"
    cache_gb: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe) -> InputSpec:
        return cls(
            roles=recipe.roles,
            future=tuple(role for role in recipe.roles if role in recipe.targets),
            robot=recipe.stage == "finetune",
            frozen=not recipe.train_vision,
            change=AugmentationLimits(
                {role: getattr(recipe.shift, role) for role in recipe.roles}, recipe.colour, recipe.hue
            ),
            threads=recipe.loader_threads,
            cache=recipe.cache,
            cache_gb=recipe.cache_gb,
        )


class InputPipeline:
    """Makes Inputs of Batches of one dataset, on a device."""

    def __init__(self, model: GR1, dataset: Dataset, wants: InputSpec, device: torch.device, bf16: bool):
        self.config, self.dataset, self.wants, self.device, self.bf16 = (
            model.config,
            dataset,
            wants,
            device,
            bf16,
        )
        self._text, self._embeddings = model.text, {}
        self._trains_words = model.config.text == "words"
        self._vision = _encoder(model.vision, bf16) if wants.frozen else None
        self._encoder_weights = model.vision
        self._sizes = feature_cache.bytes_per_frame(
            model.config, wants.frozen, not wants.frozen or bool(wants.future), bf16
        )
        self.cached = self._wants_cache()
        self._files: dict[str, dict[str, np.ndarray]] = {}
        self.waited_s = 0.0  # for the files

    def loader(self, windows: Windows, batches: Iterable[np.ndarray]) -> Loader:
        return Loader(windows, batches, self.wants.threads, images=not self.cached, roles=self.wants.roles)

    def inputs(
        self, batch: Batch, changes: dict[str, Augmentation] | None = None, pictured: int | None = None
    ) -> Inputs:
        """changes: each camera's, None: none. pictured: how many windows get their future frames."""
        pictured = len(batch.frames) if pictured is None else pictured
        future = batch.future[:pictured]
        inputs = Inputs(
            embedding=None if self._trains_words else self._embed(batch.tokens),
            tokens=self._tensor(batch.tokens) if self._trains_words else None,
            state=self._tensor(batch.state) if self.wants.robot else None,
            action=self._tensor(batch.action) if self.wants.robot else None,
            valid=None if batch.valid.all() else self._tensor(batch.valid),
            future=None if future.all() else self._tensor(future),
        )
        for role in self.wants.roles:
            change = None if changes is None else changes[role]
            if self.cached:
                self._from_files(inputs, role, batch.frames, pictured, change)
            elif change is None:
                self._each_frame_once(inputs, role, batch)
            else:
                self._each_window(inputs, role, batch, change)
            if role in self.wants.future:
                inputs.future_images[role] = inputs.future_images[role][:pictured]
        return inputs

    # Images

    def image(self, role: str, frame: int) -> Tensor:
        """One frame as the model sees it, preprocessed [1, 3, S, S], on the CPU."""
        pixels = self.dataset.cameras[role].view(self.dataset.image(role, int(frame)))
        return patches.preprocess(
            torch.from_numpy(np.ascontiguousarray(pixels))[None], self.config.image_size
        )

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

    def _each_window(self, inputs: Inputs, role: str, batch: Batch, change: Augmentation) -> None:
        window, future = self.config.window, role in self.wants.future
        pixels = batch.images[role] if future else batch.images[role][:, :window]
        moved = shift_images(self._tensor(pixels), self._tensor(change.shift))
        images = self._preprocess(moved.flatten(0, 1)).unflatten(0, moved.shape[:2])
        images = recolour_images(images, self._tensor(change.colour))
        if self.wants.frozen:
            encoded = self._encode(images[:, :window].flatten(0, 1))
            inputs.features[role] = tuple(part.unflatten(0, (-1, window)) for part in encoded)
        else:
            inputs.seen[role] = images[:, :window]
        if future:
            inputs.future_images[role] = images[:, -window:]

    def _preprocess(self, images: np.ndarray | Tensor) -> Tensor:
        """u8[N, h, w, 3] -> [N, 3, S, S] on the device."""
        return patches.preprocess(
            images if isinstance(images, Tensor) else self._tensor(images), self.config.image_size
        )

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
        # Pixels can be moved and coloured after they are read, a frozen encoder's tokens cannot.
        possible = not (wants.frozen and wants.change)
        if wants.cache == "on" and not possible:
            raise ValueError(
                "cache=on keeps the frozen encoder's tokens, which random shifts and colours make others each time: "
                "set shift.static=0 shift.wrist=0 colour=0 hue=0"
            )
        size = sum(self._sizes.values()) * self.dataset.length * len(wants.roles)
        auto = possible and self.device.type == "cpu" and size <= wants.cache_gb * 1e9
        return wants.cache == "on" or (wants.cache == "auto" and auto)

    def prepare(self) -> None:
        """Makes the files that are not there yet."""
        if not self.cached:
            return
        key = feature_cache.weights_digest(self._encoder_weights) if self.wants.frozen else ""
        compute = {feature_cache.PIXELS: self._preprocess, feature_cache.TOKENS: self._tokens}
        for role in self.wants.roles:
            self._files[role] = {
                kind: feature_cache.open_file(
                    self.dataset, role, kind, self.config, self.bf16, key, self.wants.threads, compute[kind]
                )
                for kind in self._sizes
            }

    def _tokens(self, images: np.ndarray) -> Tensor:
        cls, tokens = self._encode(self._preprocess(images))
        return torch.cat([cls.unsqueeze(1), tokens], 1)

    def _from_files(
        self, inputs: Inputs, role: str, frames: np.ndarray, pictured: int, change: Augmentation | None
    ) -> None:
        began = time.perf_counter()
        window, opened = self.config.window, self._files[role]
        if feature_cache.TOKENS in opened:
            tokens = self._tensor(opened[feature_cache.TOKENS][frames[:, :window]]).float()
            inputs.features[role] = (tokens[:, :, 0], tokens[:, :, 1:])
        if feature_cache.PIXELS in opened:
            pixels = opened[feature_cache.PIXELS]
            if not self.wants.frozen:
                inputs.seen[role] = self._changed(role, pixels[frames[:, :window]], change)
            if role in self.wants.future:
                later = None if change is None else change.part(slice(pictured))
                inputs.future_images[role] = self._changed(role, pixels[frames[:pictured, -window:]], later)
        self.waited_s += time.perf_counter() - began

    def _changed(self, role: str, images: np.ndarray, change: Augmentation | None) -> Tensor:
        """Preprocessed f16/f32[B, T, 3, S, S] of a file -> f32. A shift is rounded to its pixels, which may be larger than the camera's."""
        pixels = self._tensor(images)
        if change is None:
            return pixels.float()
        camera = self.dataset.cameras[role]
        seen = camera.view(np.empty((camera.height, camera.width, 3), np.uint8)).shape[:2]
        shift = np.rint(change.shift * (self.config.image_size / np.array(seen))).astype(np.int64)
        moved = shift_images(pixels.movedim(2, -1), self._tensor(shift)).movedim(-1, 2)
        return recolour_images(moved.float(), self._tensor(change.colour))

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


def _encoder(vision: nn.Module, bf16: bool) -> nn.Module:
    """A copy for inference alone, its products in bf16 or fp32, as `Policy` has it."""
    return pack(copy.deepcopy(vision).requires_grad_(False).eval(), torch.bfloat16 if bf16 else torch.float32)
