"""Convolutional image encoders: small residual networks in place of the ViT, for models that are trained from
scratch.

Outputs as the ViT's: one token per patch and a [CLS] token (their mean). They learn the places of objects
from far fewer frames than the ViT. Conditioned by the instruction (FiLM), they also learn from far fewer
frames which object is named.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gr1_core.model.config import GR1Config

STEM_STRIDE = 4


class ConvEncoder(nn.Module):
    """A stem of stride 4, then stages of stride 2 up to the stride patch_size; `vision_layers` residual
    blocks per stage.

    The last stage has vision_width channels; each earlier one half as many as the next.
    """

    def __init__(self, config: GR1Config):
        super().__init__()
        stages = (config.patch_size // STEM_STRIDE).bit_length()
        widths = [config.vision_width >> (stages - 1 - i) for i in range(stages)]
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            layers.append(
                nn.Conv2d(3, width, 8, STEM_STRIDE, 2) if i == 0 else nn.Conv2d(widths[i - 1], width, 3, 2, 1)
            )
            layers += [Residual(width) for _ in range(config.vision_layers)]
        self.layers = nn.Sequential(*layers)
        self.norm = ChannelNorm(config.vision_width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] preprocessed -> the [CLS] token [N, width] and the patch tokens [N, patches, width],
        row by row.
        """
        # Channels last: the fast layout of convolutions on CPUs and GPUs; the norm then reads contiguous
        # rows.
        cells = self.norm(self.layers(images.contiguous(memory_format=torch.channels_last)))
        tokens = cells.flatten(2).transpose(1, 2)
        return tokens.mean(1), tokens


class ConvFilmEncoder(ConvEncoder):
    """The instruction scales and shifts the channels after each residual block (FiLM, Perez et al. 2018; used
    in RT-1, Brohan et al. 2022).

    Word embeddings and FiLM both start at zero. The layer between them has a non-zero bias, so that both get
    gradients.
    """

    def __init__(self, config: GR1Config):
        super().__init__(config)
        widths = [layer.conv.out_channels for layer in self.layers if isinstance(layer, Residual)]
        self.condition = nn.Sequential(nn.Linear(config.text_dim, config.text_dim), nn.GELU())
        self.film_layers = nn.ModuleList(nn.Linear(config.text_dim, 2 * width) for width in widths)
        for layer in self.film_layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] preprocessed, [N, text_dim] -> the cells' mean [N, width] and the cells [N, patches,
        width], row by row.
        """
        cells, film_layers = images.contiguous(memory_format=torch.channels_last), iter(self.film_layers)
        condition = self.condition(text)
        for layer in self.layers:
            cells = layer(cells)
            if isinstance(layer, Residual):
                scale, shift = next(film_layers)(condition)[..., None, None].chunk(2, 1)
                cells = cells * (1 + scale) + shift
        tokens = self.norm(cells).flatten(2).transpose(1, 2)
        return tokens.mean(1), tokens


class Residual(nn.Module):
    """Norm, ReLU and a 3x3 convolution, added to the input."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = ChannelNorm(width)
        self.conv = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.relu(self.norm(x)))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each cell of [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
