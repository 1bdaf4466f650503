"""How far a checkpoint disagrees with each recorded episode, kept beside the bags: ROOT/disagreement.json.

The bags stay as they are. `gr1 bags list --sort disagreement` writes the file (eval/disagreement.py); the
desk may read it without torch.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gr1_core import atomic_write
from gr1_core.data import metadata
from gr1_core.data.metadata import BagError

FILE = "disagreement.json"
_VERSION = 1


@dataclass(frozen=True)
class EpisodeDisagreement:
    """One episode.

    figure: mean over the demonstrator's steps, in standard deviations of the action. residual: of predicted
    frames where something moves, 1: as wrong as a copy of the present frame; None: not known. curve: [s since
    the recording's beginning, figure, residual or None] of each second. problem: why there are no figures.
    """

    instruction: str
    figure: float | None = None
    residual: float | None = None
    steps: int = 0
    curve: tuple[tuple[float, float, float | None], ...] = ()
    problem: str = ""


@dataclass
class DisagreementFile:
    """checkpoint: its name. weights: their digest. std: f[7], of each number of the action.

    bags: folder relative to ROOT -> (state of its files, figures).
    """

    checkpoint: str
    weights: str
    std: list[float]
    bags: dict[str, tuple[str, EpisodeDisagreement]] = field(default_factory=dict)

    @classmethod
    def load(cls, root: str | Path) -> DisagreementFile | None:
        """None where there is none, or one of another version. Raises BagError for a damaged one."""
        path = Path(root) / FILE
        if not path.is_file():
            return None
        try:
            stored = json.loads(path.read_text())
            if stored["version"] != _VERSION:
                return None
            bags = {
                name: (one["state"], EpisodeDisagreement(**{**one["figures"], "curve": _points(one)}))
                for name, one in stored["bags"].items()
            }
            return cls(stored["checkpoint"], stored["weights"], list(stored["std"]), bags)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BagError(
                f"{path} is damaged ({type(error).__name__}: {error}): delete it, and run `gr1 bags list "
                f"{root} --sort disagreement --checkpoint DIR` again"
            ) from error

    def save(self, root: str | Path) -> None:
        """Writes it atomically. Raises BagError where the folder cannot be written to."""
        document = {
            "version": _VERSION,
            "checkpoint": self.checkpoint,
            "weights": self.weights,
            "std": self.std,
            "instructions": self.by_instruction(),
            "bags": {
                name: {"state": state, "figures": asdict(one)} for name, (state, one) in self.bags.items()
            },
        }
        try:
            atomic_write.write_json(Path(root) / FILE, document, indent=None)
        except OSError as error:
            raise BagError(
                f"{Path(root) / FILE} cannot be written ({error.strerror}): the figures are kept beside "
                "the bags, make the folder writable or copy the bags"
            ) from error

    def get(self, root: str | Path, folder: Path) -> EpisodeDisagreement | None:
        """The figures of a bag below ROOT, if they are known and its files are the same."""
        known = self.bags.get(relative(root, folder))
        return known[1] if known and known[0] == files_state(folder) else None

    def by_instruction(self) -> dict[str, dict[str, float]]:
        """Instruction -> {"episodes", "figure": mean}, the largest figure first: it taught most."""
        groups: dict[str, list[float]] = defaultdict(list)
        for _, one in self.bags.values():
            if one.figure is not None:
                groups[one.instruction].append(one.figure)
        rows = {text: {"episodes": len(all), "figure": sum(all) / len(all)} for text, all in groups.items()}
        return dict(sorted(rows.items(), key=lambda row: -row[1]["figure"]))


def home_of(root: str | Path) -> Path:
    """The folder of the file: `root`, or the folder above if `root` is itself a bag, which stays as it is."""
    root = Path(root)
    return root.absolute().parent if (root / metadata.METADATA_FILE).is_file() else root


def relative(root: str | Path, folder: Path) -> str:
    """The bag's key in the file: its folder below ROOT, "." for ROOT itself."""
    return folder.absolute().relative_to(Path(root).absolute()).as_posix()


def files_state(folder: Path) -> str:
    """Changes when the recording or its labels change."""
    files = [folder / metadata.METADATA_FILE, *sorted(folder.glob("*.mcap"))]
    try:
        return " ".join(f"{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)
    except OSError:
        return ""


def _points(one: Mapping[str, Any]) -> tuple:
    return tuple(tuple(point) for point in one["figures"]["curve"])
