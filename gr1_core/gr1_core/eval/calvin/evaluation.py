"""`gr1 evaluate calvin`: plays the official chains, continues an interrupted evaluation, prints and saves the
results.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gr1_core import atomic_write, pretrained
from gr1_core.calvin import chains as official
from gr1_core.calvin.checkout import Checkout
from gr1_core.eval import checkpoint_records
from gr1_core.eval import workers as worker_pool
from gr1_core.eval.calvin import instructions as texts
from gr1_core.eval.calvin import report, summary
from gr1_core.eval.calvin.log import NAME, ResultsLog
from gr1_core.eval.calvin.protocol import ChainJob, ChainOutcome, ChainSettings
from gr1_core.eval.calvin.references import REFERENCES
from gr1_core.eval.worker_process import WorkerError
from gr1_core.plural import plural
from gr1_core.progress import ProgressBar
from gr1_core.rig import Rig

if TYPE_CHECKING:
    from gr1_core.cluster import Cluster

RIG = "calvin"
_INTERRUPTED = 130
_PACKAGES = ("gr1_core", "pybullet", "numpy", "torch")


class CalvinError(WorkerError):
    """Chains that cannot be played, or a checkpoint of another robot."""


@dataclass(frozen=True)
class Options:
    """agent: of protocol.AGENTS; checkpoint: where it is "policy".

    workers: simulators of this machine; cluster: plays there instead. recorded: numbers of chains whose
    videos are kept, with `out`.
    """

    checkout: Checkout
    agent: str
    checkpoint: Path | None
    chains: int
    scene: str
    renderer: str
    instructions: str
    seed: int
    workers: int
    out: Path | None
    recorded: tuple[int, ...]
    cluster: Cluster | None = None


def run(options: Options) -> int:
    """Returns the exit code.

    Results so far are printed and saved also when an interrupt or an error ends the evaluation.

    Raises CalvinError, CheckoutError, CheckpointError, InstructionsError or ResultsError; all are
    ValueErrors.
    """
    options.checkout.require_packages()
    policy = _policy(options)
    warnings = options.checkout.warnings()
    for warning in warnings:
        print(f"gr1: warning: {warning}", file=sys.stderr)
    chains = official.chains(options.checkout, options.chains)
    wording = texts.load(options.instructions, options.checkout)
    facts = _facts(options, policy)
    log = ResultsLog(options.out / NAME if options.out else None, facts["settings"])
    recorded = frozenset(options.recorded) if options.out else frozenset()
    jobs = [
        ChainJob(
            one.number,
            one.condition,
            one.tasks,
            texts.chosen(one, wording, options.seed),
            one.number in recorded,
        )
        for one in chains
        if one.number not in log.results
    ]
    ended = _play(jobs, options, policy, log)
    log.close()
    results = [log.results[one.number] for one in chains if one.number in log.results]
    if ended and not results:
        return _end(ended)
    result = summary.document(results) | facts["document"] | {"warnings": warnings}
    if ended:
        result["interrupted"] = f"{len(results)} of {plural(len(chains), 'chain')}"
    title = f"CALVIN, scene {options.scene}: {result['policy']}"
    if options.out:
        atomic_write.write_json(options.out / "results.json", result)
        report.write_page(options.out / "report.html", result, REFERENCES, _recordings(options.out), title)
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    summary.print_tables(
        console,
        result,
        f"{title}{', INTERRUPTED after ' + result['interrupted'] if ended else ''}",
        REFERENCES,
    )
    print(json.dumps(result), flush=True)
    return _end(ended) if ended else 0


def _policy(options: Options):
    if options.agent != "policy":
        return None
    import torch

    from gr1_core.eval.batch import BatchPolicy

    # The simulators need the cores; a small model gains less from a second thread than they lose.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 4))
    policy = BatchPolicy.from_pretrained(options.checkpoint)
    require_rig(policy.rig)
    return policy


def require_rig(rig: Rig) -> None:
    """Raises CalvinError for a checkpoint of another robot: its actions would mean other motions."""
    if rig.name != RIG:
        raise CalvinError(
            f"the checkpoint is for rig '{rig.name}'; CALVIN's simulator is rig '{RIG}': choose a "
            "checkpoint that was trained on it"
        )
    Rig.load(RIG).require_same(rig, "the checkpoint")


def _facts(options: Options, policy) -> dict:
    """settings: must be the same when an evaluation continues; document: recorded with the result."""
    commits = options.checkout.commits()
    name = pretrained.name(options.checkpoint) if options.checkpoint else options.agent
    settings = {
        "policy": options.agent,
        "weights": checkpoint_records.fingerprint(options.checkpoint) if policy else None,
        "scene": options.scene,
        "renderer": options.renderer,
        "instructions": options.instructions,
        "seed": options.seed,
        "calvin": commits["calvin"],
        "calvin_env": commits["calvin_env"],
        "sequences_sha256": official.digest(options.checkout),
    }
    rig = {"rig": policy.rig.name} if policy else {}
    return {"settings": settings, "document": settings | {"policy": name, "versions": _versions()} | rig}


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "unknown"
    return versions | {"python": sys.version.split()[0]}


def _play(jobs: Sequence[ChainJob], options: Options, policy, log: ResultsLog) -> BaseException | None:
    """Plays the chains; returns what ended the evaluation early, if anything. Finished chains are kept."""

    root = Path(os.path.abspath(options.checkout.root))
    settings = ChainSettings(root, options.scene, options.renderer, options.agent)
    recorder = _recorder(policy, jobs)
    if options.cluster:
        running = _on_cluster(options, policy, recorder).run(jobs, settings, CalvinError)
    else:
        on_action = recorder.on_action if recorder else None
        running = worker_pool.run_jobs(jobs, settings, policy, options.workers, on_action, error=CalvinError)
    began, spent, waited = time.monotonic(), 0.0, 0.0
    before = len(log.results)
    with ProgressBar("chains", len(jobs) + before, before) as bar:
        try:
            for outcome in running:
                log.add(outcome)
                if outcome.frames:
                    _save_recording(outcome, recorder, options)
                spent, waited = spent + outcome.seconds, waited + outcome.waiting
                hours = (time.monotonic() - began) / 3600
                mean = sum(one.done for one in log.results.values()) / len(log.results)
                done = len(log.results) - before
                share = f"{100 * waited / spent:.0f} % of the time waiting for the policy"
                text = f"mean length {mean:.2f}, {done / hours:.0f} chains/h, {share}"
                bar.advance(text)
        except (Exception, KeyboardInterrupt) as ended:
            return ended
        finally:
            running.close()
    return None


def _on_cluster(options: Options, policy, recorder):
    from gr1_core.eval.cluster_jobs import ClusterJobs

    options.cluster.require([options.checkout.root])
    precision = policy.precision if policy else ""
    observe = type(recorder).of_policy if recorder else None
    return ClusterJobs(options.cluster, options.checkpoint, precision, observe, recorder)


def _recorder(policy, jobs: Sequence[ChainJob]):
    if policy is None or not policy.config.predicts_frames or not any(job.recorded for job in jobs):
        return None
    from gr1_core.eval.calvin.recordings import PredictionRecorder

    return PredictionRecorder(policy.config.future_steps)


def _save_recording(outcome: ChainOutcome, recorder, options: Options) -> None:
    from gr1_core.eval.calvin.recordings import write_chain

    predicted = recorder.of(outcome.job.number) if recorder else {}
    names = write_chain(outcome, predicted, options.out, options.renderer)
    row = {"number": outcome.job.number, "tasks": list(outcome.job.tasks), "done": outcome.done}
    atomic_write.write_json(options.out / f"chain-{outcome.job.number:04d}.json", row | names)


def _recordings(out: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("chain-[0-9]*.json"))]


def _end(ended: BaseException) -> int:
    if isinstance(ended, KeyboardInterrupt):
        return _INTERRUPTED
    raise ended
