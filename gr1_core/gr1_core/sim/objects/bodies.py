"""The things of things.py as MJCF: meshes and materials of a slot's thing, its body with collision geoms, distractors.

Fingers and table touch the collision geoms; the meshes are only seen. Metres; geoms stand or lie in the body's own frame.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from gr1_core.sim.objects import fruit, shapes, unnamed
from gr1_core.sim.objects.catalogue import FORMS, SLOTS, Props, Still, Thing

_SURFACES = {
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
_MAIN = {"broccoli": "crown"}  # the part that has the thing's own colour; else "body"
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
_ACCENT_GLOSS = {"broccoli": 0.15}  # else 0.2

# Collision geoms: capsules (radius, from, to), cylinders (radius, half height, centre), ellipsoids (half axes, centre)
_SOLIDS = {
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
_CENTRE = {
    "banana": (0.004, 0, 0)
}  # of mass, where it is not the origin: a bent thing must not tip over its own middle
_ONTO_SIDE = f'euler="{-math.pi / 2:.6f} 0 0"'  # a long thing's axis along the body's +y
_STRIPES = 8

_STILL_SURFACES = {"mug": shapes.mug, "bottle": shapes.bottle}
_STILL_RADIUS = {"mug": 0.037, "can": 0.034, "bottle": 0.032}


@functools.cache
def _parts(form: str) -> tuple[str, ...]:
    make = _SURFACES.get(form) or _STILL_SURFACES.get(form)
    return tuple(make(0.0)) if make else ()


def _text(*values: float) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def assets(props: Props, detail: float) -> str:
    """Meshes and materials of everything in the slots."""
    return "\n".join(_thing_assets(slot, props[slot], detail) for slot in SLOTS)


def still_assets(props: Props, detail: float) -> str:
    """Meshes of the distractors."""
    return "\n".join(
        shapes.mesh(f"distractor{number}_{part}", (vertices * still.size, faces))
        for number, still in enumerate(props.distractors)
        if still.form in _STILL_SURFACES
        for part, (vertices, faces) in _STILL_SURFACES[still.form](detail).items()
    )


@functools.lru_cache(maxsize=64)
def _thing_assets(slot: str, thing: Thing, detail: float) -> str:
    form = FORMS[thing.form]
    meshes = []
    for part, (vertices, faces) in _SURFACES[thing.form](detail, **dict(thing.shape)).items():
        if thing.stripes and part == _MAIN.get(thing.form, "body"):
            middle = vertices[faces].mean(axis=1)
            odd = np.floor(np.arctan2(middle[:, 1], middle[:, 0]) * _STRIPES / np.pi) % 2 == 1
            meshes.append(shapes.mesh(f"{slot}_stripes", (vertices * _factors(thing), faces[odd])))
            faces = faces[~odd]
        meshes.append(shapes.mesh(f"{slot}_{part}", (vertices * _factors(thing), faces)))
    specular, shininess = _GLOSS[thing.form]
    colours = [("", thing.colour or form.colour, f'specular="{specular}" shininess="{shininess}"')]
    colours.append(
        ("_accent", thing.accent or form.accent, f'specular="{_ACCENT_GLOSS.get(thing.form, 0.2)}"')
    )
    if thing.stripes:
        colours.append(("_stripes", thing.stripes, f'specular="{specular}" shininess="{shininess}"'))
    return "\n".join(
        meshes
        + [
            f'<material name="{slot}{which}" rgba="{_text(*rgb)} 1" {gloss}/>'
            for which, rgb, gloss in colours
        ]
    )


def _factors(thing: Thing) -> np.ndarray:
    """On a surface, which is made along its own z."""
    return np.array([thing.girth, thing.girth, thing.length])


def _solid(kind: str, *shape, thing: Thing) -> str:
    """A collision geom of the usual size, made as large as the thing is."""
    scale = np.array(
        [thing.girth, thing.length, thing.girth] if thing.long else [thing.girth, thing.girth, thing.length]
    )
    if kind == "capsule":
        radius, start, end = shape
        where = f'size="{_text(radius * thing.girth)}" fromto="{_text(*(start * scale), *(end * scale))}"'
    elif kind == "cylinder":
        radius, half, centre = shape
        where = f'size="{_text(radius * thing.girth, half * thing.length)}" pos="{_text(*(centre * scale))}"'
    else:
        axes, centre = shape
        where = f'size="{_text(*(axes * scale))}" pos="{_text(*(centre * scale))}"'
    return f'<geom class="fruit" type="{kind}" {where}/>'


def thing(slot: str, thing: Thing) -> str:
    """The free body of a slot; it waits below the floor until a layout places it."""
    main = _MAIN.get(thing.form, "body")
    turn = _ONTO_SIDE if thing.long else ""
    parts = [(part, slot if part == main else f"{slot}_accent") for part in _parts(thing.form)]
    if thing.stripes:
        parts.append(("stripes", f"{slot}_stripes"))
    visual = "".join(
        f'<geom class="visual" type="mesh" mesh="{slot}_{part}" material="{material}" {turn}/>'
        for part, material in parts
    )
    mass = FORMS[thing.form].mass
    inertia = 0.4 * mass * 0.035**2
    return f"""
<body name="{slot}" pos="0 0 -1" gravcomp="0">
  <freejoint name="{slot}"/>
  <inertial pos="{_text(*_CENTRE.get(thing.form, (0, 0, 0)))}" mass="{mass}" diaginertia="{inertia:.3g} {inertia:.3g} {inertia:.3g}"/>
  {"".join(_solid(*solid, thing=thing) for solid in _SOLIDS[thing.form])}
  {visual}
</body>"""


def still(number: int, thing: Still) -> str:
    """A distractor: a body of the world, touched like the plate."""
    size, high = thing.size, thing.height / 2

    def geom(kind: str, shape: str, more: str = "") -> str:
        return f'<geom class="{kind}" {shape} {more}/>'

    colour = f'material="china" rgba="{_text(*thing.colour)} 1"'
    meshes = [
        geom("visual", f'type="mesh" mesh="distractor{number}_{part}"', colour) for part in _parts(thing.form)
    ]
    if thing.form == "block":
        parts = [
            geom(
                "solid",
                f'type="box" size="{_text(high, high, high)}" pos="{_text(0, 0, high)}" group="1"',
                colour,
            )
        ]
    else:
        radius = _STILL_RADIUS[thing.form] * size
        seen = f'group="1" {colour}' if thing.form == "can" else ""
        parts = [
            geom("solid", f'type="cylinder" size="{_text(radius, high)}" pos="{_text(0, 0, high)}"', seen)
        ]
    if thing.form == "can":
        parts.append(
            geom(
                "visual",
                f'type="cylinder" size="{_text(0.94 * radius, 0.002)}" pos="{_text(0, 0, 2 * high)}" material="steel"',
            )
        )
    if thing.form == "mug":
        corners = (
            np.array([(0.034, 0, 0.064), (0.055, 0, 0.058), (0.055, 0, 0.026), (0.035, 0, 0.018)]) * size
        )
        for start, end in itertools.pairwise(corners):
            parts.append(
                geom(
                    "solid",
                    f'type="capsule" size="{_text(0.0045 * size)}" fromto="{_text(*start, *end)}" group="1"',
                    colour,
                )
            )
    where = f'pos="{_text(thing.x, thing.y, 0)}" euler="0 0 {thing.yaw:.6g}"'
    return f'<body name="distractor{number}" {where}>{"".join(parts + meshes)}</body>'
