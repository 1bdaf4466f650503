"""The nearest right word for a mistyped one, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most probably stands for; None where none is near."""
    known = list(known)
    lower = {name.lower(): name for name in reversed(known)}
    if word.lower() in lower:
        return lower[word.lower()]
    for cutoff in (0.75, 0.55):
        if near := difflib.get_close_matches(word, known, 1, cutoff):
            return near[0]
    begins = [name for name in known if len(word) > 1 and name.startswith(word)]
    return begins[0] if begins else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message, such as ", did you mean 'seen'?"; empty where no word is near."""
    near = nearest(word, known)
    return f", did you mean '{near}'?" if near else ""


def neighbours(path: Path) -> list[str]:
    """Paths beside a path that does not exist, written as it is; only those with nearly its name."""
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return []
    return [str(path.parent / name) for name in difflib.get_close_matches(path.name, names, 3, 0.7)]
