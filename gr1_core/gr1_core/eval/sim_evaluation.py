"""`gr1 evaluate sim`: plays the columns of sim/suites.py, prints the tables and the JSON document, and saves all of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gr1_core import pretrained
from gr1_core.eval import contact_sheet, table
from gr1_core.eval import workers as worker_pool
from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.environment import Outcome, Play, SimulationError, require_twins
from gr1_core.eval.prediction import Predictions
from gr1_core.model import checkpoint as checkpoints
from gr1_core.rig import Rig
from gr1_core.sim.suites import COLUMNS, Trial, of, require, trials

_EXPERTS_RIG = "kinova_gen2_small"
_PICTURES = 8
_INTERRUPTED = 130


def run(
    checkpoint: Path | None,
    columns: str,
    tasks: Sequence[str],
    episodes: int,
    seed: int,
    seconds: float,
    workers: int,
    out: Path | None,
) -> int:
    """Evaluates a checkpoint, or with None the scripted expert. columns: "all" (that have one of the tasks) or names separated by commas.

    Returns the exit code. When it is interrupted or an error ends it, it prints and saves what it has by then. Raises CheckpointError,
    RigError, ColumnError, SimulationError or PolicyError; they are all ValueErrors.
    """
    chosen = [trial for column in _names(columns, tasks) for trial in trials(column, episodes, seed, tasks)]
    policy = None
    if checkpoint:
        # The simulated rigs take the processors; the model is small, and a second thread would take from them what it gains.
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 4))
        policy = BatchPolicy.from_pretrained(checkpoint)
    rig = policy.rig if policy else Rig.load(_EXPERTS_RIG)
    require_twins(rig)
    _make(out)
    predictions = Predictions(policy) if policy and _predicts(checkpoint) else None
    play = Play(rig, seconds, _PICTURES if out else 0, expert=policy is None)
    outcomes, ended = _play(chosen, play, policy, workers, predictions)
    if ended and not outcomes:
        return _end(ended)
    called = pretrained.name(checkpoint) if checkpoint else "expert"
    result = table.document(outcomes) | {
        "policy": called,
        "hz": rig.control_hz,
        "seed": seed,
        "seconds": seconds,
    }
    if ended:
        result["interrupted"] = f"{len(outcomes)} of {len(chosen)} episodes"
    if predictions and (figures := predictions.figures()):
        result["prediction"] = figures
    if out:
        _save(out, result, outcomes, predictions, rig)
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    who = f"checkpoint {checkpoint}" if policy else "the scripted expert, which sees the true poses"
    table.show(console, result, f"{who}{', INTERRUPTED after ' + result['interrupted'] if ended else ''}")
    print(json.dumps(result), flush=True)
    return _end(ended) if ended else 0


def _end(ended: BaseException) -> int:
    if isinstance(ended, KeyboardInterrupt):
        return _INTERRUPTED
    raise ended


def _names(columns: str, tasks: Sequence[str]) -> list[str]:
    with_tasks = [column for column in COLUMNS if set(of(column)) & set(tasks)]
    names = (
        with_tasks if columns == "all" else list(dict.fromkeys(name.strip() for name in columns.split(",")))
    )
    for name in names:
        require(name)
    return names


def _make(out: Path | None) -> None:
    try:
        if out:
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulationError(
            f"--out {out} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error


def _predicts(folder: Path) -> bool:
    """What a checkpoint was not trained to predict is not judged."""
    weights = ((checkpoints.read_training(folder) or {}).get("recipe") or {}).get("loss") or {}
    return all(weights.get(role, 1) for role in ("static", "wrist"))


def _play(
    chosen: list[Trial], play: Play, policy: BatchPolicy | None, workers: int, predictions: Predictions | None
) -> tuple[list[Outcome], BaseException | None]:
    """The outcomes, and what ended the evaluation before its end: hours of episodes do not go with the one that broke."""
    outcomes: list[Outcome] = []
    parts = (
        TextColumn("playing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    running = worker_pool.run(chosen, play, policy, workers, predictions.watch if predictions else None)
    with Progress(*parts, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=len(chosen))
        try:
            for outcome in running:
                outcomes.append(outcome)
                if predictions:
                    predictions.end(outcome.trial)
                bar.update(task, advance=1, description=f"{sum(one.success for one in outcomes)} successes")
        except (Exception, KeyboardInterrupt) as ended:
            return outcomes, ended
        finally:
            running.close()
    return outcomes, None


def _save(
    out: Path, result: dict, outcomes: list[Outcome], predictions: Predictions | None, rig: Rig
) -> None:
    path = out / "results.json"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(result | {"episodes": table.episodes(outcomes)}, indent=1) + "\n")
    os.replace(partial, path)
    for column in result["columns"]:
        contact_sheet.rollouts(
            [one for one in outcomes if one.trial.column == column], out / f"rollouts-{column}.png"
        )
    if predictions:
        contact_sheet.predictions(
            predictions.examples(), predictions.ahead * rig.period, out / "predicted.png"
        )
