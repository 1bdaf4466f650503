"""The steps of an episode: which of its rows, by their times, a dataset at a lower rate keeps."""

from __future__ import annotations

import numpy as np

from gr1_core.data.convert.sources.source import SourceError
from gr1_core.rig import Rig

NEAR = 0.05
"""A rate that is within this share of another counts as meant to be the same."""
_TIE = 0.01


def output_rate(fps: float, rig: Rig | None, where: str) -> int:
    """The whole frames per second of the converted dataset. fps: of the source.

    Raises SourceError for a rate that cannot be reached from the source's.
    """
    named = f"{fps:g} frames per second"
    if rig is None:
        rate = round(fps)
        if abs(rate - fps) > NEAR * fps:
            raise SourceError(f"{where}: {named}: a dataset has a whole number of frames per second")
        return rate
    hz, whole = rig.control_hz, round(fps)
    if hz != int(hz):
        raise SourceError(
            f"{where}: rig '{rig.name}' has control_hz {hz:g}, a LeRobotDataset needs a whole number"
        )
    if fps < hz * (1 - NEAR):
        raise SourceError(
            f"{where}: {named}, rig '{rig.name}' is at {hz:g}: frames that are not there cannot be made; "
            "use a rig "
            f"with a control_hz of at most {fps:g}"
        )
    if abs(fps - hz) < NEAR * fps and hz != whole:
        raise SourceError(
            f"{where}: {named}, rig '{rig.name}' is at {hz:g}: set control_hz to {max(whole, 1)}, the "
            "nearest "
            "whole rate, or to a clearly lower one"
        )
    return int(hz)


def require_rate(times: np.ndarray, hz: float, fps: float) -> None:
    """Raises SourceError for an episode whose timestamps are farther apart than the steps that are wanted."""
    if len(times) < 3:
        return
    gap = _usual_gap(times)
    if gap > (1 + NEAR) * max(1 / hz, 1 / fps) and gap * hz > 1 + NEAR:
        raise SourceError(
            f"its timestamp column steps by {gap:g} s, meta/info.json says {fps:g} frames per second "
            f"({1 / fps:g} s) and the rig needs {hz:g}: frames that are not there cannot be made; use "
            f"a rig with a control_hz of at most {max(int(1 / gap), 1)}"
        )


def holes(times: np.ndarray, hz: float) -> list[int]:
    """The rows after a hole: no row for more than one and a half periods of the rows or of the steps."""
    if len(times) < 3:
        return []
    gaps = np.diff(times)
    limit = 1.5 * max(_usual_gap(times), 1 / hz)
    return (np.flatnonzero(gaps > limit * (1 + _TIE)) + 1).tolist()


def nearest_rows(times: np.ndarray, hz: float) -> np.ndarray:
    """i64[S]: the row nearest to each step, `hz` steps per second from the first row on; of two equally near
    ones the earlier. times: f64[T] s, ascending, without holes.
    """
    if len(times) == 1:
        return np.zeros(1, np.int64)
    gap = _usual_gap(times)
    # The last row still serves a step that comes up to half a row later.
    steps = int((times[-1] - times[0]) * hz + max(0.49 * min(gap * hz, 1.0), _TIE)) + 1
    wanted = times[0] + np.arange(steps) / hz
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    before = after - 1
    earlier = wanted - times[before] <= times[after] - wanted + _TIE * gap
    return np.where(earlier, before, after)


def _usual_gap(times: np.ndarray) -> float:
    """The mean time between rows. Jitter does not change it; a row that was missed counts as one that is
    there, a hole does not count.
    """
    gaps = np.diff(times)
    gaps = gaps[gaps <= 2.5 * np.median(gaps)]
    periods = np.maximum(np.round(gaps / gaps.mean()), 1)
    return float(gaps.sum() / periods.sum())
