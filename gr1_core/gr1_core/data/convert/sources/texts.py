"""Instructions of other people's datasets: what counts as a text, and whether the model can take it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gr1_core.data.convert.sources.source import SourceError

MOST_TOKENS = 75
"""Byte pairs that CLIP takes between its start and end tokens."""
SAFE_BYTES = 60
"""CLIP's tokenizer makes at most one token of a byte: a text this short fits without being tokenized."""


def instruction(value: Any, where: str) -> str:
    """A stored instruction -> its text with single spaces. Of a list of paraphrases, the first.

    Raises SourceError for what is no text (None, a number), names no word, or is too long for CLIP.
    """
    text = value
    if isinstance(text, np.ndarray):
        text = text.tolist()
    if isinstance(text, (list, tuple)):
        if not text:
            raise SourceError(f"{where} is an empty list, expected a text")
        text = text[0]
    if not isinstance(text, str):
        raise SourceError(f"{where} is {_shorten(value)} ({type(text).__name__}), expected a text")
    text = " ".join(text.split())
    if not any(letter.isalnum() for letter in text):
        raise SourceError(f"{where} is empty: {_shorten(value)} has no words")
    require_short(text, where)
    return text


def require_short(text: str, where: str) -> None:
    """Raises SourceError for a text of more tokens than CLIP takes."""
    tokens = 0 if len(text.encode(errors="replace")) <= SAFE_BYTES else _tokens(text)
    if tokens > MOST_TOKENS:
        raise SourceError(
            f"{where} has {tokens} tokens, the text encoder takes {MOST_TOKENS}: shorten {_shorten(text)}"
        )


@lru_cache(maxsize=4096)
def _tokens(text: str) -> int:
    from gr1_core.model import language

    return language.count_tokens(text)


def _shorten(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} ..."
