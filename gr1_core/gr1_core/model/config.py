"""The sizes of a GR-1, and the named configurations."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

from gr1_core import strict_yaml
from gr1_core.model import lerobot_files
from gr1_core.renamed import CONFIG_VALUES

# Parts that exist in several kinds; the first is the paper's.
KINDS = {
    "policy": ("gr1", "rt1", "r3m"),
    "vision": ("vit", "conv", "conv_film"),
    "resampler": ("perceiver", "grid"),
    "text": ("clip", "words", "ordered_words"),
    "frames": ("normalised", "change"),
}


class ConfigError(ValueError):
    """A configuration that cannot be built."""


@dataclass(frozen=True)
class GR1Config:
    """Sizes of one GR-1; the defaults are the paper's. Widths and heads are per part: transformer, text,
    vision, resampler, decoder.
    """

    # GR-1, or a baseline in the style of RT-1 or R3M. A baseline uses only some of the sizes below.
    policy: str = "gr1"
    # Image encoder (MAE's ViT, convolutions, or convolutions conditioned by the instruction with FiLM),
    # resampler (perceiver, or a grid that keeps places) and text encoder (CLIP, trained words, or these
    # with their order).
    vision: str = "vit"
    resampler: str = "perceiver"
    text: str = "clip"
    # What the image decoder predicts: the future frame's patches, each normalised, or the change of the
    # pixels from the current frame.
    frames: str = "normalised"
    # The causal transformer: GPT-2 blocks with ReLU.
    width: int = 384
    layers: int = 12
    heads: int = 12
    mlp_width: int = 1536
    dropout: float = 0.1
    # The window of observations in control steps, and how many steps ahead the predicted frames lie.
    window: int = 10
    future_steps: int = 3
    # How many actions the [ACT] query predicts, this step's first. Only the first is carried out.
    chunk: int = 1
    # Image encoder, shared by both cameras. conv, conv_film: patch_size is the total stride, vision_layers
    # the blocks per stage.
    image_size: int = 224
    patch_size: int = 16
    vision_width: int = 768
    vision_layers: int = 12
    vision_heads: int = 12
    # Text encoder; words use text_dim alone, ordered_words also text_heads.
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    text_dim: int = 512
    # Resampler; the grid uses latents alone, a square number.
    resampler_layers: int = 3
    resampler_heads: int = 4
    resampler_head_dim: int = 128
    latents: int = 9
    # Image decoder, one for both cameras.
    decoder_layers: int = 2
    decoder_heads: int = 16

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in KINDS:
                if new := CONFIG_VALUES.get((field.name, value)):
                    raise ConfigError(f"{field.name} {value!r} is now called {new!r}: rename it")
                if value not in KINDS[field.name]:
                    raise ConfigError(f"{field.name} is {value!r}, expected {' or '.join(KINDS[field.name])}")
            elif field.name == "dropout":
                if not 0 <= value < 1:
                    raise ConfigError(f"dropout is {value!r}, expected a number in [0, 1)")
            elif not isinstance(value, int) or value < 1:
                raise ConfigError(f"{field.name} is {value!r}, expected a positive whole number")
        for width, heads in (
            ("width", "heads"),
            ("vision_width", "vision_heads"),
            ("text_width", "text_heads"),
            ("width", "decoder_heads"),
        ):
            if getattr(self, width) % getattr(self, heads):
                raise ConfigError(
                    f"{width} {getattr(self, width)} is not divisible by {heads} {getattr(self, heads)}"
                )
        if self.image_size % self.patch_size:
            raise ConfigError(
                f"image_size {self.image_size} is not divisible by patch_size {self.patch_size}"
            )
        convolutional, stride = self.vision in ("conv", "conv_film"), self.patch_size
        if convolutional and (stride < 4 or stride & (stride - 1)):
            raise ConfigError(
                f"patch_size {stride} is not a power of two from 4 up, the total stride of vision "
                f"'{self.vision}'"
            )
        if convolutional and self.vision_width % (stride // 4):
            raise ConfigError(
                f"vision_width {self.vision_width} is not divisible by {stride // 4}: "
                f"vision '{self.vision}' halves it in each earlier stage"
            )
        side = math.isqrt(self.latents)
        if self.resampler == "grid" and (side**2 != self.latents or self.grid % side):
            patches = f"{self.grid} x {self.grid} patches"
            raise ConfigError(
                f"latents {self.latents} do not divide {patches} into equal squares, as resampler 'grid' does"
            )
        if self.policy != "gr1" and self.chunk != 1:
            raise ConfigError(
                f"chunk is {self.chunk}; policy '{self.policy}' predicts one action a step: chunk 1"
            )
        if self.policy == "rt1" and self.vision != "conv_film":
            raise ConfigError(f"vision is {self.vision!r}; policy 'rt1' needs vision 'conv_film'")
        if self.policy == "r3m" and self.vision == "conv_film":
            raise ConfigError(
                "vision is 'conv_film'; policy 'r3m' needs features that do not depend on the instruction: "
                "vision 'vit' or 'conv'"
            )
        if self.policy == "r3m" and self.window != 1:
            raise ConfigError(
                f"window is {self.window}; policy 'r3m' acts from the current step alone: window 1"
            )
        if self.width % 4:
            raise ConfigError(
                f"width {self.width} is not divisible by 4, which the image decoder's sin-cos positions need"
            )

    @property
    def predicts_frames(self) -> bool:
        """Whether the model predicts future frames."""
        return self.policy == "gr1"

    @property
    def trains_text(self) -> bool:
        """Whether the text encoder is trained with the policy."""
        return self.text != "clip"

    @property
    def vision_reads_text(self) -> bool:
        """Whether the image encoder is conditioned by the instruction; then a frame's features cannot be
        shared by instructions.
        """
        return self.vision == "conv_film"

    @property
    def grid(self) -> int:
        """Patches along one side of an image."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return self.grid**2

    @property
    def patch_dim(self) -> int:
        """Numbers in one patch: rows x columns x RGB."""
        return self.patch_size**2 * 3

    @classmethod
    def paper(cls) -> GR1Config:
        """The published model: 195 M parameters, 46 M of them trained."""
        return cls()

    @classmethod
    def demo(cls) -> GR1Config:
        """The same parts at a size that a laptop's CPU runs in a few milliseconds: 112-pixel images, 49
        patches.
        """
        return cls(
            width=192,
            layers=4,
            heads=6,
            mlp_width=768,
            image_size=112,
            vision_width=192,
            vision_layers=4,
            vision_heads=3,
            text_width=64,
            text_layers=2,
            text_heads=1,
            text_dim=64,
            resampler_layers=1,
            resampler_heads=3,
            resampler_head_dim=64,
            decoder_heads=6,
        )

    @classmethod
    def small(cls) -> GR1Config:
        """The shipped policy: 96-pixel images, FiLM convolutions, a grid of latents, trained words. Trained
        from scratch on a CPU.
        """
        return cls(
            vision="conv_film",
            resampler="grid",
            text="words",
            frames="change",
            width=192,
            layers=4,
            heads=6,
            mlp_width=768,
            dropout=0.0,
            window=1,
            image_size=96,
            vision_width=128,
            vision_layers=1,
            text_dim=64,
            decoder_heads=6,
            # Only the paper's parts use these.
            vision_heads=1,
            text_width=1,
            text_layers=1,
            text_heads=1,
            resampler_layers=1,
            resampler_heads=1,
            resampler_head_dim=1,
        )

    def to_dict(self) -> dict:
        """Plain values, as in config.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, raw: dict, where: str = "config") -> GR1Config:
        """The inverse of `to_dict`. A configuration without kinds or chunk has the paper's.

        Raises ConfigError.
        """
        try:
            return strict_yaml.parse(cls, raw, where, ConfigError, optional=(*KINDS, "chunk"))
        except ConfigError as error:
            said = str(error)
            raise ConfigError(said if said.startswith(where) else f"{where}: {said}") from error

    @classmethod
    def load(cls, path: str | Path) -> GR1Config:
        """Reads a checkpoint folder's config.json, also one that LeRobot wrote. Raises ConfigError."""
        try:
            raw = json.loads(Path(path).read_text())
            fields = [field.name for field in dataclasses.fields(cls)]
            return cls.from_dict(lerobot_files.without_lerobot(raw, fields), str(path))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}: not JSON: {error}") from error
