"""What is usual for a checkpoint's predictions, measured open-loop over recordings in which nobody disturbed anything.

    python -m gr1_policy.calibrate BAGS --checkpoint DIR

writes prediction.json into the checkpoint and recommends a `prediction_limit`. Nothing moves; no ROS graph is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gr1_policy import calibration
from gr1_policy.inputs import CAMERAS
from gr1_policy.prediction_monitor import LEAST, Surprise, Unexplained, Usual, score

MARGIN = 1.5
"""The limit that is recommended: this many times what is usual, or what some recording needs against the others."""
FEWEST = 10


def watch(policy, bag) -> dict[str, Unexplained]:
    """One recording -> the largest unexplained changes of each camera. Raises what `gr1_core.data.steps` raises."""
    from gr1_core import Observation
    from gr1_core.data.steps import steps

    rig = policy.rig
    rig.require_same(bag.rig, f"bag {bag.name}")
    surprise = Surprise(policy.config.future_steps, rig.period)
    policy.reset(bag.instruction)
    most = dict.fromkeys(CAMERAS, Unexplained(0.0, 0.0))
    for step in steps(bag, rig):
        images = {"static": step.static.image(), "wrist": step.wrist.image()}
        stamp = 1e-9 * min(step.static.stamp, step.wrist.stamp)
        surprise.see(stamp, {name: rig.cameras[name].view(image) for name, image in images.items()})
        for name, one in surprise.unexplained().items():
            most[name] = _larger(most[name], one)
        action = policy.step(
            Observation(**images, arm=step.state[:6].astype(np.float64), gripper=float(step.state[6]))
        )
        future = action.future()
        surprise.expect(stamp, {name: getattr(future, name) for name in CAMERAS})
    return most


def usual(runs: Sequence[dict[str, Unexplained]]) -> Usual:
    """The largest of all recordings, and no less than what noise alone may do."""
    most = dict.fromkeys(CAMERAS, LEAST)
    for run in runs:
        most = {name: _larger(most[name], run[name]) for name in CAMERAS}
    return most


def recommend(runs: Sequence[dict[str, Unexplained]]) -> tuple[float, float]:
    """(limit, the largest score of a recording whose usual values come from the others): how much recordings differ."""
    held_out = max(
        _score(run, usual([*runs[:number], *runs[number + 1 :]])) for number, run in enumerate(runs)
    )
    return round(MARGIN * max(held_out, 1.0), 2), held_out


def _score(run: dict[str, Unexplained], than: Usual) -> float:
    return max(score(run[name], than[name]) for name in CAMERAS)


def _larger(a: Unexplained, b: Unexplained) -> Unexplained:
    return Unexplained(max(a.whole, b.whole), max(a.local, b.local))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gr1_policy.calibrate", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "bags",
        type=Path,
        nargs="+",
        metavar="BAG",
        help="bags, or folders of bags, recorded without a disturbance",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args(argv)
    try:
        return _calibrate(arguments.bags, arguments.checkpoint)
    except (ValueError, OSError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1


def _calibrate(paths: Sequence[Path], checkpoint: Path) -> int:
    from rich.console import Console
    from rich.progress import track

    from gr1_core.data.bag import Bag, find

    bags = [Bag(folder) for path in paths for folder in find(path)]
    if len(bags) < 2:
        raise ValueError(
            f"{len(bags)} bags in {', '.join(map(str, paths))}: two are needed at least, {FEWEST} or more are better"
        )
    # torch takes seconds to import: the refusals above come at once.
    from gr1_core import Policy

    console = Console(stderr=True)
    policy = Policy.from_pretrained(checkpoint)
    runs = [watch(policy, bag) for bag in track(bags, "watching", console=console, transient=True)]
    limit, held_out = recommend(runs)
    found = usual(runs)
    calibration.save(checkpoint, found, limit, [bag.name for bag in bags])
    for name, one in found.items():
        print(
            f"{name:6s} unexplained at most: {one.whole:.2f} grey levels over the picture, {one.local:.0f} in the worst cell"
        )
    print(f"largest score of one recording against the others: {held_out:.2f}")
    if len(bags) < FEWEST:
        print(f"only {len(bags)} recordings: rare motions may be missing, expect false alarms")
    print(f"recommended: prediction_limit:={limit:g}; written to {checkpoint / calibration.FILE}")
    print(json.dumps({"bags": len(bags), "held_out_score": held_out, "recommended_limit": limit}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
