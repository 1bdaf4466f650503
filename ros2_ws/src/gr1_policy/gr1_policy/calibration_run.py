"""Calibrates the prediction monitor: a checkpoint's residuals where nothing is disturbed. ROS-free."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gr1_core.plural import plural
from gr1_policy import calibration
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import SMALLEST_BASELINE, Baseline, PredictionMonitor, Residual, score

MARGIN = 1.5
"""The limit of a calibrated checkpoint, in baselines."""
ODD = 2.0
FEWEST = 10
CALIBRATION_SEED, SECONDS = 700_000, 20.0
"""Of the first layout in the twin, one that neither demonstrations nor evaluations use, and of an episode."""


def measure_residuals(policy, bag) -> dict[str, Residual]:
    """One recording -> the largest residuals of each camera. Raises what `gr1_core.data.steps` raises."""
    from gr1_core import Observation
    from gr1_core.data.steps import read_steps

    rig = policy.rig
    rig.require_same(bag.rig, f"bag {bag.name}")
    monitor = PredictionMonitor(policy.config.future_steps, rig.period, cameras=tuple(rig.cameras))
    policy.reset(bag.instruction)
    most = dict.fromkeys(rig.cameras, Residual(0.0, 0.0))
    for step in read_steps(bag, rig):
        frames = {role: getattr(step, role) for role in rig.cameras}
        images = {role: frame.image() for role, frame in frames.items()}
        stamp = 1e-9 * min(frame.stamp for frame in frames.values())
        monitor.add_frames(stamp, {name: rig.cameras[name].view(image) for name, image in images.items()})
        most = larger_of(most, monitor.residuals())
        action = policy.step(
            Observation(**images, arm=step.state[:6].astype(np.float64), gripper=float(step.state[6]))
        )
        future = action.future()
        monitor.add_prediction(stamp, {name: getattr(future, name) for name in rig.cameras})
    return most


def larger_of(most: dict[str, Residual], now: dict[str, Residual]) -> dict[str, Residual]:
    """By camera, with what `now` has."""
    return {name: _larger(one, now[name]) if name in now else one for name, one in most.items()}


def make_baseline(runs: Sequence[dict[str, Residual]]) -> Baseline:
    """The largest residuals of all recordings, figure by figure, and no less than SMALLEST_BASELINE."""
    most = dict.fromkeys(runs[0] if runs else CAMERAS, SMALLEST_BASELINE)
    for run in runs:
        most = larger_of(most, run)
    return most


def odd_runs(runs: Mapping[str, dict[str, Residual]]) -> list[str]:
    """The recordings that a person should look at, in words: one figure is ODD times that of all others."""
    found = []
    for name, run in runs.items():
        others = make_baseline([other for key, other in runs.items() if key != name])
        ratios = {camera: score(one, others[camera]) for camera, one in run.items()}
        if (worst := max(ratios.values())) > ODD:
            camera = max(ratios, key=ratios.get)
            found.append(f"{name}: {camera} camera, {worst:.1f} times the largest of all others")
    return found


def held_out_score(runs: Sequence[dict[str, Residual]]) -> float:
    """The largest score of a recording against the baseline of the others."""
    others = [make_baseline([*runs[:number], *runs[number + 1 :]]) for number in range(len(runs))]
    return max(score(one, baseline[name]) for run, baseline in zip(runs, others) for name, one in run.items())


def _larger(a: Residual, b: Residual) -> Residual:
    return Residual(max(a.whole, b.whole), max(a.local, b.local))


def calibrate(paths: Sequence[Path], checkpoint: Path) -> int:
    """Writes prediction.json into the checkpoint and prints a recommended limit. Raises ValueError for too
    few bags.
    """
    from rich.console import Console
    from rich.progress import track

    from gr1_core.data.bag import Bag, find_bags

    bags = [Bag(folder) for path in paths for folder in find_bags(path)]
    if len(bags) < 2:
        raise ValueError(
            f"{plural(len(bags), 'bag')} in {', '.join(map(str, paths))}: two are needed at least, "
            f"{FEWEST} or more are better"
        )
    # torch takes seconds to import: the refusals above come at once.
    from gr1_core import Policy

    console = Console(stderr=True)
    policy = Policy.from_pretrained(checkpoint)
    runs = [
        measure_residuals(policy, bag) for bag in track(bags, "calibrating", console=console, transient=True)
    ]
    return _save(checkpoint, runs, [bag.name for bag in bags])


def calibrate_in_twin(episodes: int, checkpoint: Path) -> int:
    """As `calibrate`, over undisturbed episodes in which the checkpoint itself acts in the twin. Only those
    that succeed count: a dropped object is a disturbance of its own.
    """
    if episodes < 2:
        raise ValueError(f"--twin {episodes}: two episodes are needed at least, {FEWEST} or more are better")
    from rich.console import Console
    from rich.progress import track

    from gr1_core import Policy
    from gr1_core.eval.environment import TrialSettings, require_simulated_rig
    from gr1_core.sim import suites
    from gr1_policy.twin_calibration import MonitoredPolicy

    policy = Policy.from_pretrained(checkpoint)
    require_simulated_rig(policy.rig)
    drawer = max(episodes // 5, 1)
    listed = [
        *suites.trials("seen", episodes - drawer, CALIBRATION_SEED),
        *suites.trials("drawer", drawer, CALIBRATION_SEED),
    ]
    environment = TrialSettings(policy.rig, SECONDS, 0, False).environment()
    runs, monitored = {}, MonitoredPolicy(policy)
    try:
        for trial in track(listed, "calibrating", console=Console(stderr=True), transient=True):
            if environment.run(trial, monitored).success:
                runs[f"twin: {trial.scene}, seed {trial.seed}"] = monitored.largest
    finally:
        environment.close()
    print(f"{len(runs)} of {episodes} episodes succeeded and count")
    if len(runs) < 2:
        raise ValueError(f"{checkpoint}: two episodes must succeed at least: train on, or give bags")
    return _save(checkpoint, list(runs.values()), list(runs))


def _save(checkpoint: Path, runs: Sequence[dict[str, Residual]], names: Sequence[str]) -> int:
    """Writes the record and prints it."""
    limit, held_out, found = MARGIN, held_out_score(runs), make_baseline(runs)
    file = calibration.save(checkpoint, found, limit, dict(zip(names, runs, strict=True)))
    for name, one in found.items():
        print(
            f"{name:6s} calls above {limit * one.whole:.2f} grey levels over the image, or "
            f"{limit * one.local:.0f} in the worst cell"
        )
    print(f"largest score of one recording against the others: {held_out:.2f}")
    for line in odd_runs(dict(zip(names, runs, strict=True))):
        print(f"odd: {line}. Look at it: an unnoticed disturbance makes the monitor deaf; leave it out then")
    if len(names) < FEWEST:
        print(f"only {plural(len(names), 'recording')}: rare motions may be missing, expect false alarms")
    print(f"the checkpoint's limit (prediction_limit -1): {limit:g}; written to {file}")
    print(json.dumps({"bags": len(names), "held_out_score": held_out, "recommended_limit": limit}))
    return 0
