"""Procedural meshes of the scene, written inline into the MJCF: there are no mesh files.

A mesh is (vertices f64[n, 3] in metres, triangles int[m, 3]): a grid of rings around the z axis. `mesh_xml`
turns it into one <mesh> element. detail: factor on the number of facets and rings.
"""

from __future__ import annotations

import numpy as np


def revolve(profile, sides: int = 24, lobes=None, bend: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A surface of revolution around z.

    profile: pairs (radius, z) from bottom to top. lobes: function of (angle, fraction along the profile) ->
    factor on the radius. bend: shift of the middle along x in metres. Returns vertices and triangles,
    counter-clockwise seen from outside.
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


def smooth_profile(points, steps: int = 24) -> np.ndarray:
    """Monotone cubic curve through control points (radius, z), sampled at `steps` rings."""
    from scipy.interpolate import PchipInterpolator

    points = np.asarray(points, np.float64)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return PchipInterpolator(length, points)(np.linspace(0.0, length[-1], steps))


def rounded_profile(
    radius: float, bottom: float, top: float, edge: float, end_radius: float | None = None
) -> np.ndarray:
    """Profile of a tube that tapers from `radius` to `end_radius`, with ends rounded by `edge`."""
    end_radius = radius if end_radius is None else end_radius
    turn = np.linspace(0.0, np.pi / 2, 4)
    low = [(radius - edge + edge * np.sin(a), bottom + edge - edge * np.cos(a)) for a in turn]
    high = [(end_radius - edge + edge * np.cos(a), top - edge + edge * np.sin(a)) for a in turn]
    return np.array([(1e-4, bottom), *low, *high, (1e-4, top)])


def mesh_xml(name: str, surface: tuple[np.ndarray, np.ndarray]) -> str:
    """One <mesh> element. The origin of the vertices is kept."""
    vertices, faces = surface
    vertex, face = _format_numbers(vertices), " ".join(map(str, faces.ravel()))
    return f'<mesh name="{name}" inertia="shell" vertex="{vertex}" face="{face}"/>'


def _format_numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.5f}" for value in values.ravel())


def facet_count(number: int, detail: float) -> int:
    """Number of facets or rings at a level of detail; `number` is that at detail 1."""
    return max(6, round(number * detail))


# The vegetables. The origin is the middle of the collision body.


def eggplant(detail: float = 1.0, neck: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Along z of its own frame; the body turns it onto its side. About 0.14 m long, 0.054 m thick.

    neck: factor on the thickness of the upper half.
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
    fruit = smooth_profile(points, facet_count(22, detail))
    sides, edge = 30, np.array([0.030, 0.034, 0.038, 0.044, 0.050])
    cap = np.array([(0.0, z) for z in edge] + [(0.0070, 0.0545), (1e-4, 0.0555)])
    calyx, faces = revolve(cap, sides)
    # Five tongues reach down the fruit; the cap is 1.5 mm outside it.
    ring, angle = np.divmod(np.arange(len(calyx)), sides)
    calyx[:, 2] -= 0.011 * np.cos(5 * angle * (2 * np.pi / sides)) * np.clip(1 - ring / 3, 0, 1)
    on_fruit = ring < len(edge)
    dense = smooth_profile(points, 200)[20:]
    dense = dense[np.argsort(dense[:, 1])]
    radius = np.interp(calyx[:, 2], dense[:, 1], dense[:, 0]) + 0.0015
    calyx[on_fruit, 0] = (radius * np.cos(angle * (2 * np.pi / sides)))[on_fruit]
    calyx[on_fruit, 1] = (radius * np.sin(angle * (2 * np.pi / sides)))[on_fruit]
    stem = smooth_profile([(0.0056, 0.050), (0.0044, 0.060), (0.0054, 0.072), (1e-4, 0.0735)], 7)
    return {
        "body": revolve(fruit, facet_count(24, detail)),
        "calyx": (calyx, faces),
        "stem": revolve(stem, 8),
    }


def pepper(
    detail: float = 1.0, lobes: int = 4, groove: float = 0.075
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Upright: lobes that are `groove` of the radius deep, a dimple with a curved stem; 0.068 m wide, 0.07 m
    tall.
    """
    body = smooth_profile(
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
        facet_count(26, detail),
    )

    def waves(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        return 1.0 + groove * np.cos(lobes * angle) * np.sin(np.pi * np.clip(along * 1.05, 0, 1)) ** 0.5

    stem = smooth_profile(
        [(0.009, 0.0265), (0.0055, 0.030), (0.0042, 0.038), (0.0050, 0.046), (1e-4, 0.0465)], 10
    )
    return {"body": revolve(body, facet_count(32, detail), waves), "stem": revolve(stem, 8, bend=0.003)}


def broccoli(detail: float = 1.0, florets: float = 46) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Upright on its stalk; the crown is a dome of florets; 0.074 m wide, 0.088 m tall."""
    stalk = smooth_profile(
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
    dome = smooth_profile(
        [
            (1e-4, 0.000),
            (0.020, -0.003),
            (0.033, 0.004),
            (0.037, 0.016),
            (0.034, 0.030),
            (0.022, 0.042),
            (1e-4, 0.047),
        ],
        facet_count(24, detail),
    )
    vertices, faces = revolve(dome, facet_count(40, detail))
    # Florets: bumps on a sunflower spiral over the dome; each moves the nearest part of the surface outwards.
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
        "stalk": revolve(stalk, 12, lambda angle, along: 1.0 + 0.06 * np.cos(5 * angle)),
        "crown": (vertices, faces),
    }


def plate(detail: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A plate, 0.19 m in diameter, 0.014 m high; the origin is at its underside."""
    profile = smooth_profile(
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
        facet_count(26, detail),
    )
    return {"body": revolve(profile, facet_count(44, detail))}


def mug(detail: float = 1.0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A mug with an inside, 0.074 m wide, 0.08 m high; bodies.py adds the handle."""
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
    return {"body": revolve(wall, facet_count(36, detail))}


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
    return {"body": revolve(wall, facet_count(30, detail)), "cap": revolve(cap, facet_count(24, detail))}
