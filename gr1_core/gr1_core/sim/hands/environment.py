"""MJCF of a video: table, lights, cabinet with a drawer, receptacles, objects, distractors and the hand.

Nothing collides. "hand" and "drawer" are mocap bodies; the objects are free bodies as in the robot's scene.
"""

from __future__ import annotations

import colorsys
import math

import numpy as np

from gr1_core.sim import scene
from gr1_core.sim.hands import body
from gr1_core.sim.hands.body import HandAppearance
from gr1_core.sim.hands.script import BAR_OFFSET, PLACEMENT_MIN, Receptacle, Script
from gr1_core.sim.objects import bodies, shapes
from gr1_core.sim.objects.catalogue import ObjectSet

IMAGE_SIZE = 192  # pixels
_HANDLE = 0.048  # m between the cabinet's face and the middle of its handle
_DETAIL = 0.5
TEXTURES = ("plain", "wood", "checks", "speckles", "spots")


def mjcf(
    rng: np.random.Generator, hand: HandAppearance, script: Script, objects: ObjectSet, fov: float
) -> str:
    """Everything except the camera. fov: vertical field of view of the camera in degrees."""
    assets = [bodies.object_assets(objects, _DETAIL), bodies.distractor_assets(objects, _DETAIL)]
    world = [_lights(rng), _table(rng, assets), body.mjcf(hand)]
    world += [bodies.object_body(slot, item) for slot, item in script.items.items()]
    world += [bodies.distractor_body(number, item) for number, item in enumerate(objects.distractors)]
    world += [
        _receptacle(rng, name, receptacle, centre, assets)
        for name, (receptacle, centre) in script.receptacles.items()
    ]
    if script.drawer_position is not None:
        world.append(_cabinet(rng, script.drawer_position))
    light, dark = rng.uniform(0.45, 1.0, 3), rng.uniform(0.05, 0.7, 3)
    newline = "\n"
    return f"""
<mujoco model="hands">
<compiler angle="radian" eulerseq="XYZ"/>
<visual>
  <global offwidth="{IMAGE_SIZE}" offheight="{IMAGE_SIZE}" fovy="{fov:.3f}"/>
  <quality shadowsize="512" offsamples="0" numslices="12" numstacks="7" numquads="1"/>
  <headlight ambient="{_sample_white(rng, 0.32, 0.48)}" diffuse="{_sample_white(rng, 0.03, 0.15)}"
    specular="0 0 0"/>
  <map znear="0.01" zfar="8" shadowclip="0.8"/>
</visual>
<default>
  <geom contype="0" conaffinity="0"/>
  <default class="visual"><geom group="1"/></default>
  <default class="seen"><geom group="1"/></default>
  <default class="fruit"><geom group="3"/></default>
  <default class="solid"><geom group="3"/></default>
</default>
<asset>
<material name="china" rgba="{_format(0.4 + 0.6 * _sample_colour(rng))} 1" specular="0.4" shininess="0.7"/>
<material name="steel" rgba="{_format(_sample_colour(rng, 0.2))} 1" specular="0.9" shininess="0.8"/>
<texture name="sky" type="skybox" builtin="gradient" rgb1="{_format(light)}" rgb2="{_format(dark)}"
  width="32" height="192"/>
{newline.join(assets)}
</asset>
<worldbody>{newline.join(world)}</worldbody>
</mujoco>"""


def _format(values) -> str:
    return " ".join(f"{value:.5g}" for value in values)


def _sample_white(rng: np.random.Generator, low: float, high: float) -> str:
    """Nearly white light of random strength."""
    return _format(rng.uniform(low, high) * rng.uniform(0.93, 1.0, 3))


def _sample_colour(rng: np.random.Generator, saturation: float = 0.9) -> np.ndarray:
    """Any colour, dark to bright, with limited saturation."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation * rng.random(), rng.uniform(0.3, 0.98)))


def _box(material: str, size, pos) -> str:
    return f'<geom class="seen" type="box" {material} size="{_format(size)}" pos="{_format(pos)}"/>'


def _lights(rng: np.random.Generator) -> str:
    """A key light from anywhere above and a weaker fill light."""
    around = rng.uniform(-math.pi, math.pi, 2)
    slope = rng.uniform(0.15, 0.9)
    key = _format([slope * math.cos(around[0]), slope * math.sin(around[0]), -1])
    fill = _format([math.cos(around[1]), math.sin(around[1]), -0.7])
    return (
        f'<light directional="true" pos="0 0 1.5" dir="{key}" '
        f'castshadow="true" diffuse="{_sample_white(rng, 0.48, 0.72)}" specular="0.3 0.3 0.3"/>'
        f'<light directional="true" pos="0 0 1.5" dir="{fill}" '
        f'castshadow="false" diffuse="{_sample_white(rng, 0.05, 0.22)}" specular="0.1 0.1 0.1"/>'
    )


def _table(rng: np.random.Generator, assets: list[str]) -> str:
    """The table top and the floor below. The person's edge is close to the objects."""
    texture, colour, other = str(rng.choice(TEXTURES)), _sample_colour(rng, 0.5), _sample_colour(rng, 0.6)
    repeats = rng.uniform(3, 9)
    textures = {
        "wood": 'file="wood.png"',
        "checks": 'builtin="checker" rgb1="1 1 1" '
        f'rgb2="{_format(0.3 + 0.7 * other)}" width="64" height="64"',
        "speckles": 'builtin="flat" rgb1="1 1 1" mark="random" random="0.04" '
        f'markrgb="{_format(other)}" width="128" height="128"',
        "spots": 'builtin="gradient" rgb1="1 1 1" '
        f'rgb2="{_format(0.4 + 0.6 * other)}" width="64" height="64"',
    }
    if texture in textures:
        assets.append(f'<texture name="top" type="2d" {textures[texture]}/>')
    texture_attributes = (
        ""
        if texture == "plain"
        else f'texture="top" texrepeat="{_format([1, 1] if texture == "wood" else [repeats, repeats])}"'
    )
    tint = np.clip(colour * 1.4, 0, 1) if texture == "wood" else colour
    assets.append(
        f'<material name="top" {texture_attributes} rgba="{_format(tint)} 1" '
        f'specular="{rng.uniform(0, 0.4):.3f}" shininess="0.4"/>'
    )
    near, far, half = (
        PLACEMENT_MIN[0] - rng.uniform(0.04, 0.12),
        rng.uniform(0.52, 0.85),
        rng.uniform(0.36, 0.7),
    )
    top = _box('material="top"', [(far - near) / 2, half, 0.02], [(far + near) / 2, 0, -0.02])
    colour = _format(_sample_colour(rng, 0.5))
    floor = f'<geom class="seen" type="plane" size="6 6 1" pos="0 0 -0.75" rgba="{colour} 1"/>'
    return top + floor


def _cabinet(rng: np.random.Generator, handle: np.ndarray) -> str:
    """A cabinet that opens towards the person, and its drawer (frame: the middle of the handle at z = 0) with
    a bar or a knob.
    """
    half, height, depth = rng.uniform(0.075, 0.125), rng.uniform(0.105, 0.14), 0.19
    walls_colour, front, steel, inside = (f'rgba="{_format(_sample_colour(rng))} 1"' for _ in range(4))
    middle, up = _HANDLE + depth / 2, height / 2
    walls = (
        _box(walls_colour, [depth / 2, 0.006, up], [middle, half, up])
        + _box(walls_colour, [depth / 2, 0.006, up], [middle, -half, up])
        + _box(walls_colour, [0.006, half, up], [_HANDLE + depth, 0, up])
        + _box(walls_colour, [depth / 2 + 0.005, half + 0.010, 0.006], [middle, 0, height])
    )
    wide, deep, z = half - 0.012, 0.080, BAR_OFFSET[2]
    drawer = (
        _box(front, [0.007, half - 0.009, up - 0.012], [_HANDLE, 0, up])
        + _box(inside, [deep, 0.004, 0.03], [_HANDLE + deep, wide, 0.042])
        + _box(inside, [deep, 0.004, 0.03], [_HANDLE + deep, -wide, 0.042])
        + _box(inside, [deep, wide, 0.004], [_HANDLE + deep, 0, 0.014])
    )
    if rng.random() < 0.6:
        reach = rng.uniform(0.03, 0.06)
        drawer += (
            f'<geom class="seen" type="capsule" size="0.0065" fromto="0 {-reach} {z} 0 {reach} {z}" {steel}/>'
        )
        for y in (-0.9 * reach, 0.9 * reach):
            drawer += (
                '<geom class="seen" type="cylinder" size="0.005" '
                f'fromto="0 {y} {z} {_HANDLE} {y} {z}" {steel}/>'
            )
    else:
        drawer += f'<geom class="seen" type="sphere" size="0.015" pos="0 0 {z}" {steel}/>'
        drawer += (
            f'<geom class="seen" type="cylinder" size="0.007" fromto="0 0 {z} {_HANDLE} 0 {z}" {steel}/>'
        )
    place = f'pos="{_format(handle)}"'
    return f'<body {place}>{walls}</body><body name="drawer" mocap="true" {place}>{drawer}</body>'


def _receptacle(
    rng: np.random.Generator, name: str, receptacle: Receptacle, centre: np.ndarray, assets: list[str]
) -> str:
    """A plate, bowl, tray or board with the radius of the receptacle, at x, y."""
    radius, floor = receptacle.radius, receptacle.floor
    colour = f'rgba="{_format(_sample_colour(rng, 0.8))} 1"'
    yaw = rng.uniform(-0.5, 0.5)
    if name == "plate":
        profile = [
            (1e-4, 0.0),
            (0.6 * radius, 0.0),
            (radius, 0.013),
            (0.96 * radius, 0.016),
            (0.62 * radius, floor),
            (1e-4, floor),
        ]
    elif name == "bowl":
        wall = [
            (0.55 * radius, 0.0),
            (0.86 * radius, 0.022),
            (radius, 0.052),
            (0.96 * radius, 0.053),
            (0.82 * radius, 0.027),
        ]
        profile = [(1e-4, 0.0), *wall, (0.5 * radius, floor), (1e-4, floor)]
    else:
        length, width = 0.86 * radius, 0.62 * radius
        parts = _box(colour, [length, width, floor / 2], [0, 0, floor / 2])
        if name == "tray":
            for side in (-1, 1):
                parts += _box(colour, [length, 0.004, 0.012], [0, side * width, 0.012])
                parts += _box(colour, [0.004, width, 0.012], [side * length, 0, 0.012])
        yaw += rng.choice([0, math.pi / 2])
        return f'<body pos="{_format([*centre, 0])}" euler="0 0 {yaw:.4f}">{parts}</body>'
    assets.append(shapes.mesh_xml(name, shapes.revolve(profile, 26)))
    return (
        f'<body pos="{_format([*centre, 0])}"><geom class="seen" type="mesh" mesh="{name}" {colour}/></body>'
    )


def files() -> dict[str, bytes]:
    """Contents of the files that the MJCF names."""
    return scene.files()
