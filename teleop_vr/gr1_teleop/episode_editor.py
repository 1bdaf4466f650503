"""Changes to the marks and labels of recorded episodes that a page asks for.

The recordings stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gr1_core.data import metadata
from gr1_core.data.bag import BagError, relabel_bag
from gr1_core.data.marks import exclude_bag, keep_bag, trim_bag
from gr1_teleop.episode_index import EpisodeIndex

CHANGES = ("trim", "exclude", "keep", "restore", "label")
"""keep: removes trim and exclusion. restore: also the recorded labels. label: outcome, instruction."""

_MAX_TEXT = 300


class EditError(ValueError):
    """A change that is not possible; the text says why and what to do."""


def edit_episode(index: EpisodeIndex, asked: Mapping[str, Any]) -> str:
    """Makes one change and returns what is marked now.

    asked: {"episode": name, "change": one of CHANGES, "start", "end": s (trim; null: unchanged), "why": text
    (exclude), "outcome", "instruction": text (label; "": unchanged)}. Raises EditError.
    """
    name, change = asked.get("episode"), asked.get("change")
    folder = index.folder_of(name) if isinstance(name, str) else None
    if folder is None:
        raise EditError(f"no complete episode '{str(name)[:100]}': it may still be recorded")
    try:
        if change == "trim":
            return str(trim_bag(folder, _seconds(asked, "start"), _seconds(asked, "end")))
        if change == "exclude":
            return str(exclude_bag(folder, _text(asked, "why")))
        if change in ("keep", "restore"):
            return str(keep_bag(folder, labels=change == "restore"))
        if change == "label":
            given = {label: _text(asked, label) for label in ("outcome", "instruction")}
            labels = {label: text for label, text in given.items() if text}
            if not labels:
                raise EditError("nothing to change: give an outcome or an instruction")
            metadata.check_labels(labels)
            return (
                f"{folder.name}: {', '.join(relabel_bag(folder, **labels).labels[label] for label in labels)}"
            )
    except (BagError, OSError) as error:
        raise EditError(str(error)) from error
    raise EditError(f"change is '{str(change)[:40]}', expected {', '.join(CHANGES)}")


def _seconds(asked: Mapping[str, Any], name: str) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise EditError(f"{name} is {str(value)[:40]!r}, expected seconds from the recording's beginning")
    return float(value)


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not value.isprintable():
        raise EditError(f"{name} must be one line of at most {_MAX_TEXT} characters")
    return value.strip()
