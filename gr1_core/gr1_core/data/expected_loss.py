"""What conversion would leave out of a recording that still runs, from the times of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gr1_core.data.steps import StreamTimes, longest_span, step_times
from gr1_core.rig import ROLES, Rig


@dataclass(frozen=True)
class Loss:
    """What conversion would leave out of a recording that still runs.

    steps: control steps so far. kept: those in the longest part without a gap. repeated: the largest share of
    kept steps for which a camera has no new frame. stream: the worst one. hz: its measured rate.
    """

    steps: int
    kept: int
    repeated: float
    stream: str
    hz: float


def expected_loss(
    streams: Mapping[str, tuple[np.ndarray, np.ndarray]], commands: np.ndarray, rig: Rig
) -> Loss | None:
    """The selection of `select_steps` on times alone. None before the first command.

    streams: "static", "wrist", "arm/pose", "arm/gripper" -> (sent, stamps), i64[n] ns each. commands: i64[m]
    ns, when twists were sent.
    """
    if not streams or len(commands) == 0 or any(len(sent) == 0 for sent, _ in streams.values()):
        return None
    period = round(1e9 * rig.period)
    starts = step_times(int(commands.min()), int(commands.max()), period)
    valid, newest = {}, {}
    for name, (sent, stamps) in streams.items():
        stream = StreamTimes()
        stream.sent, stream.stamps = sent, stamps
        age = rig.cameras[name].max_age if name in ROLES else rig.state.max_age
        newest[name], ages = stream.newest(starts)
        valid[name] = ages <= age * 1e9
    keep = longest_span(np.logical_and.reduce(list(valid.values())))
    kept = keep.stop - keep.start
    repeats = {name: _repeats(newest[name][keep]) for name in streams if name in ROLES}
    worst = min(valid, key=lambda name: (valid[name].mean(), -repeats.get(name, 0.0)))
    sent = np.sort(streams[worst][0])
    hz = float((len(sent) - 1) / max((sent[-1] - sent[0]) * 1e-9, 1e-6)) if len(sent) > 1 else 0.0
    return Loss(len(starts), kept, max(repeats.values(), default=0.0), worst, hz)


def _repeats(frames: np.ndarray) -> float:
    return float((np.diff(frames) == 0).mean()) if len(frames) > 1 else 0.0
