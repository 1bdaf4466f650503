"""What a server tells of its checkpoint: its name, its weights' SHA-256, the JSON records about it."""

from __future__ import annotations

from pathlib import Path

from gr1_core import pretrained
from gr1_core.eval import checkpoint_records
from gr1_core.remote.server import Served

RECORDS = ("replay.json", "prediction.json")
"""Of `gr1 replay` and `gr1 calibrate`; the robot's node decides with them, as with a folder of its own."""


def describe(checkpoint: str | Path) -> Served:
    """The description of a checkpoint folder, or of `demo`. Raises ValueError for a damaged record, OSError
    where there are no weights.
    """
    folder = pretrained.resolve(checkpoint)
    records = {
        name: record
        for name in RECORDS
        if (record := checkpoint_records.load_record(folder, name, dict, f"gr1 serve of {folder}"))
    }
    return Served(pretrained.name(folder), checkpoint_records.fingerprint(folder), records)
