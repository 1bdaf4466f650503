"""Smooth surfaces for the scene, as inline MJCF meshes: no mesh files, every vegetable is a few lines of arithmetic.

All lengths are metres. A surface is a grid of rings around the z axis; `mesh()` turns it into one <mesh> element.
"""

from __future__ import annotations

import numpy as np


def rings(profile, sides: int = 24, lobes=None, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A body of revolution around z.

    profile: pairs (radius, z) from bottom to top. lobes: function of (angle, fraction along the profile) -> radius factor, for peppers
    and florets. bend: sideways shift of the middle along x, metres, for fruit that is not straight.
    Returns vertices f64[n, 3] and triangles int[m, 3], counter-clockwise seen from outside.
    """
    profile = np.asarray(profile, np.float64)
    count = len(profile)
    angle = np.arange(sides) * (2 * np.pi / sides)
    along = np.linspace(0.0, 1.0, count)
    radius = np.repeat(profile[:, :1], sides, axis=1)
    if lobes is not None:
        radius = radius * lobes(angle[None, :], along[:, None])
    vertices = np.stack(
        [
            radius * np.cos(angle) + (bend * np.sin(np.pi * along))[:, None],
            radius * np.sin(angle),
            np.repeat(profile[:, 1:], sides, axis=1),
        ],
        axis=-1,
    ).reshape(-1, 3)
    low = np.arange(count - 1)[:, None] * sides + np.arange(sides)[None, :]
    right = np.arange(count - 1)[:, None] * sides + (np.arange(sides)[None, :] + 1) % sides
    faces = np.concatenate(
        [
            np.stack([low, right, right + sides], -1).reshape(-1, 3),
            np.stack([low, right + sides, low + sides], -1).reshape(-1, 3),
        ]
    )
    return vertices, faces


def smooth(points, steps: int = 24) -> np.ndarray:
    """A curve through control points (radius, z): monotone cubic between them, sampled in `steps` rings."""
    from scipy.interpolate import PchipInterpolator

    points = np.asarray(points, np.float64)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return PchipInterpolator(length, points)(np.linspace(0.0, length[-1], steps))


def rounded(
    radius: float, bottom: float, top: float, edge: float, end_radius: float | None = None
) -> np.ndarray:
    """Profile of a tube whose ends are rounded off with `edge`; it tapers from `radius` to `end_radius`."""
    end_radius = radius if end_radius is None else end_radius
    turn = np.linspace(0.0, np.pi / 2, 4)
    low = [(radius - edge + edge * np.sin(a), bottom + edge - edge * np.cos(a)) for a in turn]
    high = [(end_radius - edge + edge * np.cos(a), top - edge + edge * np.sin(a)) for a in turn]
    return np.array([(1e-4, bottom), *low, *high, (1e-4, top)])


def mesh(name: str, surface: tuple[np.ndarray, np.ndarray]) -> str:
    """One <mesh> with its origin kept where the vertices say it is."""
    vertices, faces = surface
    return f'<mesh name="{name}" inertia="shell" vertex="{_numbers(vertices)}" face="{" ".join(map(str, faces.ravel()))}"/>'


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.5f}" for value in values.ravel())


def facets(number: int, detail: float) -> int:
    """How many facets or rings a surface gets that has `number` at detail 1."""
    return max(6, round(number * detail))


# The vegetables, each standing or lying as it does on a table, origin at the middle of its collision body


def eggplant(detail: float = 1.0, neck: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Lies along z of its own frame (the body turns it onto its side); about 0.14 m long, 0.054 m thick at its belly.

    neck: factor on the thickness of its upper half.
    """
    points = [
        (1e-4, -0.062),
        (0.015, -0.058),
        (0.0255, -0.040),
        (0.0270, -0.018),
        (0.0225 * neck, 0.010),
        (0.0175 * neck, 0.032),
        (0.0140 * neck, 0.046),
        (1e-4, 0.053),
    ]
    fruit = smooth(points, facets(22, detail))
    sides, edge = 30, np.array([0.030, 0.034, 0.038, 0.044, 0.050])
    cap = np.array([(0.0, z) for z in edge] + [(0.0070, 0.0545), (1e-4, 0.0555)])
    calyx, faces = rings(cap, sides)
    # Five tongues reach down the fruit; the cap lies a millimetre and a half outside it.
    ring, angle = np.divmod(np.arange(len(calyx)), sides)
    calyx[:, 2] -= 0.011 * np.cos(5 * angle * (2 * np.pi / sides)) * np.clip(1 - ring / 3, 0, 1)
    on_fruit = ring < len(edge)
    dense = smooth(points, 200)[20:]
    dense = dense[np.argsort(dense[:, 1])]
    radius = np.interp(calyx[:, 2], dense[:, 1], dense[:, 0]) + 0.0015
    calyx[on_fruit, 0] = (radius * np.cos(angle * (2 * np.pi / sides)))[on_fruit]
    calyx[on_fruit, 1] = (radius * np.sin(angle * (2 * np.pi / sides)))[on_fruit]
    stem = smooth([(0.0056, 0.050), (0.0044, 0.060), (0.0054, 0.072), (1e-4, 0.0735)], 7)
    return {"body": rings(fruit, facets(24, detail)), "calyx": (calyx, faces), "stem": rings(stem, 8)}


def pepper(
    detail: float = 1.0, lobes: int = 4, groove: float = 0.075
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stands upright: lobes, `groove` of the radius deep, and a dimple on top with a curved stem; 0.068 m wide, 0.07 m tall."""
    body = smooth(
        [
            (1e-4, -0.029),
            (0.012, -0.034),
            (0.022, -0.033),
            (0.029, -0.020),
            (0.033, 0.004),
            (0.0335, 0.018),
            (0.028, 0.031),
            (0.017, 0.034),
            (0.007, 0.028),
            (1e-4, 0.026),
        ],
        facets(26, detail),
    )

    def waves(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        return 1.0 + groove * np.cos(lobes * angle) * np.sin(np.pi * np.clip(along * 1.05, 0, 1)) ** 0.5

    stem = smooth([(0.009, 0.0265), (0.0055, 0.030), (0.0042, 0.038), (0.0050, 0.046), (1e-4, 0.0465)], 10)
    return {"body": rings(body, facets(32, detail), waves), "stem": rings(stem, 8, bend=0.003)}


def broccoli(detail: float = 1.0, florets: float = 46) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Stands on its cut stalk; the crown is a dome of florets; 0.074 m wide, 0.088 m tall."""
    stalk = smooth(
        [
            (1e-4, -0.040),
            (0.0185, -0.040),
            (0.0195, -0.036),
            (0.0165, -0.020),
            (0.0175, -0.006),
            (0.026, 0.012),
            (1e-4, 0.014),
        ],
        10,
    )
    dome = smooth(
        [
            (1e-4, 0.000),
            (0.020, -0.003),
            (0.033, 0.004),
            (0.037, 0.016),
            (0.034, 0.030),
            (0.022, 0.042),
            (1e-4, 0.047),
        ],
        facets(24, detail),
    )
    vertices, faces = rings(dome, facets(40, detail))
    # Florets: bumps on a sunflower's spiral over the dome, each pushing the surface outwards where it is nearest.
    count = round(florets)
    index = np.arange(count)
    height = 1.0 - index / (count - 1) * 1.25
    turn = index * np.pi * (3 - 5**0.5)
    spread = np.sqrt(np.clip(1 - height**2, 0, 1))
    centres = np.stack([spread * np.cos(turn), spread * np.sin(turn), height], -1)
    middle = np.array([0.0, 0.0, 0.014])
    direction = (vertices - middle) / np.array([0.037, 0.037, 0.033])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
    gap = np.sqrt(np.min(np.sum((direction[:, None] - centres[None]) ** 2, -1), axis=1))
    bump = 0.0045 * np.sqrt(np.clip(1 - (gap / (0.26 * np.sqrt(46 / count))) ** 2, 0, 1)) - 0.0025
    vertices = vertices + direction * bump[:, None]
    return {
        "stalk": rings(stalk, 12, lambda angle, along: 1.0 + 0.06 * np.cos(5 * angle)),
        "crown": (vertices, faces),
    }


def plate(detail: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A dinner plate, 0.19 m across, 0.014 m high, origin at its foot's underside."""
    profile = smooth(
        [
            (1e-4, 0.000),
            (0.055, 0.000),
            (0.060, 0.002),
            (0.093, 0.0125),
            (0.095, 0.0140),
            (0.092, 0.0150),
            (0.068, 0.0075),
            (0.060, 0.0055),
            (1e-4, 0.0050),
        ],
        facets(26, detail),
    )
    return {"body": rings(profile, facets(44, detail))}


def mug(detail: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A mug, 0.074 m wide, 0.08 m high, with its inside; the handle is the scene's."""
    wall = [
        (1e-4, 0.0),
        (0.034, 0.0),
        (0.037, 0.004),
        (0.037, 0.079),
        (0.0355, 0.080),
        (0.034, 0.079),
        (0.0335, 0.006),
        (1e-4, 0.005),
    ]
    return {"body": rings(wall, facets(36, detail))}


def bottle(detail: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A bottle with a cap, 0.064 m wide, 0.175 m high."""
    wall = [
        (1e-4, 0.0),
        (0.029, 0.0),
        (0.032, 0.004),
        (0.032, 0.095),
        (0.029, 0.112),
        (0.0125, 0.140),
        (0.0115, 0.156),
        (1e-4, 0.157),
    ]
    cap = [(1e-4, 0.154), (0.0135, 0.154), (0.0135, 0.174), (0.0125, 0.175), (1e-4, 0.175)]
    return {"body": rings(wall, facets(30, detail)), "cap": rings(cap, facets(24, detail))}
