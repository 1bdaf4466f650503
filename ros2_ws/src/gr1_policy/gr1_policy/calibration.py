"""The record with a checkpoint's prediction baseline, valid for the weights that it was measured with. No ROS
import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gr1_core.eval import checkpoint_records
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import Baseline, Residual

FILE, COMMAND = "prediction.json", "gr1 calibrate"


def load(folder: str | Path) -> Baseline | None:
    """The calibration of the checkpoint's present weights; None if there is none.

    Raises ValueError for a damaged file.
    """
    return checkpoint_records.load_record(folder, FILE, parse, COMMAND)


def save(folder: str | Path, baseline: Baseline, limit: float, bags: Sequence[str]) -> Path:
    """Writes the calibration on the checkpoint's present weights.

    limit, bags: the recommended limit and the recordings, for a reader. Returns its file (see
    `checkpoint_records`).
    """
    record = {
        "bags": list(bags),
        "baseline": {name: asdict(one) for name, one in baseline.items()},
        "recommended_limit": limit,
    }
    return checkpoint_records.save_record(folder, FILE, record)


def parse(record: dict) -> Baseline:
    """The baseline in a record. Raises KeyError, ValueError or TypeError for a damaged one."""
    stored = record["baseline"]
    residuals = {name: stored[name] for name in CAMERAS if name in stored or name == CAMERAS[0]}
    return {name: Residual(float(one["whole"]), float(one["local"])) for name, one in residuals.items()}
