"""Instructions: CLIP's tokenizer, and the text encoder of trained word embeddings. CLIP's text tower:
gr1_core.model.clip_text.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gr1_core.model.config import GR1Config

CONTEXT = 77
VOCABULARY = 49408
START, END = 49406, 49407
UNKNOWN = 286  # "?"


class WordEncoder(nn.Module):
    """The mean of trained vectors, one per token. Words that no training instruction had are zero; "?" stands
    for them in training.

    A hash of the ids gives the row of the table. In training 5 % of the words are left out at random, so that
    no single word is needed.
    """

    ROWS = 4096
    _DROPPED = 0.05

    def __init__(self, config: GR1Config):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(self.ROWS, config.text_dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids i64[N, 77] -> [N, text_dim]."""
        rows, share = self._words(tokens)
        return F.embedding_bag(rows, self.table, mode="sum", per_sample_weights=share.to(self.table.dtype))

    def _words(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """-> rows of the table i64[N, L], each word's share of the mean f[N, L]."""
        ends = (tokens == END).int()
        tokens = tokens[:, : int(ends.argmax(-1).max()) + 1]
        words = (ends.cumsum(-1)[:, : tokens.shape[1]] == 0) & (tokens != START)
        share = words / words.sum(-1, keepdim=True).clamp(min=1) * (tokens != UNKNOWN)
        if self.training:
            share = share * (torch.rand_like(share) >= self._DROPPED)
        # A multiplicative hash of 16-bit ids to 12 bits; this factor maps the words of the twin's
        # instructions to different rows.
        rows = (tokens * 44621 >> 4) % self.ROWS
        return rows, share


class OrderedWordEncoder(WordEncoder):
    """The mean of the words, plus what one block of self-attention with trained positions reads off their
    order: "the eggplant beside the plate" is not "the plate beside the eggplant".

    Untrained it equals WordEncoder.
    """

    def __init__(self, config: GR1Config):
        super().__init__(config)
        width = config.text_dim
        self.positions = nn.Parameter(torch.empty(CONTEXT, width).normal_(std=0.5))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.text_heads, batch_first=True)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids i64[N, 77] -> [N, text_dim]."""
        rows, share = self._words(tokens)
        vectors = F.embedding(rows, self.table)
        # Words that no training instruction had are zero, and say nothing here either. When a training begins
        # all are zero.
        known = share > 0 if self.training else (share > 0) & (vectors != 0).any(-1)
        placed = self.norm(vectors + self.positions[: rows.shape[1]])
        # Without any known word it attends to all, since it has to attend to something.
        hidden = ~known & known.any(-1, keepdim=True)
        read, _ = self.attention(placed, placed, placed, key_padding_mask=hidden, need_weights=False)
        ordered = self.down(F.gelu(self.up(placed + read))) * known.unsqueeze(-1)
        return ((vectors + ordered) * share.to(vectors.dtype).unsqueeze(-1)).sum(1)


def tokenize(text: str, folder: str | Path | None = None) -> list[int]:
    """Text -> CLIP's 77 token ids: start, byte pairs, end, zeros. Raises ValueError if the text is too long
    or has no words.

    folder: a checkpoint folder; its own tokenizer (vocab.json, merges.txt, as in CLIP's folder on the hub) is
    used if it has one.
    """
    words = _byte_pairs(None if folder is None else str(folder))(text)
    if not words:
        raise ValueError(f"instruction {shorten(text)} has no words")
    if len(words) > CONTEXT - 2:
        raise ValueError(
            f"instruction has {len(words)} tokens, CLIP takes {CONTEXT - 2}: shorten {shorten(text)}"
        )
    ids = [START, *words, END]
    return ids + [0] * (CONTEXT - len(ids))


def count_tokens(text: str) -> int:
    """The number of a text's byte pairs; `tokenize` takes up to 75."""
    return len(_byte_pairs(None)(text))


def token_tensor(tokens, device=None) -> Tensor:
    """77 token ids -> i64[1, 77]. Raises ValueError unless all are in CLIP's vocabulary and one is the end
    token.
    """
    ids = torch.as_tensor(tokens, dtype=torch.long, device=device).reshape(1, -1)
    if (
        ids.shape[1] != CONTEXT
        or bool((ids < 0).any() or (ids >= VOCABULARY).any())
        or not bool((ids == END).any())
    ):
        raise ValueError(
            f"expected {CONTEXT} CLIP token ids with an end token ({END}), got "
            f"{shorten(ids.flatten().tolist())}"
        )
    return ids


def shorten(value, most: int = 60) -> str:
    """A value for a message: control characters escaped, a long one cut."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} ..."


@lru_cache(maxsize=8)
def _byte_pairs(folder: str | None):
    if (
        folder is not None
        and (Path(folder) / "vocab.json").is_file()
        and (Path(folder) / "merges.txt").is_file()
    ):
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    return _open_clip_tokenizer().SimpleTokenizer().encode


def _open_clip_tokenizer():
    """The module open_clip.tokenizer without its package, whose import takes seconds for models that are not
    used here.
    """
    package = importlib.util.find_spec("open_clip")
    if package is None:
        raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")
    file = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("gr1_open_clip_tokenizer", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
