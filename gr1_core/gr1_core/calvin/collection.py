"""`gr1 collect calvin`: the expert's chains in CALVIN's simulator, written in the official dataset's layout.

Parallel, seeded, resumable.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gr1_core.calvin import single_frames
from gr1_core.calvin.checkout import Checkout
from gr1_core.calvin.environment import Simulator
from gr1_core.calvin.expert import TASKS, Expert
from gr1_core.calvin.expert.motion import Command
from gr1_core.calvin.recording import Span, Statistics, frame_of, frame_path, write_frame, write_index
from gr1_core.calvin.single_frames import MomentWriter
from gr1_core.calvin.worlds import ChainSampler, ChainSpec
from gr1_core.pool import run_units, stopped

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster

STRIDE = 2000
"""Frame ids from one chain's first to the next one's: a chain's ids are known before those before it are
recorded.
"""
STEPS = 240
"""A demonstration that takes longer, of the 360 that the official evaluation allows, is not kept."""
VALIDATION_EVERY = 20
_LOG, _SETTINGS = "chains.jsonl", "collection.json"


class CalvinCollectError(ValueError):
    """Demonstrations that cannot be recorded."""


@dataclass(frozen=True)
class CollectionSettings:
    """scene: A .. D. tasks: those that are annotated.

    noise: deviation of the disturbed actions, in parts of the largest action. single_frames: moments of the
    chains instead of whole demonstrations.
    """

    scene: str
    tasks: tuple[str, ...]
    seed: int
    noise: float
    renderer: str
    depth: bool
    single_frames: bool = False

    @property
    def stride(self) -> int:
        return single_frames.STRIDE if self.single_frames else STRIDE


def named_tasks(names: str) -> tuple[str, ...]:
    """ "all" or names separated by commas. Raises CalvinCollectError for an unknown one."""
    chosen = (
        TASKS
        if names == "all"
        else tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    )
    if unknown := [name for name in chosen if name not in TASKS]:
        raise CalvinCollectError(
            f"--tasks: {', '.join(unknown)} is not one of CALVIN's 34 tasks: {', '.join(TASKS)}"
        )
    if not chosen:
        raise CalvinCollectError("--tasks names no task: give names separated by commas, or all")
    return chosen


def collect(
    checkout: Checkout,
    settings: CollectionSettings,
    episodes: int,
    out: Path,
    workers: int,
    progress: Callable[[int, int], None],
    resumed: Callable[[int], None],
    cluster: Cluster | None = None,
) -> dict:
    """Records chains until `episodes` annotated demonstrations, or single frames, are there.

    Returns a summary.

    workers: processes of this machine; cluster: records there instead. progress: is told the demonstrations
    so far and the chains so far. resumed: is told the demonstrations of earlier runs.
    An interrupted collection goes on: a chain counts once all its frames are on disk, and a number always
    gives the same chain. Raises CalvinCollectError for settings that differ from before, PoolError or
    ClusterError where workers end.
    """
    _prepare(out, settings, checkout)
    done = _read_log(out)
    found = sum(len(row["spans"]) for row in done.values())
    resumed(found)

    def missing() -> Iterator[int]:
        for number in range(10_000_000 // settings.stride - 1):
            if found >= episodes:
                return
            if number not in done:
                yield number

    if cluster:
        cluster.require([checkout.root], [out])
    work = _Recording(Path(os.path.abspath(checkout.root)), settings, Path(os.path.abspath(out)))
    with open(out / _LOG, "a") as log:
        for _, row in run_units(work, missing(), workers, cluster):
            log.write(json.dumps(row) + "\n")
            log.flush()
            os.fsync(log.fileno())
            done[row["chain"]] = row
            found += len(row["spans"])
            progress(found, len(done))
    return _finish(out, settings, done, episodes)


def _prepare(out: Path, settings: CollectionSettings, checkout: Checkout) -> None:
    from omegaconf import OmegaConf

    path = out / _SETTINGS
    mine = json.loads(json.dumps(asdict(settings)))
    if path.is_file():
        before = json.loads(path.read_text())["settings"]
        if differing := [f"{key} was {before.get(key)}" for key in mine if before.get(key) != mine[key]]:
            raise CalvinCollectError(
                f"{out} was begun with other settings ({'; '.join(differing)}): repeat them, or choose "
                "another --out"
            )
    elif out.exists() and any(out.iterdir()):
        raise CalvinCollectError(
            f"--out {out} is not empty and no collection of this kind: choose another folder"
        )
    configuration = checkout.configuration(settings.scene, egl=settings.renderer == "egl")
    configuration.scene.name = f"calvin_scene_{settings.scene}"
    for split in ("training", "validation"):
        (out / split / ".hydra").mkdir(parents=True, exist_ok=True)
        (out / split / ".hydra" / "merged_config.yaml").write_text(OmegaConf.to_yaml(configuration))
    path.write_text(json.dumps({"settings": mine, "commits": checkout.commits()}, indent=1) + "\n")


def _read_log(out: Path) -> dict[int, dict]:
    path = out / _LOG
    rows = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            rows[row["chain"]] = row
        except (ValueError, KeyError):
            continue  # the line that a power cut left half written
    return rows


def split_of(chain: int) -> str:
    return "validation" if chain % VALIDATION_EVERY == VALIDATION_EVERY - 1 else "training"


def _finish(out: Path, settings: CollectionSettings, done: dict[int, dict], episodes: int) -> dict:
    """Writes the index files of both splits; the last chains may give more demonstrations than were asked
    for, which stay.
    """
    counts, frames = Counter(), 0
    for split in ("training", "validation"):
        rows = [
            done[number] for number in sorted(done) if split_of(number) == split and done[number]["frames"]
        ]
        spans = [Span(**span) for row in rows for span in row["spans"]]
        if rows:
            bounds = [bound for row in rows for bound in _bounds(row, settings)]
            statistics = Statistics.merged(row["statistics"] for row in rows)
            write_index(out / split, bounds, spans, settings.scene, statistics)
        counts.update(span.task for span in spans)
        frames += sum(row["frames"] for row in rows)
    failed = Counter(row["failed"] for row in done.values() if row["failed"])
    summary = {"episodes": sum(counts.values()), "wanted": episodes, "chains": len(done), "frames": frames}
    return summary | {"tasks": dict(sorted(counts.items())), "failed": dict(failed)}


def _bounds(row: dict, settings: CollectionSettings) -> list[tuple[int, int]]:
    """First and last frame of each uninterrupted recording in a chain."""
    if settings.single_frames:
        return [(span["first"], span["last"]) for span in row["spans"]]
    return [(row["first"], row["first"] + row["frames"] - 1)]


# In a worker process

_work: dict = {}


@dataclass(frozen=True)
class _Recording:
    """Numbers of chains -> frames below `out`; the result of a number is its row of the log.

    root: of the checkout.
    """

    root: Path
    settings: CollectionSettings
    out: Path
    name = "calvin"
    checks_stop = True

    def open(self) -> _Recording:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # pybullet prints
        checkout = Checkout.open(self.root)
        _work.update(
            settings=self.settings,
            out=self.out,
            texts=checkout.training_instructions(),
            oracle=checkout.oracle(),
        )
        _work["sampler"] = ChainSampler(checkout, self.settings.tasks, self.settings.seed)
        _work["simulator"] = Simulator(checkout, self.settings.scene, self.settings.renderer)
        return self

    def label(self, number: int) -> str:
        return f"chain {number}"

    def run(self, number: int) -> dict:
        return _record(number)

    def close(self) -> None:
        _work.pop("simulator").close()


def _record(number: int) -> dict:
    """One chain's frames on disk -> its row of the log. A failed task ends the chain."""
    settings, simulator = _work["settings"], _work["simulator"]
    rng = np.random.default_rng([settings.seed, number, 1])
    spec = _work["sampler"].sample(number)
    folder = _work["out"] / split_of(number)
    first = (number + 1) * settings.stride
    for stale in range(first, first + settings.stride):
        if not (path := frame_path(folder, stale)).exists():
            break
        path.unlink()
    simulator.render = not settings.single_frames
    simulator.reset(spec.robot, spec.scene)
    record = _record_moments if settings.single_frames else _record_demonstrations
    frames, spans, failed = record(spec, rng, folder, first)
    statistics = Statistics()
    for number_kept in range(first, first + frames):
        with np.load(frame_path(folder, number_kept)) as arrays:
            statistics.add({name: arrays[name] for name in ("robot_obs", "scene_obs", "actions")})
    row = {"chain": number, "first": first, "frames": frames, "failed": failed}
    row["spans"] = [asdict(span) for span in spans]
    return row | {"statistics": statistics.to_dict() if frames else None}


def _record_demonstrations(spec: ChainSpec, rng, folder: Path, first: int) -> tuple[int, list[Span], str]:
    """Returns the number of frames, the annotated spans and the task that failed or ""."""
    settings, simulator, texts = _work["settings"], _work["simulator"], _work["texts"]
    expert, spans, frame = Expert(settings.scene), [], first

    def write(step: int, label: Command, _distance: float) -> None:
        arrays = frame_of(simulator, simulator.state, label, settings.depth)
        write_frame(folder, frame + step, arrays)

    for task in spec.tasks:
        steps = _demonstrate(task, expert, rng, write)
        if steps is None:
            for number in range(frame, frame + STEPS):
                frame_path(folder, number).unlink(missing_ok=True)
            return frame - first, spans, task
        if task in settings.tasks:
            text = texts[task][rng.integers(len(texts[task]))]
            spans.append(Span(frame, frame + steps - 1, task, text))
        frame += steps
    return frame - first, spans, ""


def _record_moments(spec: ChainSpec, rng, folder: Path, first: int) -> tuple[int, list[Span], str]:
    """The same for single frames."""
    settings = _work["settings"]
    writer = MomentWriter(
        _work["simulator"], spec, _work["texts"], settings.tasks, settings.scene, rng, folder, first,
        settings.depth,
    )  # fmt: skip
    expert = Expert(settings.scene)
    for index, task in enumerate(spec.tasks):
        before = len(writer.spans)
        if _demonstrate(task, expert, rng, partial(writer.see, index)) is None:
            writer.keep(before)
            return before, writer.spans, task
    return len(writer.spans), writer.spans, ""


def _demonstrate(
    task: str, expert: Expert, rng: np.random.Generator, see: Callable[[int, Command, float], None]
) -> int | None:
    """Does a task. see: is called before each step with its number, the expert's command and the hand's
    distance from its goal in metres.

    Returns the number of steps, or None where the task failed.
    """
    settings, simulator, oracle = _work["settings"], _work["simulator"], _work["oracle"]
    expert.begin(task, simulator.state)
    start, disturbance = simulator.info, Disturbance(settings.noise * rng.random(), rng)
    for step in range(STEPS):
        if stopped():
            raise KeyboardInterrupt
        label = expert.act(simulator.state, simulator.target())
        see(step, label, expert.distance(simulator.state))
        info = simulator.step(
            disturbance.disturb(label.delta, expert.distance(simulator.state)), label.gripper
        )
        if oracle.get_task_info_for_set(start, info, {task}):
            return step + 1
    return None


class Disturbance:
    """Correlated noise on the way from the label to the robot, so that the expert shows how to come back;
    less near the goal, but enough there that the fingers come from beside the block as well.
    """

    LEAST = 0.3

    def __init__(self, scale: float, rng: np.random.Generator):
        self._scale, self._rng, self._noise = scale, rng, np.zeros(6)

    def disturb(self, delta: np.ndarray, distance: float) -> np.ndarray:
        """distance: of the hand from its goal, m."""
        self._noise = 0.9 * self._noise + 0.44 * self._rng.normal(size=6)
        return np.clip(delta + self._scale * np.clip(distance / 0.08, self.LEAST, 1.0) * self._noise, -1, 1)
