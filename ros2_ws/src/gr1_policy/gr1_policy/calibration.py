"""What is usual for a checkpoint's predictions: a small file in its folder, bound to the weights it was measured with. No ROS import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gr1_core.eval.verdict import fingerprint
from gr1_core.pretrained import resolve
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import Unexplained, Usual

FILE = "prediction.json"


def load(folder: str | Path) -> Usual | None:
    """The calibration of the weights that lie there now; None if there is none. Raises ValueError for a damaged file."""
    path = resolve(folder) / FILE
    try:
        raw = json.loads(path.read_text())
        usual = {
            name: Unexplained(float(raw["usual"][name]["whole"]), float(raw["usual"][name]["local"]))
            for name in CAMERAS
        }
        weights = raw["weights"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}): run `python -m gr1_policy.calibrate` again, or delete it"
        ) from error
    return usual if weights == fingerprint(folder) else None


def save(folder: str | Path, usual: Usual, limit: float, bags: Sequence[str]) -> None:
    """Writes the calibration into the checkpoint. limit: what was recommended, bags: what it was made from; both for a reader."""
    path = Path(folder) / FILE
    document: Mapping[str, object] = {
        "weights": fingerprint(folder),
        "bags": list(bags),
        "usual": {name: asdict(one) for name, one in usual.items()},
        "recommended_limit": limit,
    }
    partial = path.with_name(FILE + ".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(partial, path)
