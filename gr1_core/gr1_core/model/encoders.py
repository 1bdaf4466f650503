"""The text encoder and the image encoder of a policy, shared by GR-1 and the baselines."""

from __future__ import annotations

from torch import Tensor, nn

from gr1_core.model.config import GR1Config
from gr1_core.model.convolution import ConvEncoder, ConvFilmEncoder
from gr1_core.model.language import OrderedWordEncoder, WordEncoder


class Encoders(nn.Module):
    """CLIP's text tower is frozen; words are trained. The image encoder is trained only by recipes with
    train_vision, in eval mode.
    """

    def __init__(self, config: GR1Config):
        super().__init__()
        self.config = config
        self.text = _text_encoder(config)
        self.vision = _vision_encoder(config).requires_grad_(False)

    def train(self, mode: bool = True) -> Encoders:
        super().train(mode)
        self.text.train(mode and self.config.trains_text)
        self.vision.eval()
        return self

    def encode_text(self, tokens: Tensor) -> Tensor:
        """CLIP token ids i64[N, 77] -> the text encoder's embedding [N, text_dim]."""
        return self.text(tokens)

    def text_features(self, embedding: Tensor) -> Tensor:
        """The text encoder's embedding [N, text_dim] as the other parts read it: CLIP's scaled to unit
        length, words unchanged.
        """
        if self.config.trains_text:
            # Unknown words have embeddings near zero, which must not be scaled up.
            return embedding
        return embedding / (embedding.norm(dim=-1, keepdim=True) + 1e-6)

    def encode_images(self, images: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Images of N instructions -> [CLS] tokens [N, T, feature] and patch tokens [N, T, patches, feature].
        One encoder for all cameras.

        images [N, T, 3, S, S]: preprocessed. embedding [N, text_dim]: the text encoder's; only conv_film
        reads it.
        """
        pixels = images.flatten(0, 1)
        if self.config.vision_reads_text:
            features = self.vision(
                pixels, self.text_features(embedding).repeat_interleave(images.shape[1], 0)
            )
        else:
            features = self.vision(pixels)
        return tuple(part.unflatten(0, images.shape[:2]) for part in features)


def _text_encoder(config: GR1Config) -> nn.Module:
    if config.trains_text:
        return {"words": WordEncoder, "ordered_words": OrderedWordEncoder}[config.text](config)
    from gr1_core.model.clip_text import TextEncoder

    return TextEncoder(config).requires_grad_(False)


def _vision_encoder(config: GR1Config) -> nn.Module:
    if config.vision != "vit":
        return {"conv": ConvEncoder, "conv_film": ConvFilmEncoder}[config.vision](config)
    from gr1_core.model.vision import VisionEncoder

    return VisionEncoder(config)
