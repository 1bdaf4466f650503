"""How a policy reads and sees: its text encoder and its image encoder, which GR-1 and the baselines have in common."""

from __future__ import annotations

from torch import Tensor, nn

from gr1_core.model.config import GR1Config
from gr1_core.model.convolution import ConvEncoder, FilmEncoder
from gr1_core.model.language import TextEncoder, WordEncoder
from gr1_core.model.vision import VisionEncoder

_VISION = {"vit": VisionEncoder, "conv": ConvEncoder, "film": FilmEncoder}


class Encoders(nn.Module):
    """CLIP's text tower is frozen and words are trained; the image encoder is trained only by recipes that say so, in evaluation mode."""

    def __init__(self, config: GR1Config):
        super().__init__()
        self.config = config
        self.text = (
            TextEncoder(config).requires_grad_(False) if config.text == "clip" else WordEncoder(config)
        )
        self.vision = _VISION[config.vision](config).requires_grad_(False)

    def train(self, mode: bool = True) -> Encoders:
        super().train(mode)
        self.text.train(mode and self.config.text == "words")
        self.vision.eval()
        return self

    def encode_text(self, tokens: Tensor) -> Tensor:
        """CLIP token ids i64[N, 77] -> the text encoder's embedding [N, text_dim]."""
        return self.text(tokens)

    def sentence(self, embedding: Tensor) -> Tensor:
        """The text encoder's embedding [N, text_dim] as it is read: CLIP's at unit length, words as they are."""
        # Unknown words are near zero, and shall stay so.
        return (
            embedding
            if self.config.text == "words"
            else embedding / (embedding.norm(dim=-1, keepdim=True) + 1e-6)
        )

    def see(self, images: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Each sentence's images -> their [CLS] and patch tokens; the same encoder for both cameras.

        images [N, T, 3, S, S] preprocessed; embedding [N, text_dim] the text encoder's, which only a conditioned encoder reads.
        -> [N, T, feature], [N, T, patches, feature].
        """
        pixels = images.flatten(0, 1)
        if self.config.reads_before_seeing:
            features = self.vision(pixels, self.sentence(embedding).repeat_interleave(images.shape[1], 0))
        else:
            features = self.vision(pixels)
        return tuple(part.unflatten(0, images.shape[:2]) for part in features)
