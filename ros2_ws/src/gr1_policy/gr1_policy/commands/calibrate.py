"""`gr1 calibrate`: the baseline of a checkpoint's prediction monitor, from bags or from the twin."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Mistake, Parser, count

HELP = "measure a checkpoint's prediction errors where nothing is disturbed, for the prediction monitor"


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 calibrate",
        description="Measure a checkpoint's prediction errors open-loop over bags without a disturbance, or "
        "while it acts in the twin. Writes prediction.json into the checkpoint, with its limit: "
        "prediction_limit -1 uses that. Nothing moves; no ROS graph is needed.",
    )
    made.add_argument("bags", type=Path, nargs="*", metavar="BAG", help="bags, or folders of bags")
    made.add_argument(
        "--twin",
        type=count,
        metavar="N",
        help="in the place of bags: N undisturbed episodes in which the checkpoint acts in the twin",
    )
    made.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="the checkpoint's folder")
    return made


def main(argv: list[str]) -> int:
    """The last line printed is one JSON document: {"bags", "held_out_score", "recommended_limit"}."""
    options = parser().parse_args(argv)
    from gr1_policy import calibration_run

    if bool(options.bags) == bool(options.twin):
        raise Mistake("gr1 calibrate: give bags, or --twin N")
    if options.twin:
        return calibration_run.calibrate_in_twin(options.twin, options.checkpoint)
    return calibration_run.calibrate(options.bags, options.checkpoint)
