"""Records simulated episodes as bags in several processes, for `gr1 collect sim`. An interrupted collection
can be resumed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gr1_core.data import metadata
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.bag_writer import lock_recording
from gr1_core.pool import run_units, stopped
from gr1_core.rig import Rig
from gr1_core.sim.collection.bag_recording import POLICY_LABEL, EpisodeRecorder, bag_topics
from gr1_core.sim.collection.loaded_policy import load_policy
from gr1_core.sim.suites import TRAINING_SEEDS_END
from gr1_core.sim.tasks import parse_task_names

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster


class CollectError(ValueError):
    """Simulated episodes that cannot be recorded."""


@dataclass(frozen=True)
class EpisodeSpec:
    """One episode to record: a task and the seed of its layout."""

    task: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the episode's bag folder."""
        return f"{self.task}_{self.seed:06d}"


def plan_episodes(tasks: str, episodes: int, seed: int) -> list[EpisodeSpec]:
    """Plans `episodes` episodes: every task with the first seed, then with the next one, and so on.

    tasks: "all" or names separated by commas. Raises ValueError for unknown tasks, CollectError for seeds of
    the tests.
    """
    names = parse_task_names(tasks)
    last = seed + (episodes - 1) // len(names)
    if last >= TRAINING_SEEDS_END:
        rounds = f"{len(names)} task{'s' if len(names) > 1 else ''} in turn from seed {seed}"
        raise CollectError(
            f"{episodes} episodes, {rounds}, reach seed {last}: from {TRAINING_SEEDS_END} on "
            "they are kept for tests; choose a lower --seed, or fewer --episodes"
        )
    return [
        EpisodeSpec(names[number % len(names)], seed + number // len(names)) for number in range(episodes)
    ]


def collect_bags(
    specs: Sequence[EpisodeSpec],
    out: Path,
    rig: Rig,
    kind: str = "jpeg",
    workers: int = 1,
    cluster: Cluster | None = None,
    policy: Path | None = None,
) -> Iterator[tuple[EpisodeSpec, bool, bool]]:
    """Records the missing episodes. Yields (spec, success, new) for each complete one, existing ones first.

    kind: "jpeg" or "raw" images. workers: processes of this machine; cluster: records there instead.
    policy: a checkpoint that drives and is corrected by a scripted operator; None: the expert drives. An
    interrupted episode is recorded again: a seed always gives the same one. Raises BagError where a bag of
    that name was recorded with other settings, CollectError where the simulation cannot run, PoolError or
    ClusterError where workers end.
    """
    work = _Recording(Path(os.path.abspath(out)), rig, kind, *_policy(policy, rig))
    outcomes = {spec: _outcome(out / spec.name, work) for spec in specs}
    for spec, outcome in outcomes.items():
        if outcome:
            yield spec, outcome == "success", False
    missing = [spec for spec, outcome in outcomes.items() if not outcome]
    if not missing:
        return
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CollectError(
            f"--out {out} cannot be created ({error.strerror}): choose a folder that you may write to"
        ) from error
    try:
        if cluster:
            cluster.require(writes=[out])
        for spec, success in run_units(work, missing, min(workers, len(missing)), cluster):
            yield spec, success, True
    except RuntimeError as error:
        raise CollectError(f"no episodes from the simulation: {error}") from error
    finally:
        with suppress(OSError):  # a folder in which something was recorded stays
            for folder in created:
                folder.rmdir()


def _policy(policy: Path | None, rig: Rig) -> tuple[Path | None, str]:
    """-> folder of a policy that fits the rig, digest of its weights. Raises RigError or CheckpointError."""
    if policy is None:
        return None, ""
    from gr1_core.eval.checkpoint_records import fingerprint
    from gr1_core.model import checkpoint
    from gr1_core.pretrained import resolve

    policy = Path(os.path.abspath(resolve(policy)))
    Rig.load(policy / checkpoint.RIG).require_same(rig, f"the checkpoint {policy}")
    return policy, fingerprint(policy)[:16]


def _outcome(folder: Path, work: _Recording) -> str:
    """Outcome of a complete bag with these settings; "" where there is none or a recovered one, which is then
    deleted.
    """
    rig, kind = work.rig, work.kind
    if (folder / metadata.METADATA_FILE).is_file():
        bag = Bag(folder)
        if bag.rig != rig:
            raise BagError(
                f"{folder} was recorded with another rig than '{rig.name}' is now: choose another --out"
            )
        if bag.labels.get(POLICY_LABEL, "") != work.digest:
            drove = "another policy" if bag.labels.get(POLICY_LABEL) else "the expert, not a policy"
            raise BagError(f"{folder} was recorded with {drove}: choose another --out")
        if bag.topics != bag_topics(kind, corrected=work.policy is not None):
            raise BagError(
                f"{folder} was recorded with other topics than --images {kind} gives: choose another --out"
            )
        if bag.outcome != "unfinished":
            return bag.outcome
        (folder / metadata.METADATA_FILE).unlink()
    if folder.is_dir():
        for path in folder.glob("*.mcap"):
            with open(path, "rb") as stream:
                lock_recording(stream, path)
                path.unlink()
        folder.rmdir()
    return ""


@dataclass(frozen=True)
class _Recording:
    """Specs -> bags in the folder `out`; the result of a spec is whether it succeeded."""

    out: Path
    rig: Rig
    kind: str
    policy: Path | None = None
    digest: str = ""
    name = "bags"
    checks_stop = True

    def open(self) -> _RecordingRunner:
        return _RecordingRunner(self)

    def label(self, spec: EpisodeSpec) -> str:
        return f"episode {spec.name}"


class _RecordingRunner:
    def __init__(self, work: _Recording):
        self._policy = load_policy(work.policy) if work.policy else None
        self._work, self._recorder = work, EpisodeRecorder(work.rig, work.kind)

    def run(self, spec: EpisodeSpec) -> bool:
        folder = self._work.out / spec.name
        # Of a worker that died in the middle of it
        if outcome := _outcome(folder, self._work):
            return outcome == "success"
        driver = self._policy, self._work.digest
        return self._recorder.record_episode(folder, spec.task, spec.seed, stopped, *driver)[0]

    def close(self) -> None:
        self._recorder.close()
