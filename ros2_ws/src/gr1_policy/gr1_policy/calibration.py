"""The file with a checkpoint's prediction baseline, valid for the weights that it was measured with. No ROS
import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gr1_core.eval.verdict import fingerprint
from gr1_core.pretrained import resolve
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import Baseline, Residual

FILE = "prediction.json"


def load(folder: str | Path) -> Baseline | None:
    """The calibration of the weights that lie there now; None if there is none. Raises ValueError for a
    damaged file.
    """
    path = resolve(folder) / FILE
    try:
        raw = json.loads(path.read_text())
        baseline = {
            name: Residual(float(raw["baseline"][name]["whole"]), float(raw["baseline"][name]["local"]))
            for name in CAMERAS
        }
        weights = raw["weights"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): run `gr1 calibrate` again, or delete it") from error
    return baseline if weights == fingerprint(folder) else None


def save(folder: str | Path, baseline: Baseline, limit: float, bags: Sequence[str]) -> None:
    """Writes the calibration into the checkpoint. limit, bags: the recommended limit and the recordings, for
    a reader.
    """
    path = Path(folder) / FILE
    document: Mapping[str, object] = {
        "weights": fingerprint(folder),
        "bags": list(bags),
        "baseline": {name: asdict(one) for name, one in baseline.items()},
        "recommended_limit": limit,
    }
    partial = path.with_name(FILE + ".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(partial, path)
