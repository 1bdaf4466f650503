"""The record with a checkpoint's prediction baseline, valid for the weights that it was measured with. No ROS
import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gr1_core.eval import checkpoint_records
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import Baseline, Residual

FILE, COMMAND = "prediction.json", "gr1 calibrate"
OWN_LIMIT = -1.0
"""The value of `prediction_limit` that stands for the checkpoint's own limit."""


@dataclass(frozen=True)
class Calibration:
    """baseline: score 1. limit: the score that `gr1 calibrate` recommends as this checkpoint's limit."""

    baseline: Baseline
    limit: float

    def resolve(self, asked: float) -> float:
        """The limit that the parameter `prediction_limit` stands for."""
        return self.limit if asked < 0 else asked


def load(folder: str | Path) -> Calibration | None:
    """The calibration of the checkpoint's present weights; None if there is none.

    Raises ValueError for a damaged file.
    """
    return checkpoint_records.load_record(folder, FILE, parse, COMMAND)


def save(
    folder: str | Path, baseline: Baseline, limit: float, runs: Mapping[str, Mapping[str, Residual]]
) -> Path:
    """Writes the calibration on the checkpoint's present weights.

    limit: the recommended one. runs: the recordings' names and largest residuals, for a reader. Returns its
    file (see `checkpoint_records`).
    """
    record = {
        "runs": {run: {name: asdict(one) for name, one in found.items()} for run, found in runs.items()},
        "baseline": {name: asdict(one) for name, one in baseline.items()},
        "recommended_limit": limit,
    }
    return checkpoint_records.save_record(folder, FILE, record)


def parse(record: dict) -> Calibration:
    """The calibration in a record. Raises KeyError, ValueError or TypeError for a damaged one."""
    stored = record["baseline"]
    residuals = {name: stored[name] for name in CAMERAS if name in stored or name == CAMERAS[0]}
    baseline = {name: Residual(float(one["whole"]), float(one["local"])) for name, one in residuals.items()}
    return Calibration(baseline, float(record["recommended_limit"]))
