"""Batches of windows -> the model's inputs: shift, resize, recolour, frozen encoder; or those results from
files.

Without random shifts an image always gives the same pixels and, with a frozen encoder, the same tokens. On a
CPU computing them would be most of the work, so they are computed once for every frame (feature_cache.py).
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
from gr1_core.data.windows import Windows
from gr1_core.model import patches
from gr1_core.model.gr1 import GR1
from gr1_core.model.packed_linear import pack
from gr1_core.train import feature_cache
from gr1_core.train.augmentation import Augmentation, AugmentationLimits, recolour_images, shift_images
from gr1_core.train.device_batches import DeviceBatch, DeviceBatches, to_device
from gr1_core.train.losses import Inputs
from gr1_core.train.recipe import Recipe

_MAX_TEXTS = 100_000
_IMAGES_AT_ONCE = 256  # through the frozen encoder: its activations need 6 MB per image at the paper's size


@dataclass(frozen=True)
class InputSpec:
    """What an InputPipeline makes.

    roles: cameras. future: those whose frames are predicted. robot: also states and actions.
    frozen: whether the image encoder is frozen; otherwise the inputs are images. augment: largest random
    changes of the images. threads: decoder threads. cache, cache_gb, decode_once: as in a recipe.
    """

    roles: tuple[str, ...]
    future: tuple[str, ...]
    robot: bool
    frozen: bool = True
    augment: AugmentationLimits = AugmentationLimits()
    threads: int | None = None
    cache: str = "off"
    cache_gb: float = 0.0
    decode_once: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> InputSpec:
        """What a recipe trains on."""
        return cls(
            roles=recipe.roles,
            future=tuple(role for role in recipe.roles if role in recipe.targets),
            robot=recipe.stage == "finetune",
            frozen=not recipe.train_vision,
            augment=AugmentationLimits(
                {role: getattr(recipe.shift, role) for role in recipe.roles}, recipe.colour, recipe.hue
            ),
            threads=recipe.loader_threads,
            cache=recipe.cache,
            cache_gb=recipe.cache_gb,
            decode_once=recipe.decode_once,
        )


class InputPipeline:
    """Makes Inputs from one dataset's batches, on a device. Call `prepare` before the first batch."""

    def __init__(self, model: GR1, dataset: Dataset, spec: InputSpec, device: torch.device, bf16: bool):
        self.config, self.dataset, self.spec = model.config, dataset, spec
        self.device, self.bf16 = device, bf16
        self._text, self._embeddings = model.text, {}
        self._trains_words = model.config.trains_text
        self._vision = _inference_copy(model.vision, bf16) if spec.frozen else None
        self._encoder_weights = model.vision
        self._file_sizes = feature_cache.bytes_per_frame(
            model.config, spec.frozen, not spec.frozen or bool(spec.future), bf16
        )
        self.cached = self._uses_files()
        self._files: dict[str, dict[str, np.ndarray]] = {}
        self.waited_s = 0.0
        """Seconds spent reading the files."""

    def prepare(self) -> None:
        """Computes the files that do not exist yet."""
        if not self.cached:
            return
        key = feature_cache.weights_digest(self._encoder_weights) if self.spec.frozen else ""
        compute = {feature_cache.PIXELS: self._preprocess, feature_cache.TOKENS: self._encode_tokens}
        for role in self.spec.roles:
            self._files[role] = {
                kind: feature_cache.open_file(
                    self.dataset, role, kind, self.config, self.bf16, key, self.spec.threads, compute[kind]
                )
                for kind in self._file_sizes
            }

    def batches(self, windows: Windows, numbers: Iterable[np.ndarray]) -> DeviceBatches:
        """Batches on the device, one per array of window numbers; for `with`."""
        loader = Loader(
            windows,
            numbers,
            self.spec.threads,
            images=not self.cached,
            roles=self.spec.roles,
            decode_once=self.spec.decode_once,
            pin_memory=self.device.type == "cuda",
        )
        return DeviceBatches(loader, self.device)

    def inputs(
        self,
        batch: DeviceBatch,
        augmentations: dict[str, Augmentation] | None = None,
        video_windows: int | None = None,
    ) -> Inputs:
        """augmentations: by camera; None: none. video_windows: how many windows, the first ones, get future
        frames; None: all.
        """
        host = batch.host
        count = len(host.frames) if video_windows is None else video_windows
        inputs = Inputs(
            embedding=None if self._trains_words else self._embed(host.tokens),
            tokens=batch.tokens if self._trains_words else None,
            state=batch.state if self.spec.robot else None,
            action=batch.action if self.spec.robot else None,
            valid=None if host.valid.all() else batch.valid,
            future=None if host.future[:count].all() else batch.future[:count],
            later_action=batch.later_action if self.spec.robot else None,
            later_valid=batch.later_valid if self.spec.robot else None,
            weight=batch.weight,
        )
        for role in self.spec.roles:
            augmentation = None if augmentations is None else augmentations[role]
            if self.cached:
                self._from_files(inputs, role, host.frames, count, augmentation)
            elif augmentation is None:
                self._each_frame_once(inputs, role, batch)
            else:
                self._each_window(inputs, role, batch, augmentation)
            if role in self.spec.future:
                inputs.future_images[role] = inputs.future_images[role][:count]
        return inputs

    # Images

    def present(self, batch: DeviceBatch) -> dict[str, Tensor]:
        """The current frames of the cameras whose frames are predicted, preprocessed f32[B, W, 3, S, S]."""
        window, images = self.config.window, {}
        for role in self.spec.future:
            if self.cached:
                pixels = self._files[role][feature_cache.PIXELS][batch.host.frames[:, :window]]
                images[role] = self._tensor(pixels).float()
            else:
                pixels = batch.images[role][:, :window]
                images[role] = self._preprocess(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        return images

    def image(self, role: str, frame: int) -> Tensor:
        """One frame as the model sees it, preprocessed f32[1, 3, S, S] on the CPU."""
        pixels = self.dataset.cameras[role].view(self.dataset.image(role, int(frame)))
        return patches.preprocess(
            torch.from_numpy(np.ascontiguousarray(pixels))[None], self.config.image_size
        )

    def _each_frame_once(self, inputs: Inputs, role: str, batch: DeviceBatch) -> None:
        """Windows of one batch may overlap: each frame is resized and encoded once."""
        window, future = self.config.window, role in self.spec.future
        frames = batch.host.frames if future else batch.host.frames[:, :window]
        _, first, where = np.unique(frames, return_index=True, return_inverse=True)
        where = where.reshape(frames.shape)
        rows, steps = (self._tensor(index) for index in np.unravel_index(first, frames.shape))
        images = self._preprocess(batch.images[role][rows, steps])
        if self.spec.frozen:
            seen, place = np.unique(where[:, :window], return_inverse=True)
            place = self._tensor(place.reshape(-1, window))
            inputs.features[role] = tuple(part[place] for part in self._encode(images[self._tensor(seen)]))
        else:
            inputs.images[role] = images[self._tensor(where[:, :window])]
        if future:
            inputs.future_images[role] = images[self._tensor(where[:, -window:])]

    def _each_window(self, inputs: Inputs, role: str, batch: DeviceBatch, augmentation: Augmentation) -> None:
        window, future = self.config.window, role in self.spec.future
        pixels = batch.images[role] if future else batch.images[role][:, :window]
        if augmentation.shift is not None:
            pixels = shift_images(pixels, self._tensor(augmentation.shift))
        images = self._preprocess(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        if augmentation.colour is not None:
            images = recolour_images(images, self._tensor(augmentation.colour))
        if self.spec.frozen:
            encoded = self._encode(images[:, :window].flatten(0, 1))
            inputs.features[role] = tuple(part.unflatten(0, (-1, window)) for part in encoded)
        else:
            inputs.images[role] = images[:, :window]
        if future:
            inputs.future_images[role] = images[:, -window:]

    def _preprocess(self, images: np.ndarray | Tensor) -> Tensor:
        """u8[N, h, w, 3] -> f32[N, 3, S, S] on the device."""
        return patches.preprocess(
            images if isinstance(images, Tensor) else self._tensor(images), self.config.image_size
        )

    @torch.no_grad()
    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        encoded = [self._vision(some) for some in images.split(_IMAGES_AT_ONCE)]
        return tuple(
            torch.cat(parts).float() if len(parts) > 1 else parts[0].float() for parts in zip(*encoded)
        )

    def _encode_tokens(self, images: np.ndarray) -> Tensor:
        cls, tokens = self._encode(self._preprocess(images))
        return torch.cat([cls.unsqueeze(1), tokens], 1)

    # Text

    @torch.no_grad()
    def _embed(self, tokens: np.ndarray) -> Tensor:
        """i64[B, 77] -> f32[B, text_dim]; each text is encoded once."""
        keys = [row.tobytes() for row in tokens]
        new = {key: row for key, row in zip(keys, tokens) if key not in self._embeddings}
        if new:
            if len(self._embeddings) > _MAX_TEXTS:
                self._embeddings = {key: self._embeddings[key] for key in keys if key in self._embeddings}
            # One by one on a CPU, so that an embedding does not depend on which other texts were new with it.
            rows = torch.from_numpy(np.stack(list(new.values()))).to(self.device)
            parts = rows.split(1) if self.device.type == "cpu" else (rows,)
            self._embeddings |= zip(new, torch.cat([self._text(part) for part in parts]))
        return torch.stack([self._embeddings[key] for key in keys])

    # Files

    def _uses_files(self) -> bool:
        spec = self.spec
        # Pixels can be moved and recoloured after they are read; a frozen encoder's tokens cannot.
        possible = not (spec.frozen and spec.augment)
        if spec.cache == "on" and not possible:
            raise ValueError(
                "cache=on keeps the frozen encoder's tokens, but random shifts and colours change them at "
                "every use: "
                "set shift.static=0 shift.wrist=0 colour=0 hue=0"
            )
        size = sum(self._file_sizes.values()) * self.dataset.length * len(spec.roles)
        auto = possible and self.device.type == "cpu" and size <= spec.cache_gb * 1e9
        return spec.cache == "on" or (spec.cache == "auto" and auto)

    def _from_files(
        self, inputs: Inputs, role: str, frames: np.ndarray, count: int, augmentation: Augmentation | None
    ) -> None:
        began = time.perf_counter()
        window, opened = self.config.window, self._files[role]
        if feature_cache.TOKENS in opened:
            tokens = self._tensor(opened[feature_cache.TOKENS][frames[:, :window]]).float()
            inputs.features[role] = (tokens[:, :, 0], tokens[:, :, 1:])
        if feature_cache.PIXELS in opened:
            pixels = opened[feature_cache.PIXELS]
            if not self.spec.frozen:
                inputs.images[role] = self._augment(role, pixels[frames[:, :window]], augmentation)
            if role in self.spec.future:
                later = None if augmentation is None else augmentation.select(slice(count))
                inputs.future_images[role] = self._augment(role, pixels[frames[:count, -window:]], later)
        self.waited_s += time.perf_counter() - began

    def _augment(self, role: str, images: np.ndarray, augmentation: Augmentation | None) -> Tensor:
        """A file's preprocessed images f16/f32[B, T, 3, S, S] -> f32. Shifts are rounded to pixels of S,
        which may be larger than the view's.
        """
        pixels = self._tensor(images)
        if augmentation is None:
            return pixels.float()
        if augmentation.shift is not None:
            camera = self.dataset.cameras[role]
            view = camera.view(np.empty((camera.height, camera.width, 3), np.uint8)).shape[:2]
            scale = self.config.image_size / np.array(view)
            shift = np.rint(augmentation.shift * scale).astype(np.int64)
            pixels = shift_images(pixels.movedim(2, -1), self._tensor(shift)).movedim(-1, 2)
        if augmentation.colour is None:
            return pixels.float()
        return recolour_images(pixels.float(), self._tensor(augmentation.colour))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return to_device(array, self.device)


def _inference_copy(vision: nn.Module, bf16: bool) -> nn.Module:
    """A copy for inference alone with packed products in bf16 or fp32, as `Policy` has it."""
    return pack(copy.deepcopy(vision).requires_grad_(False).eval(), torch.bfloat16 if bf16 else torch.float32)
