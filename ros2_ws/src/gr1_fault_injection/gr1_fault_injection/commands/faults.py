"""`gr1 faults`: injects every fault into a running simulated stack and measures how it stops."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "inject faults into a simulated stack again and again, and measure how it stops"


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 faults",
        description="Inject every fault into a running simulated stack and measure how it stops "
        "(docs/how-to/inject_faults.md). Exit code: 0 if every run stopped in time and stayed at rest "
        "until it might move, 1 if one did not, 2 for wrong options, 130 after Ctrl-C.",
    )
    made.add_argument("--each", type=int, default=20, help="injections of each fault (default: 20)")
    made.add_argument(
        "--only", default="", help="comma-separated faults, or parts of their names; --list shows them"
    )
    made.add_argument(
        "--out", type=Path, default=Path("out/faults"), help="folder for table and logs (default: out/faults)"
    )
    made.add_argument("--list", action="store_true", help="show the faults and end")
    made.add_argument("--verbose", action="store_true", help="print a line for each injection")
    return made


def main(argv: list[str]) -> int:
    made = parser()
    options = made.parse_args(argv)
    from gr1_fault_injection.catalogue import FAULTS, choose_faults

    if options.list:
        print("\n".join(f"{fault.name:26} {fault.what}" for fault in FAULTS))
        return 0
    if options.each < 1:
        made.error(f"--each: {options.each} is not a number from 1 on")
    try:
        faults = choose_faults(options.only)
    except ValueError as error:
        made.error(f"--only: {error}")
    from gr1_fault_injection import table_run

    return table_run.run(faults, options.each, options.out.absolute(), options.verbose)
