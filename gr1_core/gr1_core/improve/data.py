"""The dataset of `gr1 improve`: the new bags, joined with the data that the checkpoint was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gr1_core import atomic_write, pretrained
from gr1_core.data.bag import Bag
from gr1_core.data.cache import fingerprint
from gr1_core.data.convert import conversion, plan
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.convert.sources.joined import JoinedSource
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.source import Source
from gr1_core.data.dataset import Dataset
from gr1_core.data.drivers import DEMONSTRATOR, OPERATOR
from gr1_core.eval.checkpoint_records import fingerprint as weights_fingerprint
from gr1_core.model import checkpoint
from gr1_core.plural import plural
from gr1_core.rig import Rig

OUTCOMES = ("success", "failure")
"""Episodes that are converted: of a failed one the corrected span is learned from."""
_STARTED = "improve.json"


class ImproveError(ValueError):
    """An improvement that cannot begin or go on. The message names the cause and the remedy."""


@dataclass(frozen=True)
class Prepared:
    """dataset: to train on. new: the new bags alone. bags: folder of each episode of `new`.

    first: number of the first new episode in `dataset`.
    """

    dataset: Path
    new: Path
    bags: list[Path]
    first: int


def old_data(folder: Path, given: Sequence[str] | None) -> list[Path]:
    """The datasets beside the new bags: those that are given, "none" for none, else the checkpoint's own.

    Raises ImproveError where that is not here.
    """
    if given is not None:
        return [] if list(given) == ["none"] else [Path(root) for root in given]
    training = checkpoint.read_training(folder) or {}
    root = ((training.get("data") or {}).get("train") or {}).get("root")
    if root and (Path(root) / "meta" / "info.json").is_file():
        return [Path(root)]
    where = f"the dataset {root} that it was trained on is not here" if root else "it does not say its data"
    raise ImproveError(
        f"--checkpoint {folder}: {where}: give --data DIR, or --data none to learn from the new bags alone, "
        "which forgets what they do not show"
    )


def prepare(folder: Path, bags: Path, data: Sequence[Path], work: Path, workers: int) -> Prepared:
    """Converts and joins in the folder `work`; goes on where an interrupted call ended.

    Raises ImproveError, and what conversion raises.
    """
    own = Rig.load(folder / checkpoint.RIG)
    source = BagSource(bags, OUTCOMES)
    own.require_same(source.rig.with_cameras(own.cameras), f"the bags in {bags}")
    _require_same(work, folder, source, data)
    new = work / "new"
    _convert(source, new, workers)
    joined = new
    if data:
        joined = work / "joined"
        _convert(JoinedSource([LeRobotSource(root) for root in (*data, new)]), joined, workers)
    _describe(Dataset(new))
    folders = {name: path for path, name in (unit.payload for unit in source.units())}
    names = [json.loads(line)["name"] for line in (new / "meta/sources.jsonl").read_text().splitlines()]
    first = len(Dataset(joined).episodes) - len(names)
    return Prepared(joined, new, [folders[name] for name in names], first)


def all_simulated(bags: Sequence[Path]) -> bool:
    """Whether all were recorded in the twin, which publishes its own state."""
    return all(Bag(folder).topic("sim/state") for folder in bags)


def _convert(source: Source, out: Path, workers: int) -> None:
    if plan.is_complete(out) and not plan.plan_path(out).is_file():
        return
    done = conversion.convert(source, out, workers)
    skipped = f", {len(done.skipped)} skipped ({done.skipped[0][1]})" if done.skipped else ""
    print(f"{out}: {plural(done.episodes, 'episode')}, {done.frames} frames{skipped}", flush=True)


def _describe(new: Dataset) -> None:
    drivers = [new.driver[start:end] for start, end in new.episodes.tolist()]
    taken = sum(bool((each == OPERATOR).any()) for each in drivers)
    frames = int((new.driver == OPERATOR).sum())
    print(f"{plural(taken, 'episode')} of {len(drivers)} with a take-over: {frames} corrected frames")
    if not frames and not np.any(new.driver == DEMONSTRATOR):
        print(
            "no operator took over: only the policy's own successes are new, which teach little; run the "
            "policy with `gr1 up --takeover --record`"
        )


def _require_same(work: Path, folder: Path, source: BagSource, data: Sequence[Path]) -> None:
    """Refuses to go on with other bags, data or another checkpoint than `work` was begun with."""
    now = {
        "checkpoint": weights_fingerprint(folder),
        "bags": {unit.key: unit.fingerprint for unit in source.units()},
        "data": {str(root): fingerprint(root) for root in data},
    }
    path = work / _STARTED
    try:
        before = json.loads(path.read_text()) if path.is_file() else None
        work.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ImproveError(
            f"{path} cannot be used ({error}): delete {work}, or give another --work"
        ) from error
    if before is None:
        if foreign := sorted(one.name for one in work.iterdir() if not one.name.startswith(".")):
            raise ImproveError(
                f"--work {work} is not empty and no improvement began in it ({foreign[0]}): give another "
                "folder"
            )
        atomic_write.write_json(path, now)
    elif before != now:
        changed = [name for name in now if before.get(name) != now[name]]
        raise ImproveError(
            f"{work} was begun with other {' and '.join(changed)}: give another --out for the new ones, or "
            f"delete {work} to begin again"
        )


def require_checkpoint(text: str | Path) -> Path:
    """The folder of a policy. Raises ImproveError or CheckpointMissing."""
    folder = pretrained.require(text)
    if not (folder / checkpoint.RIG).is_file():
        raise ImproveError(f"--checkpoint {text} holds no rig.yaml: it is no policy that can act")
    return folder
