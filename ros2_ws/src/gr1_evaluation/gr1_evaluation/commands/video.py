"""`gr1 video`: the video of an evaluation, drawn again from a run's recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from gr1_core.commands.arguments import Parser

HELP = "draw the video of a run of gr1 up --evaluate again, at any quality, as .mp4 or .gif"


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 video",
        description="Draw a video from the recording of a run of gr1 up --evaluate. A .gif has half the "
        "frames, at twice the real speed.",
    )
    made.add_argument("recording", type=Path, help="recording.npz in the run's folder")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="the video, .mp4 or .gif")
    made.add_argument(
        "--rig", default="kinova_gen2_small", help="the rig that the run had (default: kinova_gen2_small)"
    )
    made.add_argument(
        "--quality",
        choices=("live", "video", "fine"),
        default="video",
        help="of the view from outside (default: video)",
    )
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    from gr1_core import Rig
    from gr1_core.sim.gallery import write_gif
    from gr1_evaluation import evaluation_video
    from gr1_evaluation.rollout_recording import Recording

    recording, rig = Recording.load(options.recording), Rig.load(options.rig)
    if options.out.suffix == ".gif":
        frames = [image for _, image in evaluation_video.frames(recording, rig, options.quality)]
        write_gif(options.out, frames[::2], round(1 / recording.period))
    else:
        evaluation_video.write_video(options.out, recording, rig, options.quality)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0
