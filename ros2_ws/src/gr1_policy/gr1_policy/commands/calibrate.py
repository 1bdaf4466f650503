"""`gr1 calibrate`: the baseline of a checkpoint's prediction monitor, from undisturbed recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "measure a checkpoint's prediction errors on undisturbed bags, for the prediction monitor"


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 calibrate",
        description="Measure a checkpoint's prediction errors open-loop over bags without a disturbance. "
        "Writes prediction.json into the checkpoint and recommends a prediction_limit. Nothing moves; no "
        "ROS graph is needed.",
    )
    made.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="bags, or folders of bags")
    made.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="the checkpoint's folder")
    return made


def main(argv: list[str]) -> int:
    """The last line printed is one JSON document: {"bags", "held_out_score", "recommended_limit"}."""
    options = parser().parse_args(argv)
    from gr1_policy import calibration_run

    return calibration_run.calibrate(options.bags, options.checkpoint)
