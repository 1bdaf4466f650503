"""`gr1 convert calvin|ego4d|lerobot`: what can be asked of these sources; `gr1 convert` itself adds --out and the rest.

Each parser's default `source` is a function: arguments -> Source.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gr1_core.commands.arguments import count


def add(sources, parents: list[ArgumentParser]) -> None:
    """sources: what `add_subparsers` gave; parents: parsers of the options that all sources share."""
    calvin = sources.add_parser(
        "calvin", parents=parents, help="CALVIN: every annotated span becomes an episode"
    )
    calvin.add_argument(
        "src", type=Path, metavar="SRC", help="folder with training/ and validation/, e.g. task_ABCD_D"
    )
    calvin.add_argument(
        "--split", choices=("training", "validation"), default="training", help="default: training"
    )
    calvin.add_argument(
        "--per-task",
        type=count,
        metavar="N",
        help="only N spans of each task: 66 is the paper's 10 %% subset",
    )
    calvin.add_argument("--seed", type=int, default=0, help="which spans --per-task draws (default: 0)")
    calvin.add_argument(
        "--images",
        choices=("jpeg", "png"),
        default="jpeg",
        help="jpeg of quality 95 (default), or png without loss",
    )
    calvin.set_defaults(source=_calvin)

    ego4d = sources.add_parser(
        "ego4d", parents=parents, help="Ego4D: clips of 3 s around the narrations, 3 frames a second"
    )
    ego4d.add_argument(
        "src",
        type=Path,
        metavar="SRC",
        help="folder with v2/annotations/narration.json and v2/full_scale or v2/video_540ss",
    )
    ego4d.add_argument(
        "--clips",
        type=count,
        metavar="N",
        help="only N clips, drawn from all narrations: the paper has 800000",
    )
    ego4d.add_argument("--seed", type=int, default=0, help="which clips --clips draws (default: 0)")
    ego4d.set_defaults(source=_ego4d)

    lerobot = sources.add_parser(
        "lerobot", parents=parents, help="any LeRobotDataset v3.0, mapped to a rig's features; joins several"
    )
    lerobot.add_argument(
        "src",
        type=Path,
        nargs="+",
        metavar="SRC",
        help="folder with meta/info.json; several become one data set",
    )
    lerobot.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="YAML: features -> cameras, state, action (see docs/how-to/convert_datasets.md)",
    )
    lerobot.add_argument(
        "--rig",
        metavar="NAME_OR_FILE",
        help="built-in rig or YAML file (default: the data set's meta/rig.yaml)",
    )
    lerobot.set_defaults(source=_lerobot)


def _calvin(arguments: Namespace):
    from gr1_core.data.convert.sources.calvin import CalvinSource

    return CalvinSource(arguments.src, arguments.split, arguments.per_task, arguments.seed, arguments.images)


def _ego4d(arguments: Namespace):
    from gr1_core.data.convert.sources.ego4d import Ego4DSource

    return Ego4DSource(arguments.src, arguments.clips, arguments.seed)


def _lerobot(arguments: Namespace):
    from gr1_core.data.convert.sources.joined import Joined
    from gr1_core.data.convert.sources.lerobot import LeRobotSource

    sources = [LeRobotSource(root, arguments.mapping, arguments.rig) for root in arguments.src]
    return sources[0] if len(sources) == 1 else Joined(sources)
