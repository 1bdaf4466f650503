"""`gr1 collect sim`: demonstrations of the scripted expert in the twin."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from gr1_core.commands._cluster import add_workers_options, open_cluster
from gr1_core.commands.arguments import (
    Parser,
    checking,
    checkpoint,
    cores,
    count,
    refuse_renamed_options,
    rig,
    tasks,
)
from gr1_core.renamed import OPTIONS

HELP = "record the scripted expert, or a policy that it corrects, in the twin without ROS: bags or a dataset"


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="gr1 collect sim", description=HELP)
    parser.add_argument(
        "--episodes", type=count, required=True, metavar="N", help="in total; the tasks take turns"
    )
    parser.add_argument(
        "--tasks", type=tasks, default="all", metavar="A,B", help="names separated by commas (default: all)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed of the first round of the tasks; each round takes the next (default: 0)",
    )
    parser.add_argument(
        "--to",
        choices=("bags", "dataset"),
        default="bags",
        help="bags, as the rig records them (default), or a dataset",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the bags or of the dataset; an interrupted collection continues",
    )
    parser.add_argument(
        "--vary",
        action="store_true",
        help="dataset only: other objects, appearance and starting poses, and disturbed motions whose labels "
        "stay the expert's",
    )
    parser.add_argument(
        "--policy",
        type=checkpoint,
        metavar="CHECKPOINT",
        help="with --corrections: this policy drives; with --vary: it and the expert drive in turns "
        "(DAgger), without disturbance",
    )
    parser.add_argument(
        "--corrections",
        action="store_true",
        help="bags only: the policy drives, and a scripted operator takes over when it goes wrong",
    )
    parser.add_argument(
        "--mix",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="share of the time that the policy drives, 0..1 (default: 0.5)",
    )
    parser.add_argument(
        "--single-frames",
        type=count,
        default=0,
        metavar="N",
        help="with --vary: N more scenes, of each only the first frame, with the expert's action for each of "
        "three instructions",
    )
    add_workers_options(parser, cores(), "processes", shown="one per core")
    parser.add_argument(
        "--rig", type=rig, default="kinova_gen2", help="built-in rig or YAML file (default: kinova_gen2)"
    )
    parser.add_argument(
        "--images",
        choices=("jpeg", "raw"),
        default="jpeg",
        help="of bags (default: jpeg, quality 95, full colour resolution)",
    )
    refuse_renamed_options(parser, OPTIONS["collect sim"])
    return parser


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    with checking():
        episodes, single_frames, rig = _planned(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.to == "bags":
        return _collect_bags(arguments, episodes, rig)
    return _collect_dataset(arguments, episodes, single_frames, rig)


def _planned(arguments):
    """-> episodes, single frames, rig. Raises ValueError for arguments that do not go together."""
    from gr1_core.rig import Rig
    from gr1_core.sim.collection.bags import CollectError, plan_episodes

    if arguments.seed < 0:
        raise CollectError(f"--seed {arguments.seed}: seeds are whole numbers from 0 up")
    into_dataset = arguments.to == "dataset"
    if into_dataset and arguments.images == "raw":
        raise CollectError("--images raw is for bags: a dataset holds jpeg; leave it out")
    if arguments.corrections and into_dataset:
        raise CollectError("--corrections records bags, which `gr1 convert bags` reads: leave out --to")
    if arguments.corrections and not arguments.policy:
        raise CollectError("--corrections needs a policy that drives: add --policy CHECKPOINT")
    if arguments.policy and not (arguments.vary or arguments.corrections):
        raise CollectError("--policy drives only corrected or varied episodes: add --corrections or --vary")
    if arguments.single_frames and not arguments.vary:
        raise CollectError("--single-frames are of varied scenes: add --vary")
    if arguments.vary and not into_dataset:
        raise CollectError(
            "--vary is for datasets: bags hold what the live stack would have sent; add --to dataset"
        )
    episodes = plan_episodes(arguments.tasks, arguments.episodes, arguments.seed)
    # Their seeds follow those of the episodes, so that no scene occurs twice.
    first, number = episodes[-1].seed + 1, arguments.single_frames
    single_frames = plan_episodes(arguments.tasks, number, first) if number else []
    return episodes, single_frames, Rig.load(arguments.rig)


def _collect_dataset(arguments, episodes, single_frames, rig) -> int:
    from gr1_core.commands._convert import print_summary
    from gr1_core.data.convert import conversion, plan
    from gr1_core.sim.collection.dataset_source import SimulationSource

    plan.check_output_folder(arguments.out)
    began = time.monotonic()
    try:
        source = SimulationSource(
            rig, episodes, arguments.vary, arguments.policy, arguments.mix, single_frames
        )
        if arguments.cluster and source.policy:  # the workers run in other folders
            source.policy = source.policy.absolute()
        with open_cluster(arguments, [source.policy] if source.policy else []) as cluster:
            done = conversion.convert(source, arguments.out, arguments.workers, cluster=cluster)
    except KeyboardInterrupt:
        print("gr1: interrupted; the same command continues", file=sys.stderr)
        raise
    return print_summary(done, f"{time.monotonic() - began:.1f} s")


def _collect_bags(arguments, episodes, rig) -> int:
    from gr1_core.progress import ProgressBar
    from gr1_core.sim.collection.bag_recording import TELEOP
    from gr1_core.sim.collection.bags import collect_bags

    failed, kept, policy = [], 0, arguments.policy
    with (
        open_cluster(arguments, [policy] if policy else []) as cluster,
        ProgressBar("recording", len(episodes)) as bar,
    ):
        settings = rig, arguments.images, arguments.workers, cluster, policy
        results = collect_bags(episodes, arguments.out, *settings)
        for episode, success, new in results:
            failed += [] if success else [episode.name]
            kept += not new
            bar.advance(f"{len(failed)} failed" if failed else "")
    total, successes = len(episodes), len(episodes) - len(failed)
    print(f"{total} episodes in {arguments.out}, {kept} of them from before; {successes} successes")
    if policy:
        from gr1_core.data.bag import Bag

        taken = sum(Bag(arguments.out / one.name).counts.get(TELEOP, 0) > 0 for one in episodes)
        print(f"the operator took over in {taken} of {total} episodes")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 0
