"""Whether a checkpoint passed its replay: a small file in its folder, bound to the weights it was made with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from gr1_core.pretrained import resolve

FILE, WEIGHTS = "replay.json", "model.safetensors"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `text` says it in words, with value and limit."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """weights: SHA-256 of model.safetensors. bags: names of what was replayed."""

    weights: str
    bags: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def save(self, folder: str | Path) -> None:
        path = Path(folder) / FILE
        partial = path.with_name(FILE + ".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self) | {"passed": self.passed}, indent=1) + "\n")
        os.replace(partial, path)


def load(folder: str | Path) -> Verdict | None:
    """The verdict on the weights that lie there now; None if they were never replayed, or have changed since."""
    path = resolve(folder) / FILE
    try:
        raw = json.loads(path.read_text())
        verdict = Verdict(
            raw["weights"], tuple(raw["bags"]), tuple(Check(**check) for check in raw["checks"])
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): run `gr1 replay` again, or delete it") from error
    return verdict if verdict.weights == fingerprint(folder) else None


def refusal(folder: str | Path) -> str:
    """Why this checkpoint must not move an arm; empty if it passed its replay or was never replayed."""
    verdict = load(folder)
    if verdict is None or verdict.passed:
        return ""
    failed = "; ".join(check.text for check in verdict.checks if not check.passed)
    return f"{folder} failed its replay over {', '.join(verdict.bags[:3])}{' ...' if len(verdict.bags) > 3 else ''}: {failed}"


def fingerprint(folder: str | Path) -> str:
    """SHA-256 of the checkpoint's weights."""
    with (resolve(folder) / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
