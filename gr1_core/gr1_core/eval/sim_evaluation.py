"""`gr1 evaluate sim`: plays the suites of sim/suites.py; prints and saves tables and a JSON document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from gr1_core import atomic_write, pretrained
from gr1_core.eval import contact_sheet, table
from gr1_core.eval import trials as trial_pool
from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.cluster_jobs import ClusterJobs
from gr1_core.eval.environment import Outcome, SimulationError, TrialSettings, require_simulated_rig
from gr1_core.eval.prediction import PredictionErrors
from gr1_core.model import checkpoint as checkpoints
from gr1_core.plural import plural
from gr1_core.progress import ProgressBar
from gr1_core.rig import Rig
from gr1_core.sim.suites import Trial, parse_suites, trials

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster

_EXPERTS_RIG = "kinova_gen2_small"
_IMAGES_PER_EPISODE = 8
_INTERRUPTED = 130
_WIDTH = 100  # columns of tables in a file or a pipe


def run(
    checkpoint: Path | None,
    suites: str,
    tasks: Sequence[str],
    episodes: int,
    seed: int,
    seconds: float,
    workers: int,
    out: Path | None,
    cluster: Cluster | None = None,
) -> int:
    """Evaluates a checkpoint, or the scripted expert where checkpoint is None. Returns the exit code.

    suites: names separated by commas, or "all": those that have one of the tasks. workers: simulated rigs of
    this machine; cluster: plays there instead. Results so far are printed and saved also when an interrupt or
    an error ends the evaluation. Raises CheckpointError, RigError, SuiteError, SimulationError, PolicyError
    or ClusterError; all are ValueErrors.
    """
    names = parse_suites(suites, tasks)
    chosen = [trial for suite in names for trial in trials(suite, episodes, seed, tasks)]
    policy = None
    if checkpoint:
        # The simulated rigs need the cores; a small model gains less from a second thread than they lose.
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 4))
        policy = BatchPolicy.from_pretrained(checkpoint)
    rig = policy.rig if policy else Rig.load(_EXPERTS_RIG)
    require_simulated_rig(rig)
    _make_folder(out)
    errors = PredictionErrors(policy) if policy and _predicts_frames(checkpoint) else None
    settings = TrialSettings(rig, seconds, _IMAGES_PER_EPISODE if out else 0, expert=policy is None)
    precision = policy.precision if policy else ""
    on_cluster = ClusterJobs(cluster, checkpoint, precision, PredictionErrors, errors) if cluster else None
    outcomes, ended = _play(chosen, settings, policy, workers, errors, on_cluster)
    if ended and not outcomes:
        return _end(ended)
    result = table.document(outcomes) | {
        "policy": pretrained.name(checkpoint) if checkpoint else "expert",
        "hz": rig.control_hz,
        "seed": seed,
        "seconds": seconds,
    }
    if ended:
        result["interrupted"] = f"{len(outcomes)} of {plural(len(chosen), 'episode')}"
    if errors and (figures := errors.figures()):
        result["prediction"] = figures
    if out:
        _save(out, result, outcomes, errors, rig)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    title = f"checkpoint {checkpoint}" if policy else "the scripted expert, which is given the true poses"
    table.print_tables(
        console, result, f"{title}{', INTERRUPTED after ' + result['interrupted'] if ended else ''}"
    )
    print(json.dumps(result), flush=True)
    return _end(ended) if ended else 0


def _end(ended: BaseException) -> int:
    if isinstance(ended, KeyboardInterrupt):
        return _INTERRUPTED
    raise ended


def _make_folder(out: Path | None) -> None:
    try:
        if out:
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SimulationError(
            f"--out {out} cannot be made ({error.strerror}): choose a folder that you may write to"
        ) from error


def _predicts_frames(folder: Path) -> bool:
    """Whether the checkpoint was trained to predict frames; if not, they are not evaluated."""
    weights = ((checkpoints.read_training(folder) or {}).get("recipe") or {}).get("loss") or {}
    return all(weights.get(role, 1) for role in ("static", "wrist"))


def _play(
    chosen: list[Trial],
    settings: TrialSettings,
    policy: BatchPolicy | None,
    workers: int,
    errors: PredictionErrors | None,
    on_cluster: ClusterJobs | None,
) -> tuple[list[Outcome], BaseException | None]:
    """The outcomes, and the exception that ended the evaluation early: the outcomes before it are kept."""
    outcomes: list[Outcome] = []
    on_action = errors.on_action if errors else None
    running = trial_pool.run_trials(chosen, settings, policy, workers, on_action, on_cluster)
    with ProgressBar("playing", len(chosen)) as bar:
        try:
            for outcome in running:
                outcomes.append(outcome)
                if errors:
                    errors.end_trial(outcome.trial)
                bar.advance(plural(sum(one.success for one in outcomes), "success", "successes"))
        except (Exception, KeyboardInterrupt) as ended:
            return outcomes, ended
        finally:
            running.close()
    return outcomes, None


def _save(
    out: Path, result: dict, outcomes: list[Outcome], errors: PredictionErrors | None, rig: Rig
) -> None:
    atomic_write.write_json(out / "results.json", result | {"episodes": table.episode_rows(outcomes)})
    for suite in result["suites"]:
        contact_sheet.write_rollouts(
            [one for one in outcomes if one.trial.suite == suite], out / f"rollouts-{suite}.png"
        )
    if errors:
        contact_sheet.write_predictions(
            errors.examples(), errors.future_steps * rig.period, out / "predicted.png"
        )
