"""The `gr1` command. Each command imports what it needs when it runs, so that `gr1 --help` answers at once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_UP = "start the stack: cameras, arm, policy (see `gr1 up --help`)"


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["up"]:
        return _up(argv[1:])
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"gr1: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gr1", description="GR-1 on a real robot, from demonstration to deployed policy.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("up", help=_UP, add_help=False)

    official = commands.add_parser("import-official", help="make a checkpoint folder of ByteDance's published weights")
    official.add_argument("--snapshot", type=Path, required=True, metavar="FILE", help="snapshot_ABCD.pt or snapshot_ABC.pt")
    official.add_argument("--mae", type=Path, metavar="FILE", help="mae_pretrain_vit_base.pth, if the snapshot does not hold it")
    official.add_argument(
        "--clip",
        type=Path,
        metavar="FILE_OR_DIR",
        help="CLIP ViT-B/32, OpenAI's file or transformers' folder, if the snapshot does not hold it",
    )
    official.add_argument("--config", type=Path, metavar="FILE", help="in the layout of ByteDance's configs.json (default: the paper's)")
    official.add_argument("--rig", default="calvin", help="built-in rig or YAML file that the weights were trained on (default: calvin)")
    official.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to write")
    official.set_defaults(run=_import_official)

    bench = commands.add_parser("bench", help="measure speed, as ratios within one run").add_subparsers(required=True, metavar="WHAT")
    policy = bench.add_parser("policy", help="the cached control step against the plain full-window loop, on the CPU")
    policy.add_argument("--config", choices=("paper", "demo"), default="paper", help="sizes, with random weights (default: paper)")
    policy.add_argument("--checkpoint", type=Path, metavar="DIR", help="measure this checkpoint instead")
    policy.add_argument("--rig", default="calvin", help="rig whose frame sizes are used with --config (default: calvin)")
    policy.add_argument("--threads", type=_count, default=2, help="(default: 2)")
    policy.add_argument("--rounds", type=_count, default=7, help="how often the variants take turns (default: 7)")
    policy.set_defaults(run=_bench_policy)
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def _up(argv: list[str]) -> int:
    try:
        from gr1_bringup.up import main as up
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("gr1_bringup", "gr1_robot", "gr1_policy", "rclpy"):
            raise
        print(
            f"gr1: `gr1 up` needs the ROS 2 packages, {error.name} is not installed here: run `make setup` in the repository "
            "(or build ros2_ws with colcon and source its install/setup.bash)",
            file=sys.stderr,
        )
        return 1
    return up(argv)


def _import_official(arguments) -> int:
    from gr1_core.model.official import import_official

    config = import_official(arguments.snapshot, arguments.out, arguments.mae, arguments.clip, arguments.config, arguments.rig)
    print(f"{arguments.out}: GR-1 of width {config.width} and {config.layers} layers, rig {arguments.rig}")
    return 0


def _bench_policy(arguments) -> int:
    from gr1_core.bench import policy

    policy.run(arguments.config, arguments.checkpoint, arguments.rig, arguments.threads, arguments.rounds)
    return 0
