"""Labels of many bags quickly: reads only the lines of metadata.yaml that a list of episodes shows.

For a thousand bags at once. `Bag` reads everything and checks it.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from gr1_core.data import metadata

_BEGIN, _END = "\n  custom_data:\n", "\n    rig:"
_LARGE = re.compile(r"^    (topics|versions): .*$", re.MULTILINE)
_NEEDED = tuple(name for name in metadata.REQUIRED if name != "rig")


def scan_labels(folder: Path) -> dict[str, str] | None:
    """The labels that precede the rig in the file, without topics and versions.

    None if metadata.yaml is not laid out as gr1 writes it, or a required label is missing: `Bag` then
    says what is wrong. Raises OSError.
    """
    try:
        text = (folder / metadata.METADATA_FILE).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    begin = text.find(_BEGIN)
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        return None
    try:
        # The base loader keeps every value as text.
        labels = yaml.load(_LARGE.sub("", text[begin + len(_BEGIN) : end]), Loader=yaml.CBaseLoader)
        complete = all(labels.get(name, "").strip() for name in _NEEDED)
    except (yaml.YAMLError, AttributeError):
        return None
    return labels if complete and labels["outcome"] in metadata.OUTCOMES else None
