"""Visual domain randomisation (Tobin et al. 2017): lights, surface colours and small camera offsets.

An `Appearance` changes images but not the physics. `Renderer.set_appearance` applies it. The colours and
shapes of the objects that are handled belong to objects/catalogue.py.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
Vector = tuple[float, float, float]

_WHITE: Colour = (1.0, 1.0, 1.0)
_ZERO: Vector = (0.0, 0.0, 0.0)
SHADOW_SHARE = 0.15  # share of sampled appearances with shadows, which take three quarters of the render time
# m: the key light points here; the shadow map is centred on it
_LIGHT_TARGET = np.array([0.548, -0.068, 0.0])
_LIGHT_HEIGHT = 1.6  # m


@dataclass(frozen=True)
class CameraOffset:
    """Offset of a camera from its nominal pose, in the camera's own axes (x right, y up, z backwards).

    shift: metres. turn: rotation vector in radians. fov: factor on the field of view.
    """

    shift: Vector = _ZERO
    turn: Vector = _ZERO
    fov: float = 1.0


@dataclass(frozen=True)
class Appearance:
    """Lights, colours and camera offsets of one rendered scene. Colours are RGB in 0..1.

    key_direction: of the key light, in the base frame, z downwards. key_tint, ambient, fill: factors on the
    colours of the lights. wood: True keeps the wood texture of the table and multiplies it by `table`; False
    paints the table with the plain colour `table`. drawer_front, cabinet, plate: colours that replace the
    scene's; None keeps them. sky_tint: factor on the background.
    """

    shadows: bool = True
    key_direction: Vector = (0.28, 0.52, -1.0)
    key_tint: Colour = _WHITE
    ambient: float = 1.0
    fill: float = 1.0
    wood: bool = True
    table: Colour = _WHITE
    drawer_front: Colour | None = None
    cabinet: Colour | None = None
    plate: Colour | None = None
    sky_tint: Colour = _WHITE
    static: CameraOffset = CameraOffset()
    wrist: CameraOffset = CameraOffset()


STANDARD_APPEARANCE = Appearance()


def sample_appearance(rng: np.random.Generator) -> Appearance:
    """Samples one appearance of the range for training. The colours of plate and plain table always differ
    clearly.
    """
    plate = _sample_colour(rng, (0.0, 0.20), (0.80, 0.98))
    wood = bool(rng.random() < 0.5)
    table = _sample_tint(rng, 0.12, 0.65, 1.10) if wood else _sample_table_colour(rng, plate)
    return Appearance(
        shadows=bool(rng.random() < SHADOW_SHARE),
        key_direction=(*(float(value) for value in rng.uniform(-0.75, 0.75, 2)), -1.0),
        key_tint=_sample_tint(rng, 0.08, 0.65, 1.25),
        ambient=float(rng.uniform(0.75, 1.30)),
        fill=float(rng.uniform(0.3, 1.8)),
        wood=wood,
        table=table,
        drawer_front=_sample_colour(rng, (0.15, 0.75), (0.30, 0.85)),
        cabinet=_sample_colour(rng, (0.0, 0.25), (0.55, 0.95)),
        plate=plate,
        sky_tint=_sample_tint(rng, 0.15, 0.45, 1.05),
        static=_sample_offset(rng, 0.015, 0.026, 0.02),
        wrist=_sample_offset(rng, 0.004, 0.020, 0.02),
    )


def _sample_table_colour(rng: np.random.Generator, plate: Colour) -> Colour:
    while True:
        table = _sample_colour(rng, (0.0, 0.40), (0.30, 0.80))
        if np.linalg.norm(np.subtract(table, plate)) > 0.25:
            return table


def _sample_colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    return colorsys.hsv_to_rgb(*(float(rng.uniform(*limits)) for limits in ((0.0, 1.0), saturation, value)))


def _sample_tint(rng: np.random.Generator, hue: float, low: float, high: float) -> Colour:
    """A grey in low..high whose channels differ from it by up to the fraction `hue`."""
    return tuple(float(value) for value in rng.uniform(low, high) * rng.uniform(1 - hue, 1 + hue, 3))


def _sample_offset(rng: np.random.Generator, shift: float, turn: float, fov: float) -> CameraOffset:
    """shift, turn: largest lengths of the two vectors, sampled uniformly from a ball. fov: largest relative
    change.
    """
    return CameraOffset(
        _sample_ball(rng, shift), _sample_ball(rng, turn), float(rng.uniform(1 - fov, 1 + fov))
    )


def _sample_ball(rng: np.random.Generator, radius: float) -> Vector:
    direction = rng.normal(size=3)
    return tuple(
        float(value) for value in direction / np.linalg.norm(direction) * radius * rng.random() ** (1 / 3)
    )


class DomainRandomizer:
    """Applies appearances to one MuJoCo model, in place. Each starts from the model as it was compiled."""

    def __init__(self, model):
        self._model = model
        self._original = {name: getattr(model, name).copy() for name in _ARRAYS}
        self._ambient = model.vis.headlight.ambient.copy()
        sky = model.texture("sky")
        start = int(model.tex_adr[sky.id])
        self.sky, self._sky_pixels = (
            sky.id,
            slice(start, start + int(np.prod([model.tex_height[sky.id], model.tex_width[sky.id], 3]))),
        )
        self._original_sky = model.tex_data[self._sky_pixels].copy()

    def apply(self, appearance: Appearance) -> None:
        """Changes the model. The caller must upload the sky texture again and switch shadows on or off."""
        model = self._model
        for name, original in self._original.items():
            getattr(model, name)[:] = original
        if appearance.key_direction != STANDARD_APPEARANCE.key_direction:
            key = model.light("key").id
            model.light_dir[key] = np.array(appearance.key_direction) / np.linalg.norm(
                appearance.key_direction
            )
            model.light_pos[key] = _LIGHT_TARGET - np.array(appearance.key_direction) * (
                _LIGHT_HEIGHT / -appearance.key_direction[2]
            )
        model.light_diffuse[model.light("key").id] *= appearance.key_tint
        model.light_diffuse[model.light("fill").id] *= appearance.fill
        model.vis.headlight.ambient[:] = self._ambient * appearance.ambient
        if appearance.wood:
            model.mat_rgba[model.material("wood").id, :3] *= appearance.table
        else:  # the render context keeps the texture of each material, so the table loses its material
            table = model.geom("table").id
            model.geom_matid[table], model.geom_rgba[table, :3] = -1, appearance.table
        for material, colour in (
            ("front", appearance.drawer_front),
            ("cabinet", appearance.cabinet),
            ("china", appearance.plate),
        ):
            if colour is not None:
                model.mat_rgba[model.material(material).id, :3] = colour
        model.tex_data[self._sky_pixels] = (
            np.clip(self._original_sky.reshape(-1, 3) * appearance.sky_tint + 0.5, 0, 255)
            .astype(np.uint8)
            .ravel()
        )
        for role in ("static", "wrist"):
            self._move_camera(model.camera(role).id, getattr(appearance, role))

    def _move_camera(self, camera: int, offset: CameraOffset) -> None:
        if offset == CameraOffset():
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
