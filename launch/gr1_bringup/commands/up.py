"""`gr1 up`: the whole stack from one command, without `ros2 launch`."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from datetime import datetime
from pathlib import Path

from gr1_core.commands import arguments as common
from gr1_core.commands.arguments import Parser

HELP = "start the stack: cameras, arm, policy; simulated or real"
_DESCRIPTION = (
    "Start the GR-1 stack. Every --name VALUE may also be written name:=value. Exit code: 0 after a clean "
    "end, 1 when a node has ended by itself or the stack did not start, 2 for options that cannot be used."
)
_WIDTH = 100
"""Columns of tables that go to a file or a pipe."""


def parser() -> argparse.ArgumentParser:
    """The stack's arguments, those of a run, and those of the installed extensions."""
    from gr1_bringup import arguments, renamed
    from gr1_bringup.extension import load_extensions

    made = Parser(prog="gr1 up", description=_DESCRIPTION)
    for argument in arguments.ARGUMENTS:
        flag = {"nargs": "?", "const": "true"} if argument.choices == arguments.TRUE_FALSE else {}
        default = f" (default: {argument.default})" if argument.default else ""
        choices = f" ({', '.join(filter(None, argument.choices))})" if argument.choices and not flag else ""
        made.add_argument(
            f"--{argument.name.replace('_', '-')}",
            default=argument.default,
            metavar="BOOL" if flag else argument.name.upper(),
            help=f"{argument.description}{choices}{default}",
            **flag,
        )
    made.add_argument(
        "--seconds", type=_duration, help="end after so many seconds, counted from when all nodes are up"
    )
    made.add_argument("--out", help="folder for logs, parameters and video (default: out/run-<time>)")
    made.add_argument("--video", help="file for the video (default: video.mp4 in that folder)")
    made.add_argument("--no-video", action="store_true", help="record no video")
    made.add_argument("--no-table", action="store_true", help="print lines instead of the live table")
    for extension in load_extensions().values():
        extension.add_arguments(made)
    common.refuse_renamed_options(made, renamed.OPTIONS)
    return made


def main(argv: list[str]) -> int:
    """Runs the stack; 0 after a clean end, 1 when a node died or the stack did not come up, 2 for wrong
    arguments.
    """
    options = parser().parse_args([_option(word) for word in argv])
    from gr1_bringup import processes, stack
    from gr1_bringup.arguments import ARGUMENTS, SettingError
    from gr1_bringup.extension import load_extensions

    try:
        chosen = stack.settings(**{argument.name: getattr(options, argument.name) for argument in ARGUMENTS})
        prepared = [extension.prepare(options, chosen) for extension in load_extensions().values()]
        for node in stack.nodes(chosen):
            processes.program(node)
        folder = Path(options.out or f"out/run-{datetime.now():%Y%m%d-%H%M%S}").absolute()
        _check_video(options, folder)
        _make_folder("--out", folder)
        if chosen["record"] == "true":
            _make_folder("--bags", Path(chosen["bags"]))
    except SettingError as error:
        print(f"gr1 up: {error}", file=sys.stderr)
        return 2
    from rich.console import Console

    from gr1_bringup.run import Run, RunOptions

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    video = None if options.no_video else Path(options.video or folder / "video.mp4").absolute()
    run = RunOptions(folder, video, options.seconds, table=not options.no_table)
    return Run(chosen, run, console, [one for one in prepared if one]).run()


def _duration(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"'{word}' is not a number of seconds above 0")
    return seconds


def _check_video(options: argparse.Namespace, folder: Path) -> None:
    """Refuses a video file that could not be written. The default one, in the run's own folder, needs no
    check.
    """
    if options.no_video or not options.video:
        return
    from gr1_bringup import run_video
    from gr1_bringup.arguments import SettingError

    file = Path(options.video).absolute()
    if file.parent != folder and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise SettingError(f"--video: no folder '{file.parent}' that can be written to")
    if file.is_dir():
        raise SettingError(f"--video: '{file}' is a folder; give a file such as video.mp4 in it")
    try:
        run_video.check_writable(file)
    except (ValueError, OSError) as error:
        raise SettingError(
            f"--video: '{file.name}' cannot be written: {error}; use a name that ends in .mp4"
        ) from error


def _make_folder(option: str, folder: Path) -> None:
    from gr1_bringup.arguments import SettingError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{option}: no folder '{folder}' can be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingError(f"{option}: nothing can be written into '{folder}'")


def _option(word: str) -> str:
    """`name:=value`, as `ros2 launch` has it -> `--name=value`."""
    match = re.fullmatch(r"([a-z_]+):=(.*)", word, re.DOTALL)
    return f"--{match[1].replace('_', '-')}={match[2]}" if match else word
