"""MJCF of the objects: meshes, materials and bodies of the slots and of the distractors.

Contacts use the collision geoms; the meshes are visual only. Metres; geoms are given in the frame of their
body.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from gr1_core.sim.objects import fruit, shapes, unnamed
from gr1_core.sim.objects.catalogue import CATEGORIES, SLOTS, Distractor, ObjectSet, TableObject

_MESHES = {
    "eggplant": shapes.eggplant,
    "broccoli": shapes.broccoli,
    "bell_pepper": shapes.pepper,
    "banana": fruit.banana,
    "carrot": fruit.carrot,
    "lemon": fruit.lemon,
    "peach": fruit.peach,
    "potato": fruit.potato,
    "tomato": fruit.tomato,
    "lump": unnamed.lump,
    "roll": unnamed.roll,
}
_MAIN_PART = {"broccoli": "crown"}  # the part in the object's main colour; else "body"
_GLOSS = {  # specular, shininess of the main part
    "eggplant": (0.9, 0.85),
    "broccoli": (0.08, 0.1),
    "bell_pepper": (0.8, 0.8),
    "banana": (0.3, 0.4),
    "carrot": (0.2, 0.3),
    "lemon": (0.35, 0.5),
    "peach": (0.08, 0.1),
    "potato": (0.06, 0.1),
    "tomato": (0.8, 0.8),
    "lump": (0.3, 0.4),
    "roll": (0.3, 0.4),
}
_ACCENT_SPECULAR = {"broccoli": 0.15}  # else 0.2

# Collision geoms: capsules (radius, from, to), cylinders (radius, half height, centre), ellipsoids (half
# axes, centre)
_COLLISION_GEOMS = {
    "eggplant": (
        ("capsule", 0.0265, (0, -0.033, 0), (0, -0.006, 0)),
        ("capsule", 0.0205, (0, -0.006, -0.004), (0, 0.028, -0.006)),
    ),
    "broccoli": (
        ("cylinder", 0.020, 0.014, (0, 0, -0.026)),
        ("cylinder", 0.017, 0.022, (0, 0, -0.016)),
        ("ellipsoid", (0.035, 0.035, 0.026), (0, 0, 0.018)),
    ),
    "bell_pepper": (
        ("cylinder", 0.022, 0.020, (0, 0, -0.014)),
        ("ellipsoid", (0.033, 0.033, 0.034), (0, 0, 0)),
    ),
    "banana": (
        ("capsule", 0.0175, (0, -0.022, 0), (0, 0.022, 0)),
        ("capsule", 0.0150, (0.0018, -0.022, -0.0025), (0.0110, -0.053, -0.0025)),
        ("capsule", 0.0140, (0.0018, 0.022, -0.0035), (0.0110, 0.053, -0.0035)),
    ),
    "carrot": (
        ("capsule", 0.0190, (0, 0.004, 0), (0, 0.027, 0)),
        ("capsule", 0.0140, (0, -0.032, -0.0050), (0, 0.000, -0.0050)),
        ("capsule", 0.0070, (0, -0.068, -0.0120), (0, -0.040, -0.0120)),
    ),
    "lemon": (
        ("capsule", 0.0270, (0, -0.006, 0), (0, 0.004, 0)),
        ("capsule", 0.0120, (0, -0.026, 0), (0, 0.022, 0)),
    ),
    "peach": (("cylinder", 0.014, 0.0155, (0, 0, -0.0155)), ("ellipsoid", (0.033, 0.033, 0.031), (0, 0, 0))),
    "potato": (("ellipsoid", (0.028, 0.046, 0.025), (0, 0, 0)),),
    "tomato": (("cylinder", 0.020, 0.0135, (0, 0, -0.0135)), ("ellipsoid", (0.033, 0.033, 0.027), (0, 0, 0))),
    "lump": (("cylinder", 0.018, 0.0155, (0, 0, -0.0155)), ("ellipsoid", (0.033, 0.033, 0.031), (0, 0, 0))),
    "roll": (("capsule", 0.0260, (0, -0.026, 0), (0, 0.026, 0)),),
}
# Centre of mass where it is not the origin: a bent object must not tip over
_CENTRE_OF_MASS = {"banana": (0.004, 0, 0)}
_LYING = f'euler="{-math.pi / 2:.6f} 0 0"'  # turns the axis of an elongated object along the body's +y
_STRIPE_PAIRS = 8

_DISTRACTOR_MESHES = {"mug": shapes.mug, "bottle": shapes.bottle}
_DISTRACTOR_RADIUS = {"mug": 0.037, "can": 0.034, "bottle": 0.032}


@functools.cache
def _parts(category: str) -> tuple[str, ...]:
    make = _MESHES.get(category) or _DISTRACTOR_MESHES.get(category)
    return tuple(make(0.0)) if make else ()


def _format(*values: float) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def object_assets(objects: ObjectSet, detail: float) -> str:
    """Meshes and materials of the objects in the slots. detail: factor on the number of facets."""
    return "\n".join(_slot_assets(slot, objects[slot], detail) for slot in SLOTS)


def distractor_assets(objects: ObjectSet, detail: float) -> str:
    """Meshes of the distractors. detail: factor on the number of facets."""
    return "\n".join(
        shapes.mesh_xml(f"distractor{number}_{part}", (vertices * item.size, faces))
        for number, item in enumerate(objects.distractors)
        if item.category in _DISTRACTOR_MESHES
        for part, (vertices, faces) in _DISTRACTOR_MESHES[item.category](detail).items()
    )


@functools.lru_cache(maxsize=64)
def _slot_assets(slot: str, item: TableObject, detail: float) -> str:
    category = CATEGORIES[item.category]
    meshes = []
    for part, (vertices, faces) in _MESHES[item.category](detail, **dict(item.shape)).items():
        if item.stripes and part == _MAIN_PART.get(item.category, "body"):
            middle = vertices[faces].mean(axis=1)
            odd = np.floor(np.arctan2(middle[:, 1], middle[:, 0]) * _STRIPE_PAIRS / np.pi) % 2 == 1
            meshes.append(shapes.mesh_xml(f"{slot}_stripes", (vertices * _scale(item), faces[odd])))
            faces = faces[~odd]
        meshes.append(shapes.mesh_xml(f"{slot}_{part}", (vertices * _scale(item), faces)))
    specular, shininess = _GLOSS[item.category]
    colours = [("", item.colour or category.colour, f'specular="{specular}" shininess="{shininess}"')]
    colours.append(
        ("_accent", item.accent or category.accent, f'specular="{_ACCENT_SPECULAR.get(item.category, 0.2)}"')
    )
    if item.stripes:
        colours.append(("_stripes", item.stripes, f'specular="{specular}" shininess="{shininess}"'))
    return "\n".join(
        meshes
        + [
            f'<material name="{slot}{which}" rgba="{_format(*rgb)} 1" {gloss}/>'
            for which, rgb, gloss in colours
        ]
    )


def _scale(item: TableObject) -> np.ndarray:
    """Factors on the vertices of a mesh, whose axis is z."""
    return np.array([item.width_scale, item.width_scale, item.length_scale])


def _collision_geom(kind: str, *shape, item: TableObject) -> str:
    """A collision geom, scaled to the size of the object."""
    scale = np.array(
        [item.width_scale, item.length_scale, item.width_scale]
        if item.elongated
        else [item.width_scale, item.width_scale, item.length_scale]
    )
    if kind == "capsule":
        radius, start, end = shape
        ends = _format(*(start * scale), *(end * scale))
        where = f'size="{_format(radius * item.width_scale)}" fromto="{ends}"'
    elif kind == "cylinder":
        radius, half, centre = shape
        size = _format(radius * item.width_scale, half * item.length_scale)
        where = f'size="{size}" pos="{_format(*(centre * scale))}"'
    else:
        axes, centre = shape
        where = f'size="{_format(*(axes * scale))}" pos="{_format(*(centre * scale))}"'
    return f'<geom class="fruit" type="{kind}" {where}/>'


def object_body(slot: str, item: TableObject) -> str:
    """The free body of a slot. It starts below the floor until a layout places it."""
    main = _MAIN_PART.get(item.category, "body")
    turn = _LYING if item.elongated else ""
    parts = [(part, slot if part == main else f"{slot}_accent") for part in _parts(item.category)]
    if item.stripes:
        parts.append(("stripes", f"{slot}_stripes"))
    visual = "".join(
        f'<geom class="visual" type="mesh" mesh="{slot}_{part}" material="{material}" {turn}/>'
        for part, material in parts
    )
    mass = CATEGORIES[item.category].mass
    inertia = f"{0.4 * mass * 0.035**2:.3g}"
    centre = _format(*_CENTRE_OF_MASS.get(item.category, (0, 0, 0)))
    return f"""
<body name="{slot}" pos="0 0 -1" gravcomp="0">
  <freejoint name="{slot}"/>
  <inertial pos="{centre}" mass="{mass}" diaginertia="{inertia} {inertia} {inertia}"/>
  {"".join(_collision_geom(*geom, item=item) for geom in _COLLISION_GEOMS[item.category])}
  {visual}
</body>"""


def distractor_body(number: int, item: Distractor) -> str:
    """The fixed body of a distractor, with the contacts of the plate."""
    size, half = item.size, item.height / 2

    def geom(kind: str, shape: str, more: str = "") -> str:
        return f'<geom class="{kind}" {shape} {more}/>'

    colour = f'material="china" rgba="{_format(*item.colour)} 1"'
    meshes = [
        geom("visual", f'type="mesh" mesh="distractor{number}_{part}"', colour)
        for part in _parts(item.category)
    ]
    if item.category == "block":
        parts = [
            geom(
                "solid",
                f'type="box" size="{_format(half, half, half)}" pos="{_format(0, 0, half)}" group="1"',
                colour,
            )
        ]
    else:
        radius = _DISTRACTOR_RADIUS[item.category] * size
        visible = f'group="1" {colour}' if item.category == "can" else ""
        parts = [
            geom(
                "solid",
                f'type="cylinder" size="{_format(radius, half)}" pos="{_format(0, 0, half)}"',
                visible,
            )
        ]
    if item.category == "can":
        lid = f'size="{_format(0.94 * radius, 0.002)}" pos="{_format(0, 0, 2 * half)}"'
        parts.append(geom("visual", f'type="cylinder" {lid} material="steel"'))
    if item.category == "mug":
        corners = (
            np.array([(0.034, 0, 0.064), (0.055, 0, 0.058), (0.055, 0, 0.026), (0.035, 0, 0.018)]) * size
        )
        for start, end in itertools.pairwise(corners):
            ends = f'fromto="{_format(*start, *end)}"'
            parts.append(
                geom(
                    "solid",
                    f'type="capsule" size="{_format(0.0045 * size)}" {ends} group="1"',
                    colour,
                )
            )
    where = f'pos="{_format(item.x, item.y, 0)}" euler="0 0 {item.yaw:.6g}"'
    return f'<body name="distractor{number}" {where}>{"".join(parts + meshes)}</body>'
