"""An arm's response to a command: distances, directions and times from recorded samples. ROS-free.

Times in s on one clock, positions in m, angles in rad unless a name says otherwise, all in the arm's base
frame.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.spatial.transform import Rotation

MOVED_M, MOVED_RAD = 5e-4, 5e-3
"""Threshold of motion: below every motion commanded here, above the noise of an arm's sensors."""


@dataclass(frozen=True)
class Recording:
    """sent: time of the first command. ended: time of the last one, or of the call of a stop.

    pose f64[n, 8]: stamp, position, quaternion xyzw as measured. twist f64[m, 7]: stamp, linear, angular as
    the gate let it through.
    """

    sent: float
    ended: float
    pose: np.ndarray
    twist: np.ndarray


@dataclass(frozen=True)
class Response:
    """commanded: what the gate let through, integrated; measured: how far it went that way; across: how far
    to the side (mm or deg).

    drift_mm: of the fingertips in a rotation, else 0. gate_ms, motion_ms: from the first command to the
    gate's and to the arm's first motion; rest_ms: from the last command until the gate commands exactly
    zero; settle_ms: from then until the arm stays where it is. nan where it never happened.
    """

    commanded: float
    measured: float
    across: float
    direction_error_deg: float
    drift_mm: float
    gate_ms: float
    motion_ms: float
    rest_ms: float
    settle_ms: float

    def figures(self) -> dict[str, float]:
        return {name: round(float(value), 2) for name, value in asdict(self).items()}


def translation(recording: Recording, direction) -> Response:
    """The response to a motion along the unit vector `direction` f64[3]."""
    positions = recording.pose[:, 1:4] - _before(recording)[1:4]
    commanded = _integral(recording.twist, slice(1, 4))
    return _response(recording, positions, commanded, np.asarray(direction, np.float64), MOVED_M, 1e3)


def rotation(recording: Recording, axis) -> Response:
    """The response to a rotation about the unit vector `axis` f64[3]; degrees instead of millimetres."""
    start = _before(recording)
    turned = (Rotation.from_quat(recording.pose[:, 4:]) * Rotation.from_quat(start[4:]).inv()).as_rotvec()
    commanded = _integral(recording.twist, slice(4, 7))
    drift = float(np.linalg.norm(recording.pose[:, 1:4] - start[1:4], axis=1).max())
    return _response(
        recording, turned, commanded, np.asarray(axis, np.float64), MOVED_RAD, np.degrees(1.0), drift
    )


def rest_after(recording: Recording, moment: float) -> float:
    """Seconds from `moment` until the gate commands exactly zero, for good; nan if it does not within the
    recording.
    """
    moving = recording.twist[:, 1:].any(axis=1)
    if not len(moving) or moving[-1]:
        return float("nan")
    last = np.flatnonzero(moving)
    zero = recording.twist[last[-1] + 1, 0] if len(last) else recording.twist[0, 0]
    return max(float(zero - moment), 0.0)


def travelled_after(recording: Recording, moment: float) -> float:
    """m between where the arm was at `moment` and where it came to rest."""
    at = min(int(np.searchsorted(recording.pose[:, 0], moment)), len(recording.pose) - 1)
    return float(np.linalg.norm(recording.pose[-1, 1:4] - recording.pose[at, 1:4]))


def _response(recording, shifts, commanded, direction, moved, scale, drift=0.0) -> Response:
    final = shifts[-min(5, len(shifts)) :].mean(axis=0)
    along = float(final @ direction)
    across = float(np.linalg.norm(final - along * direction))
    length = float(np.linalg.norm(final))
    off = float(np.degrees(np.arccos(np.clip(along / length, -1.0, 1.0)))) if length > moved else float("nan")
    gate = recording.twist[:, 1:].any(axis=1) & (recording.twist[:, 0] >= recording.sent)
    rest = rest_after(recording, recording.ended)
    return Response(
        commanded=float(commanded @ direction) * scale,
        measured=along * scale,
        across=across * scale,
        direction_error_deg=off,
        drift_mm=1e3 * drift,
        gate_ms=1e3 * (_first(recording.twist[:, 0], gate) - recording.sent),
        motion_ms=1e3
        * (_first(recording.pose[:, 0], np.linalg.norm(shifts, axis=1) > moved) - recording.sent),
        rest_ms=1e3 * rest,
        settle_ms=1e3 * _settled(recording.pose[:, 0], shifts, final, moved, recording.ended + rest),
    )


def _settled(stamps, shifts, final, moved, since) -> float:
    away = np.flatnonzero(np.linalg.norm(shifts - final, axis=1) > moved)
    return max(float(stamps[away[-1]] - since), 0.0) if len(away) else 0.0


def _before(recording: Recording) -> np.ndarray:
    """The last pose before the first command."""
    return recording.pose[max(int(np.searchsorted(recording.pose[:, 0], recording.sent)) - 1, 0)]


def _integral(twist: np.ndarray, columns: slice) -> np.ndarray:
    """Each velocity holds until the next one."""
    return (twist[:-1, columns] * np.diff(twist[:, 0])[:, None]).sum(axis=0)


def _first(stamps: np.ndarray, which: np.ndarray) -> float:
    found = np.flatnonzero(which)
    return float(stamps[found[0]]) if len(found) else float("nan")
