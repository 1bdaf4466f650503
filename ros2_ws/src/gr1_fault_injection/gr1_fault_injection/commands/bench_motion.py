"""`gr1 bench motion`: the motion loop while processes around it are killed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "the arm's motion loop while processes around it are killed: longest period, stalls"
_DESCRIPTION = (
    "Start the simulated arm's node, kill policy, camera and listener processes beside it at random moments, "
    "and measure the motion loop. The last line is one JSON document. Exit code: 0 without a stall, 1 with "
    "one or where the bench could not run."
)


def parser() -> argparse.ArgumentParser:
    made = Parser(prog="gr1 bench motion", description=_DESCRIPTION)
    made.add_argument("--kills", type=int, default=300, help="processes to kill (default: 300)")
    made.add_argument("--seconds", type=float, default=1e9, help="end after so many seconds at the latest")
    made.add_argument("--out", default="out/bench-motion", help="folder for logs (default: out/bench-motion)")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    if options.kills < 1:
        parser().error(f"--kills: {options.kills} is not a number above 0")
    from gr1_fault_injection import motion_bench

    folder = Path(options.out).absolute()
    try:
        figures = motion_bench.run(options.kills, options.seconds, folder, _say)
    except motion_bench.BenchError as error:
        print(f"gr1 bench motion: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 1 if figures["stalls"] else 0


def _say(text: str) -> None:
    print(text, flush=True)
