"""The image encoder: MAE's ViT (He et al. 2022), from timm, without masking. Imported only for models that
have one: the import takes as long as PyTorch's.
"""

from __future__ import annotations

from functools import partial

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from gr1_core.model.config import GR1Config


class VisionEncoder(VisionTransformer):
    """ViT with parameters named as in MAE's checkpoints."""

    def __init__(self, config: GR1Config):
        super().__init__(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.vision_width,
            depth=config.vision_layers,
            num_heads=config.vision_heads,
            mlp_ratio=4,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_classes=0,
            global_pool="",
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] preprocessed -> the [CLS] token [N, width] and patch tokens [N, patches, width]."""
        tokens = self.forward_features(images)
        return tokens[:, 0], tokens[:, 1:]
