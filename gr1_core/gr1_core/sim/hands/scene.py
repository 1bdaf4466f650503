"""One video of someone's hand: its room, what lies there, the camera that looks on, and what happens. All of it follows from a seed."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from gr1_core.sim.hands import body, environment
from gr1_core.sim.hands.body import Looks
from gr1_core.sim.hands.script import FIELD_MAX, FIELD_MIN, REST, TRAVEL, Hand, Holder, Script, Writer
from gr1_core.sim.objects.catalogue import FORMS, NAMED, SLOTS, STILLS, Props, Still, Thing

CAMERAS = {  # share of the videos; azimuth (0: along +x, as the person looks), elevation in degrees, distance in metres
    "overhead": (0.15, 0.0, -85.0, 0.80),
    "opposite": (0.20, 180.0, -38.0, 0.80),
    "left": (0.20, -90.0, -35.0, 0.80),
    "right": (0.20, 90.0, -35.0, 0.80),
    "worn": (0.25, 0.0, -52.0, 0.74),
}
SHADOWS = 0.15  # share of the videos with shadows, which cost more than all the rest of a picture
_HOLDERS = {
    "plate": ("on", 0.006),
    "bowl": ("in", 0.012),
    "tray": ("on", 0.008),
    "cutting board": ("on", 0.014),
}


@dataclass(frozen=True)
class Camera:
    """A free camera as MuJoCo has them: it looks at `target` (metres) from `distance`, angles in degrees. sway: that of a worn one, in
    degrees; a still one has 0."""

    kind: str
    target: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float
    fov: float
    sway: float

    def at(self, seconds: float) -> tuple[np.ndarray, float, float]:
        """Target, azimuth and elevation at a time: a head is never still, two slow waves each way."""
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
    """Everything that one video is made of. xml: the room for MuJoCo."""

    someone: Looks
    script: Script
    camera: Camera
    shadows: bool
    xml: str


def draw(seed: int, index: int, narrations: int) -> Video:
    """The index-th video of a seed, with that many narrations. The same on every machine."""
    rng = np.random.default_rng([seed, index, 7])
    someone = body.looks(rng)
    # Of all kinds, also those that the robot is never trained on: that is what videos are for.
    things = tuple(_thing(rng, str(form)) for form in rng.permutation(NAMED)[: len(SLOTS)])
    items = {slot: thing for slot, thing in zip(SLOTS, things) if rng.random() < 0.85} or {
        SLOTS[0]: things[0]
    }
    drawer_at = np.array([FIELD_MAX[0] + 0.21, rng.uniform(-0.16, 0.16), 0.0]) if rng.random() < 0.5 else None
    holders, places = _lay(rng, items)
    start = Hand(
        REST + rng.uniform([-0.04, -0.15, 0.0], [0.06, 0.15, 0.06]), float(rng.uniform(-0.3, 0.3)), 0.25, 0.06
    )
    opened = float(rng.uniform(0.10, TRAVEL)) if drawer_at is not None and rng.random() < 0.4 else 0.0
    script = Script(items, places, holders, drawer_at, opened, start)
    writer = Writer(script, rng, someone.right)
    for slot, holder in zip(items, holders):
        if rng.random() < 0.4:
            writer.lay_on(slot, holder)
    spots = [*(place[:2] for place in places.values()), *(centre for _, centre in holders.values())]
    spots += [] if drawer_at is None else [drawer_at[:2]]
    camera = _camera(rng, (np.min(spots, axis=0) + np.max(spots, axis=0)) / 2)
    xml = environment.mjcf(rng, someone, script, Props(things, _stills(rng, drawer_at)), camera.fov)
    return Video(someone, writer.write(narrations), camera, bool(rng.random() < SHADOWS), xml)


def _thing(rng: np.random.Generator, name: str) -> Thing:
    """In more sizes and colours than on the robot's table."""
    form = FORMS[name]
    hue, saturation, value = colorsys.rgb_to_hsv(*form.colour)
    turn, grey, dark = rng.uniform([-0.025, 0.75, 0.75], [0.025, 1.1, 1.2])
    colour = colorsys.hsv_to_rgb((hue + turn) % 1.0, min(1.0, saturation * grey), min(1.0, value * dark))
    return Thing(
        name,
        float(rng.uniform(0.82, min(1.15, 0.0745 / form.width))),
        float(rng.uniform(0.85, 1.15)),
        tuple(map(float, colour)),
    )


def _stills(rng: np.random.Generator, drawer_at: np.ndarray | None) -> tuple[Still, ...]:
    """Up to three mugs and the like beyond the things, out of the drawer's way."""
    stills = []
    for y in rng.permutation([-0.27, 0.0, 0.27])[: int(rng.integers(0, 4))]:
        if drawer_at is None or abs(y - drawer_at[1]) > 0.2:
            place = [float(value) for value in rng.uniform([0.24, y - 0.04, -3.0], [0.42, y + 0.04, 3.0])]
            colour, size = tuple(rng.uniform(0.1, 0.95, 3).tolist()), float(rng.uniform(0.85, 1.2))
            stills.append(Still(str(rng.choice(list(STILLS))), *place, colour, size))
    return tuple(stills)


def _lay(rng: np.random.Generator, items: dict[str, Thing]) -> tuple[dict, dict]:
    """-> holders and places, nothing on anything else; drawn again from the start when something finds no room."""
    while True:
        taken: list[tuple[np.ndarray, float]] = []
        holders, places = {}, {}
        for kind in rng.permutation(list(_HOLDERS))[: int(rng.choice([0, 1, 2], p=[0.2, 0.4, 0.4]))]:
            radius = float(rng.uniform(0.075, 0.105))
            if (spot := _room(rng, taken, radius)) is not None:
                holders[str(kind)] = (Holder(str(kind), *_HOLDERS[kind], radius), spot)
        for name, thing in items.items():
            if (spot := _room(rng, taken, thing.radius)) is None:
                break
            places[name] = np.array([*spot, thing.rest, rng.uniform(-1.4, 1.4)])
        else:
            return holders, places


def _room(rng: np.random.Generator, taken: list, radius: float) -> np.ndarray | None:
    """A spot where nothing is within twenty draws; it is taken then."""
    for spot in rng.uniform(FIELD_MIN, FIELD_MAX, (20, 2)):
        if all(np.linalg.norm(spot - other) > radius + far + 0.012 for other, far in taken):
            taken.append((spot, radius))
            return spot
    return None


def _camera(rng: np.random.Generator, middle: np.ndarray) -> Camera:
    """Somebody placed it for what happens around x, y = `middle`."""
    kind = str(rng.choice(list(CAMERAS), p=[share for share, *_ in CAMERAS.values()]))
    _, azimuth, elevation, distance = CAMERAS[kind]
    if kind == "overhead":
        azimuth = float(rng.choice([0.0, 90.0, -90.0, 180.0]))
    turn, tilt = rng.uniform([-22.0, -9.0], [22.0, 9.0])
    target = np.array([*middle, 0.04]) + rng.uniform([-0.05, -0.05, -0.02], [0.05, 0.05, 0.03])
    elevation = max(-89.0, elevation + (0.4 if kind == "overhead" else 1.0) * tilt)
    further = distance * float(rng.uniform(0.85, 1.25))
    sway = float(rng.uniform(1.5, 4.0)) if kind == "worn" else 0.0
    return Camera(
        kind, tuple(target.tolist()), further, azimuth + turn, elevation, float(rng.uniform(46.0, 62.0)), sway
    )
