"""What changes a picture but not the scene: light, surfaces, and where exactly the cameras are. `Renderer.look` applies it.

For domain randomisation (Tobin et al. 2017): a policy that has seen many looks does not depend on one. The colours and shapes of the
things that are handled belong to things.py, not here.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]

_WHITE: Colour = (1.0, 1.0, 1.0)
_NOWHERE: Vector = (0.0, 0.0, 0.0)
SHADOWS = 0.15  # of the random looks have them: they are three quarters of a picture's cost
_LIT = np.array(
    [0.548, -0.068, 0.0]
)  # where the key light points at, m: its shadows are drawn around this place
_LIGHT_HEIGHT = 1.6  # m


@dataclass(frozen=True)
class Offset:
    """Where a camera is beside its place. shift: m, turn: rotation vector in rad, both in the camera's own axes (x right, y up,
    z backwards); fov: factor on the field of view.
    """

    shift: Vector = _NOWHERE
    turn: Vector = _NOWHERE
    fov: float = 1.0


@dataclass(frozen=True)
class Look:
    """Colours are RGB in 0..1; `tint` multiplies what is there, the others replace it.

    key: direction of the key light, base frame, z downwards; key_tint and ambient, fill: factors on the lights' colours. wood: whether the
    table keeps its texture, which `table` then tints; else `table` is its plain colour. None keeps the scene's colour.
    """

    shadows: bool = True
    key: Vector = (0.28, 0.52, -1.0)
    key_tint: Colour = _WHITE
    ambient: float = 1.0
    fill: float = 1.0
    wood: bool = True
    table: Colour = _WHITE
    front: Colour | None = None
    cabinet: Colour | None = None
    plate: Colour | None = None
    sky_tint: Colour = _WHITE
    static: Offset = Offset()
    wrist: Offset = Offset()


STANDARD = Look()


def random(rng: np.random.Generator) -> Look:
    """One look out of the wide range for training. The plate always stands out from the table."""
    plate = _colour(rng, (0.0, 0.20), (0.80, 0.98))
    wood = bool(rng.random() < 0.5)
    table = _tint(rng, 0.12, 0.65, 1.10) if wood else _table(rng, plate)
    return Look(
        shadows=bool(rng.random() < SHADOWS),
        key=(*(float(value) for value in rng.uniform(-0.75, 0.75, 2)), -1.0),
        key_tint=_tint(rng, 0.08, 0.65, 1.25),
        ambient=float(rng.uniform(0.75, 1.30)),
        fill=float(rng.uniform(0.3, 1.8)),
        wood=wood,
        table=table,
        front=_colour(rng, (0.15, 0.75), (0.30, 0.85)),
        cabinet=_colour(rng, (0.0, 0.25), (0.55, 0.95)),
        plate=plate,
        sky_tint=_tint(rng, 0.15, 0.45, 1.05),
        static=_offset(rng, 0.015, 0.026, 0.02),
        wrist=_offset(rng, 0.004, 0.020, 0.02),
    )


def _table(rng: np.random.Generator, plate: Colour) -> Colour:
    while True:
        table = _colour(rng, (0.0, 0.40), (0.30, 0.80))
        if np.linalg.norm(np.subtract(table, plate)) > 0.25:
            return table


def _colour(rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    return colorsys.hsv_to_rgb(*(float(rng.uniform(*limits)) for limits in ((0.0, 1.0), saturation, value)))


def _tint(rng: np.random.Generator, hue: float, least: float, most: float) -> Colour:
    """A grey between least and most, each channel off it by up to the share `hue`."""
    return tuple(float(value) for value in rng.uniform(least, most) * rng.uniform(1 - hue, 1 + hue, 3))


def _offset(rng: np.random.Generator, shift: float, turn: float, fov: float) -> Offset:
    """shift, turn: largest length of the vectors, evenly drawn from the ball."""
    return Offset(_ball(rng, shift), _ball(rng, turn), float(rng.uniform(1 - fov, 1 + fov)))


def _ball(rng: np.random.Generator, radius: float) -> Vector:
    direction = rng.normal(size=3)
    return tuple(
        float(value) for value in direction / np.linalg.norm(direction) * radius * rng.random() ** (1 / 3)
    )


class Dresser:
    """Applies looks to one model, in place; each starts from the model as it was compiled."""

    def __init__(self, model):
        self._model = model
        self._was = {name: getattr(model, name).copy() for name in _ARRAYS}
        self._ambient = model.vis.headlight.ambient.copy()
        sky = model.texture("sky")
        start = int(model.tex_adr[sky.id])
        self.sky, self._sky_pixels = (
            sky.id,
            slice(start, start + int(np.prod([model.tex_height[sky.id], model.tex_width[sky.id], 3]))),
        )
        self._sky_was = model.tex_data[self._sky_pixels].copy()

    def apply(self, look: Look) -> None:
        """Afterwards the sky's texture has to be uploaded again; whether shadows are drawn is the renderer's affair."""
        model = self._model
        for name, was in self._was.items():
            getattr(model, name)[:] = was
        if look.key != STANDARD.key:
            key = model.light("key").id
            model.light_dir[key] = np.array(look.key) / np.linalg.norm(look.key)
            model.light_pos[key] = _LIT - np.array(look.key) * (_LIGHT_HEIGHT / -look.key[2])
        model.light_diffuse[model.light("key").id] *= look.key_tint
        model.light_diffuse[model.light("fill").id] *= look.fill
        model.vis.headlight.ambient[:] = self._ambient * look.ambient
        if look.wood:
            model.mat_rgba[model.material("wood").id, :3] *= look.table
        else:  # the drawing context holds which material has which texture, so the table goes without its material
            table = model.geom("table").id
            model.geom_matid[table], model.geom_rgba[table, :3] = -1, look.table
        for material, colour in (("front", look.front), ("cabinet", look.cabinet), ("china", look.plate)):
            if colour is not None:
                model.mat_rgba[model.material(material).id, :3] = colour
        model.tex_data[self._sky_pixels] = (
            np.clip(self._sky_was.reshape(-1, 3) * look.sky_tint + 0.5, 0, 255).astype(np.uint8).ravel()
        )
        for role in ("static", "wrist"):
            self._aim(model.camera(role).id, getattr(look, role))

    def _aim(self, camera: int, offset: Offset) -> None:
        if offset == Offset():
            return
        from scipy.spatial.transform import Rotation

        model = self._model
        turned = Rotation.from_quat(model.cam_quat[camera], scalar_first=True)
        model.cam_pos[camera] += turned.apply(offset.shift)
        model.cam_quat[camera] = (turned * Rotation.from_rotvec(offset.turn)).as_quat(scalar_first=True)
        model.cam_fovy[camera] *= offset.fov


_ARRAYS = (
    "light_dir",
    "light_pos",
    "light_diffuse",
    "mat_rgba",
    "geom_rgba",
    "geom_matid",
    "cam_pos",
    "cam_quat",
    "cam_fovy",
)
