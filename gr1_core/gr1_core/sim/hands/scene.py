"""Samples everything of a hand video from a seed: hand, objects, receptacles, camera and actions."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from gr1_core.sim.hands import body, environment
from gr1_core.sim.hands.body import HandAppearance
from gr1_core.sim.hands.script import (
    DRAWER_TRAVEL,
    PLACEMENT_MAX,
    PLACEMENT_MIN,
    REST_POSITION,
    HandPose,
    Receptacle,
    Script,
    ScriptWriter,
)
from gr1_core.sim.objects.catalogue import (
    CATEGORIES,
    DISTRACTOR_SIZES,
    NAMED_CATEGORIES,
    SLOTS,
    Distractor,
    ObjectSet,
    TableObject,
)

# Kind -> share of the videos, azimuth (0: along +x, as the person looks) and elevation in degrees, distance
# in metres
CAMERAS = {
    "overhead": (0.15, 0.0, -85.0, 0.80),
    "opposite": (0.20, 180.0, -38.0, 0.80),
    "left": (0.20, -90.0, -35.0, 0.80),
    "right": (0.20, 90.0, -35.0, 0.80),
    "head_mounted": (0.25, 0.0, -52.0, 0.74),
}
SHADOW_SHARE = 0.15  # share of the videos with shadows, which take most of the render time
# Noun -> preposition, height of the inside in metres
_RECEPTACLES = {
    "plate": ("on", 0.006),
    "bowl": ("in", 0.012),
    "tray": ("on", 0.008),
    "cutting board": ("on", 0.014),
}


@dataclass(frozen=True)
class Camera:
    """A free camera in MuJoCo's convention: it looks at `target` (metres) from `distance`; angles in degrees.

    sway: amplitude of the motion of a head-mounted camera in degrees; 0 for the others.
    """

    kind: str
    target: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float
    fov: float
    sway: float

    def at(self, seconds: float) -> tuple[np.ndarray, float, float]:
        """Returns target, azimuth and elevation at a time. Head motion is two slow waves per axis."""
        phase = self.azimuth + np.array([0.0, 1.3, 2.1])
        wave = 0.7 * np.sin(2 * np.pi * 0.21 * seconds + phase) + 0.3 * np.sin(
            2 * np.pi * 0.47 * seconds + 2 * phase
        )
        moved = np.array(self.target) + np.array([0.003, 0.004, 0.002]) * self.sway * wave
        return (
            moved,
            self.azimuth + self.sway * wave[0],
            max(-89.0, self.elevation + 0.6 * self.sway * wave[1]),
        )


@dataclass(frozen=True)
class Video:
    """Everything that one video is made of. xml: the MJCF of its scene."""

    hand: HandAppearance
    script: Script
    camera: Camera
    shadows: bool
    xml: str


def sample_video(seed: int, index: int, narrations: int) -> Video:
    """Samples the index-th video of a seed with that many narrations, the same on every machine."""
    rng = np.random.default_rng([seed, index, 7])
    hand = body.sample_hand_appearance(rng)
    # Also categories that no robot demonstration holds: the videos are to teach their names.
    objects = tuple(
        _sample_object(rng, str(name)) for name in rng.permutation(NAMED_CATEGORIES)[: len(SLOTS)]
    )
    items = {slot: item for slot, item in zip(SLOTS, objects) if rng.random() < 0.85} or {
        SLOTS[0]: objects[0]
    }
    drawer_position = None
    if rng.random() < 0.5:
        drawer_position = np.array([PLACEMENT_MAX[0] + 0.21, rng.uniform(-0.16, 0.16), 0.0])
    receptacles, poses = _sample_layout(rng, items)
    start = HandPose(
        REST_POSITION + rng.uniform([-0.04, -0.15, 0.0], [0.06, 0.15, 0.06]),
        float(rng.uniform(-0.3, 0.3)),
        0.25,
        0.06,
    )
    opened = drawer_position is not None and rng.random() < 0.4
    opening = float(rng.uniform(0.10, DRAWER_TRAVEL)) if opened else 0.0
    script = Script(items, poses, receptacles, drawer_position, opening, start)
    writer = ScriptWriter(script, rng, hand.right)
    for slot, receptacle in zip(items, receptacles):
        if rng.random() < 0.4:
            writer.place_on(slot, receptacle)
    positions = [*(pose[:2] for pose in poses.values()), *(centre for _, centre in receptacles.values())]
    positions += [] if drawer_position is None else [drawer_position[:2]]
    camera = _sample_camera(rng, (np.min(positions, axis=0) + np.max(positions, axis=0)) / 2)
    object_set = ObjectSet(objects, _sample_distractors(rng, drawer_position))
    xml = environment.mjcf(rng, hand, script, object_set, camera.fov)
    return Video(hand, writer.write_actions(narrations), camera, bool(rng.random() < SHADOW_SHARE), xml)


def _sample_object(rng: np.random.Generator, name: str) -> TableObject:
    """An object with a wider range of sizes and colours than on the robot's table."""
    category = CATEGORIES[name]
    hue, saturation, value = colorsys.rgb_to_hsv(*category.colour)
    turn, grey, dark = rng.uniform([-0.025, 0.75, 0.75], [0.025, 1.1, 1.2])
    colour = colorsys.hsv_to_rgb((hue + turn) % 1.0, min(1.0, saturation * grey), min(1.0, value * dark))
    return TableObject(
        name,
        float(rng.uniform(0.82, min(1.15, 0.0745 / category.width))),
        float(rng.uniform(0.85, 1.15)),
        tuple(map(float, colour)),
    )


def _sample_distractors(
    rng: np.random.Generator, drawer_position: np.ndarray | None
) -> tuple[Distractor, ...]:
    """Up to three distractors beyond the objects, out of the drawer's way."""
    distractors = []
    for y in rng.permutation([-0.27, 0.0, 0.27])[: int(rng.integers(0, 4))]:
        if drawer_position is None or abs(y - drawer_position[1]) > 0.2:
            pose = [float(value) for value in rng.uniform([0.24, y - 0.04, -3.0], [0.42, y + 0.04, 3.0])]
            colour, size = tuple(rng.uniform(0.1, 0.95, 3).tolist()), float(rng.uniform(0.85, 1.2))
            distractors.append(Distractor(str(rng.choice(list(DISTRACTOR_SIZES))), *pose, colour, size))
    return tuple(distractors)


def _sample_layout(rng: np.random.Generator, items: dict[str, TableObject]) -> tuple[dict, dict]:
    """Returns receptacles and poses, nothing on anything else. Samples until everything fits."""
    while True:
        occupied: list[tuple[np.ndarray, float]] = []
        receptacles, poses = {}, {}
        nouns = rng.permutation(list(_RECEPTACLES))
        for noun in map(str, nouns[: int(rng.choice([0, 1, 2], p=[0.2, 0.4, 0.4]))]):
            radius = float(rng.uniform(0.075, 0.105))
            if (position := _find_position(rng, occupied, radius)) is not None:
                receptacles[noun] = (Receptacle(noun, *_RECEPTACLES[noun], radius), position)
        for name, item in items.items():
            if (position := _find_position(rng, occupied, item.radius)) is None:
                break
            poses[name] = np.array([*position, item.rest_height, rng.uniform(-1.4, 1.4)])
        else:
            return receptacles, poses


def _find_position(rng: np.random.Generator, occupied: list, radius: float) -> np.ndarray | None:
    """Returns a free position and marks it as occupied; None after twenty attempts."""
    for position in rng.uniform(PLACEMENT_MIN, PLACEMENT_MAX, (20, 2)):
        if all(np.linalg.norm(position - centre) > radius + other + 0.012 for centre, other in occupied):
            occupied.append((position, radius))
            return position
    return None


def _sample_camera(rng: np.random.Generator, middle: np.ndarray) -> Camera:
    """A camera that looks at the area around x, y = `middle`."""
    kind = str(rng.choice(list(CAMERAS), p=[share for share, *_ in CAMERAS.values()]))
    _, azimuth, elevation, distance = CAMERAS[kind]
    if kind == "overhead":
        azimuth = float(rng.choice([0.0, 90.0, -90.0, 180.0]))
    turn, tilt = rng.uniform([-22.0, -9.0], [22.0, 9.0])
    target = np.array([*middle, 0.04]) + rng.uniform([-0.05, -0.05, -0.02], [0.05, 0.05, 0.03])
    elevation = max(-89.0, elevation + (0.4 if kind == "overhead" else 1.0) * tilt)
    distance *= float(rng.uniform(0.85, 1.25))
    sway = float(rng.uniform(1.5, 4.0)) if kind == "head_mounted" else 0.0
    fov = float(rng.uniform(46.0, 62.0))
    return Camera(kind, tuple(target.tolist()), distance, azimuth + turn, elevation, fov, sway)
