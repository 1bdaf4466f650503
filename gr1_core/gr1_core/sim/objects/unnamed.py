"""Meshes of unnamed objects, for training only: no test holds one of them.

They teach the policy that an instruction with an unknown noun is about an object that it does not know
(mutual exclusivity; Markman and Wachtel 1988). collection/single_frame.py says which one of several is the
target.
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.fruit import Meshes
from gr1_core.sim.objects.shapes import facet_count, revolve, smooth_profile


def lump(
    detail: float = 1.0,
    widest: float = 0.0,
    shoulder: float = 0.7,
    foot: float = 0.75,
    lobes: float = 0,
    depth: float = 0.0,
    knob: float = 0.004,
) -> Meshes:
    """Upright; 0.066 m wide, 0.062 m tall without its knob.

    widest: height in metres of the largest radius. shoulder, foot, depth: fractions of that radius.
    """
    radius = 0.033
    points = [
        (1e-4, -0.0300),
        (0.6 * foot * radius, -0.0310),
        (0.45 * (1 + foot) * radius, -0.0220),
        (radius, widest),
        (shoulder * radius, 0.0190),
        (0.5 * shoulder * radius, 0.0280),
        (1e-4, 0.0300),
    ]

    def waves(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        return 1.0 + depth * np.cos(round(lobes) * angle) * np.sin(np.pi * along)

    return {
        "body": revolve(smooth_profile(points, facet_count(22, detail)), facet_count(30, detail), waves),
        "top": _knob(0.0285, knob),
    }


def roll(
    detail: float = 1.0, front: float = 0.8, back: float = 0.8, bend: float = 0.0, knob: float = 0.004
) -> Meshes:
    """On its side; 0.12 m long without its knob, 0.052 m thick.

    front, back: thickness of the halves as factors. bend: shift of the middle in metres.
    """
    radius = 0.026
    points = [
        (1e-4, -0.060),
        (0.6 * back * radius, -0.055),
        (back * radius, -0.034),
        (radius, 0.0),
        (front * radius, 0.034),
        (0.6 * front * radius, 0.055),
        (1e-4, 0.060),
    ]
    return {
        "body": revolve(smooth_profile(points, facet_count(22, detail)), facet_count(24, detail), bend=bend),
        "top": _knob(0.0580, knob),
    }


def _knob(height: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    return revolve(
        [
            (radius, height),
            (0.8 * radius, height + radius),
            (radius, height + 2 * radius),
            (1e-4, height + 2.5 * radius),
        ],
        8,
    )
