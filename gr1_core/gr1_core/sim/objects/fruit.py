"""Meshes of the test categories: fruit and vegetables that no demonstration holds. Parts by name, metres.

An elongated object is modelled along z with its top at +z. Its body turns it onto its side, so that y of this
frame points down.
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.objects.shapes import facet_count, revolve, smooth_profile

Meshes = dict[str, tuple[np.ndarray, np.ndarray]]


def merge_meshes(*surfaces: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Joins several meshes into one."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in surfaces[:-1]])
    return np.concatenate([vertices for vertices, _ in surfaces]), np.concatenate(
        [faces + at for at, (_, faces) in zip(starts, surfaces)]
    )


def _leaf(base, tip, width: float) -> tuple[np.ndarray, np.ndarray]:
    """A flat leaf from `base` to `tip`, xyz and width in metres."""
    base, along = np.asarray(base, np.float64), np.subtract(tip, base)
    vertices, faces = revolve([(1e-4, 0.0), (0.5 * width, 0.35), (0.4 * width, 0.65), (1e-4, 1.0)], 8)
    across = np.cross(
        along, [0.0, 0.0, 1.0] if np.hypot(*along[:2]) > 0.3 * abs(along[2]) else [1.0, 0.0, 0.0]
    )
    across /= np.linalg.norm(across)
    up = np.cross(across, along) / np.linalg.norm(along)
    return base + vertices[:, :1] * across + 0.2 * vertices[:, 1:2] * up + vertices[:, 2:] * along, faces


def tomato(detail: float = 1.0) -> Meshes:
    """Upright: a flattened ball, slightly ribbed, with a green star on top; 0.066 m wide, 0.054 m tall."""
    points = [
        (1e-4, -0.0255),
        (0.014, -0.0270),
        (0.026, -0.0200),
        (0.033, -0.0030),
        (0.031, 0.0120),
        (0.022, 0.0230),
        (0.010, 0.0260),
        (1e-4, 0.0230),
    ]
    body = revolve(
        smooth_profile(points, facet_count(22, detail)),
        facet_count(30, detail),
        lobes=lambda angle, along: 1.0 + 0.018 * np.cos(6 * angle),
    )
    turns = np.arange(5) * 2 * np.pi / 5
    star = [_leaf((0.0, 0.0, 0.0255), (0.024 * np.cos(a), 0.024 * np.sin(a), 0.0280), 0.011) for a in turns]
    stem = revolve([(0.0030, 0.023), (0.0026, 0.036), (1e-4, 0.0365)], 8)
    return {"body": body, "top": merge_meshes(*star, stem)}


def peach(detail: float = 1.0) -> Meshes:
    """Upright: a ball with a cleft, a dimple, a stem and a leaf; 0.066 m wide, 0.062 m tall."""
    points = [
        (1e-4, -0.0290),
        (0.010, -0.0310),
        (0.023, -0.0240),
        (0.033, -0.0020),
        (0.0305, 0.0150),
        (0.019, 0.0270),
        (0.008, 0.0290),
        (1e-4, 0.0240),
    ]

    def cleft(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        return 1.0 - 0.13 * np.exp(-(((angle - 1.5 * np.pi) / 0.30) ** 2)) * np.sin(
            np.pi * np.clip(along * 1.1 - 0.1, 0, 1)
        )

    stem = revolve([(0.0020, 0.022), (0.0018, 0.036), (1e-4, 0.0365)], 8)
    leaf = _leaf((0.002, 0.0, 0.031), (0.036, 0.016, 0.036), 0.020)
    return {
        "body": revolve(
            smooth_profile(points, facet_count(24, detail)), facet_count(36, detail), lobes=cleft
        ),
        "top": merge_meshes(stem, leaf),
    }


def carrot(detail: float = 1.0) -> Meshes:
    """On its side, leaves at the thick end; 0.125 m long without leaves, 0.038 m thick."""
    points = [
        (1e-4, -0.078),
        (0.0030, -0.076),
        (0.0090, -0.050),
        (0.0150, -0.010),
        (0.0185, 0.025),
        (0.0190, 0.036),
        (0.0120, 0.045),
        (1e-4, 0.046),
    ]
    profile = smooth_profile(points, facet_count(24, detail))
    vertices, faces = revolve(
        profile,
        facet_count(24, detail),
        lobes=lambda angle, along: 1.0 + 0.02 * np.cos(3 * angle) * np.sin(40 * along),
    )
    vertices[:, 1] += 0.0190 - np.repeat(
        profile[:, 0], facet_count(24, detail)
    )  # the whole side touches the table
    leaves = [
        _leaf(
            (0.004 * np.cos(a), 0.004 * np.sin(a), 0.043),
            (0.020 * np.cos(a), 0.013 * np.sin(a), 0.043 + reach),
            0.011,
        )
        for a, reach in zip(np.arange(6) * 2 * np.pi / 6, (0.034, 0.028, 0.036, 0.030, 0.034, 0.027))
    ]
    return {"body": (vertices, faces), "top": merge_meshes(*leaves)}


def banana(detail: float = 1.0) -> Meshes:
    """On its side, bent towards +x, five-edged, a stem at one end; 0.155 m long, 0.035 m thick."""
    points = [
        (1e-4, -0.070),
        (0.0060, -0.068),
        (0.0120, -0.056),
        (0.0168, -0.028),
        (0.0175, 0.000),
        (0.0165, 0.028),
        (0.0110, 0.054),
        (0.0060, 0.064),
    ]
    body = revolve(
        np.concatenate([smooth_profile(points, facet_count(26, detail)), [(1e-4, 0.064)]]),
        facet_count(30, detail),
        lobes=lambda angle, along: 1.0 + 0.035 * np.cos(5 * angle + np.pi),
    )
    tip = revolve([(1e-4, -0.0725), (0.0050, -0.0720), (0.0062, -0.0670), (1e-4, -0.066)], 10)
    stem = revolve(
        [(0.0063, 0.0630), (0.0046, 0.0700), (0.0046, 0.0820), (0.0056, 0.0850), (1e-4, 0.0855)], 10
    )
    ends = merge_meshes(tip, stem)
    for vertices, _ in (body, ends):
        vertices[:, 0] += 0.022 * (vertices[:, 2] / 0.075) ** 2
    return {"body": body, "top": ends}


def lemon(detail: float = 1.0) -> Meshes:
    """On its side: a tip at one end, a short stem at the other; 0.083 m long, 0.054 m thick."""
    points = [
        (1e-4, -0.0420),
        (0.0050, -0.0405),
        (0.0085, -0.0350),
        (0.0190, -0.0245),
        (0.0270, 0.0000),
        (0.0215, 0.0220),
        (0.0110, 0.0330),
        (0.0070, 0.0365),
        (1e-4, 0.0375),
    ]
    stem = revolve([(0.0040, 0.0360), (0.0034, 0.0400), (1e-4, 0.0402)], 8)
    return {
        "body": revolve(smooth_profile(points, facet_count(26, detail)), facet_count(28, detail)),
        "top": stem,
    }


def potato(detail: float = 1.0) -> Meshes:
    """On its side: an irregular oval with a few eyes; 0.095 m long, 0.056 m wide, 0.05 m high."""
    points = [
        (1e-4, -0.048),
        (0.015, -0.043),
        (0.026, -0.022),
        (0.028, 0.002),
        (0.0255, 0.024),
        (0.014, 0.042),
        (1e-4, 0.047),
    ]

    def lumps(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        return 1.0 + 0.030 * np.cos(2 * angle + 5 * along) + 0.030 * np.cos(3 * angle - 4 * along + 1.0)

    vertices, faces = revolve(
        smooth_profile(points, facet_count(24, detail)), facet_count(30, detail), lobes=lumps
    )
    vertices[:, 1] *= 0.90
    eyes = [
        _leaf((x - 0.003, -0.0225 - 0.001, z), (x + 0.003, -0.0225 - 0.001, z), 0.004)
        for x, z in ((0.004, 0.012), (-0.008, -0.015))
    ]
    return {"body": (vertices, faces), "top": merge_meshes(*eyes)}
