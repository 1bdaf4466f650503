"""Objects on the table: those in the three slots for movable bodies, and fixed distractors.

A slot keeps its name as body name and in the state vector, whatever object is in it: the slot "eggplant" may
hold a banana. `STANDARD_OBJECTS` is the rig's own table. `training_objects`, `unseen_instances` and
`unseen_categories` sample other tables from a seed, the same on every machine.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace

import numpy as np

SLOTS = ("eggplant", "broccoli", "bell_pepper")
UNKNOWN_NOUN = "?"
"""Noun of an unnamed object in an instruction. Trained text encoders read it as an unknown word."""
MAX_GRASP_WIDTH = 0.075  # m between the fingers
Colour = tuple[float, float, float]  # red, green, blue, each 0 .. 1


@dataclass(frozen=True)
class Category:
    """An object category at its usual size, in metres and kilograms.

    Meshes are in shapes.py, fruit.py and unnamed.py, collision geoms in bodies.py. rest_height: of the origin
    above the surface it rests on. grasp_height: of the fingertips above the origin. radius: of the footprint.
    width: between the fingers. elongated: it lies along its own y and is grasped across, so its yaw matters.
    """

    noun: str
    rest_height: float
    grasp_height: float
    radius: float
    width: float
    mass: float
    elongated: bool
    colour: Colour
    accent: Colour


_GREEN = (0.36, 0.52, 0.22)
CATEGORIES = {
    "eggplant": Category("eggplant", 0.0265, 0.004, 0.062, 0.053, 0.09, True, (0.29, 0.085, 0.35), _GREEN),
    "broccoli": Category(
        "broccoli", 0.040, 0.016, 0.042, 0.070, 0.08, False, (0.19, 0.48, 0.16), (0.66, 0.78, 0.42)
    ),
    "bell_pepper": Category(
        "bell pepper", 0.034, 0.004, 0.040, 0.066, 0.09, False, (0.88, 0.13, 0.07), _GREEN
    ),
    "banana": Category(
        "banana", 0.0175, 0.004, 0.082, 0.035, 0.10, True, (0.95, 0.79, 0.16), (0.36, 0.27, 0.12)
    ),
    "carrot": Category(
        "carrot", 0.0190, 0.004, 0.078, 0.038, 0.08, True, (0.93, 0.42, 0.08), (0.25, 0.52, 0.16)
    ),
    "lemon": Category(
        "lemon", 0.0270, 0.004, 0.045, 0.054, 0.08, True, (0.96, 0.86, 0.22), (0.45, 0.50, 0.16)
    ),
    "peach": Category(
        "peach", 0.0310, 0.004, 0.036, 0.066, 0.09, False, (0.97, 0.60, 0.40), (0.30, 0.46, 0.16)
    ),
    "potato": Category(
        "potato", 0.0250, 0.004, 0.052, 0.056, 0.10, True, (0.71, 0.55, 0.34), (0.50, 0.37, 0.22)
    ),
    "tomato": Category(
        "tomato", 0.0270, 0.004, 0.036, 0.066, 0.09, False, (0.85, 0.10, 0.06), (0.22, 0.42, 0.14)
    ),
    "lump": Category(UNKNOWN_NOUN, 0.0310, 0.004, 0.038, 0.066, 0.09, False, (0.50, 0.50, 0.50), _GREEN),
    "roll": Category(UNKNOWN_NOUN, 0.0260, 0.004, 0.064, 0.052, 0.09, True, (0.50, 0.50, 0.50), _GREEN),
}
NAMED_CATEGORIES = tuple(name for name, category in CATEGORIES.items() if category.noun != UNKNOWN_NOUN)


@dataclass(frozen=True)
class TableObject:
    """An object that can be grasped.

    category: a key of CATEGORIES. width_scale, length_scale: factors on the usual size, across and along its
    axis. colour: of the body; accent: of stem, leaf or stalk; None: as usual. stripes: a second colour along
    the body. shape: further arguments of the category's mesh, such as ("lobes", 3). Raises ValueError for an
    unknown category and a size that does not fit the gripper.
    """

    category: str
    width_scale: float = 1.0
    length_scale: float = 1.0
    colour: Colour | None = None
    accent: Colour | None = None
    stripes: Colour | None = None
    shape: tuple[tuple[str, float], ...] = ()

    def __post_init__(self):
        if self.category not in CATEGORIES:
            raise ValueError(f"no object category '{self.category}': there are {', '.join(CATEGORIES)}")
        if not 0.0 < self.width <= MAX_GRASP_WIDTH:
            raise ValueError(
                f"{self.noun} with width_scale {self.width_scale:g} is {self.width:.3f} m wide: "
                f"the gripper takes at most {MAX_GRASP_WIDTH} m"
            )

    @property
    def noun(self) -> str:
        """Its noun in instructions."""
        return CATEGORIES[self.category].noun

    @property
    def elongated(self) -> bool:
        """Whether it lies along its own y and is grasped across."""
        return CATEGORIES[self.category].elongated

    @property
    def height_scale(self) -> float:
        """Factor on its height: elongated objects lie, the others stand."""
        return self.width_scale if self.elongated else self.length_scale

    @property
    def rest_height(self) -> float:
        """Height in metres of the origin above the surface it rests on."""
        return CATEGORIES[self.category].rest_height * self.height_scale

    @property
    def grasp_height(self) -> float:
        """Height in metres of the fingertips above the origin in a good grasp."""
        return CATEGORIES[self.category].grasp_height * self.height_scale

    @property
    def radius(self) -> float:
        """Radius in metres of its footprint around the origin."""
        return CATEGORIES[self.category].radius * (self.length_scale if self.elongated else self.width_scale)

    @property
    def width(self) -> float:
        """Width in metres between the fingers."""
        return CATEGORIES[self.category].width * self.width_scale


# Radius and height in metres
DISTRACTOR_SIZES = {
    "block": (0.040, 0.055),
    "mug": (0.052, 0.080),
    "can": (0.034, 0.105),
    "bottle": (0.032, 0.175),
}


@dataclass(frozen=True)
class Distractor:
    """A fixed object that is not part of any task. category: a key of DISTRACTOR_SIZES. x, y: metres, yaw:
    radians.
    """

    category: str
    x: float
    y: float
    yaw: float
    colour: Colour
    size: float = 1.0

    @property
    def radius(self) -> float:
        """Radius of its footprint in metres."""
        return DISTRACTOR_SIZES[self.category][0] * self.size

    @property
    def height(self) -> float:
        """Height in metres."""
        return DISTRACTOR_SIZES[self.category][1] * self.size


@dataclass(frozen=True)
class ObjectSet:
    """All objects on one table: one per slot, and the distractors. Hashable; each set needs its own MuJoCo
    model.
    """

    in_slots: tuple[TableObject, TableObject, TableObject] = tuple(TableObject(slot) for slot in SLOTS)
    distractors: tuple[Distractor, ...] = ()

    def __getitem__(self, slot: str) -> TableObject:
        return self.in_slots[SLOTS.index(slot)]

    def noun(self, slot: str) -> str:
        """Noun of the object in a slot: "bell pepper"."""
        return self[slot].noun


STANDARD_OBJECTS = ObjectSet()

# Test instances. `training_objects` never samples an object like these: they differ in size or shape, and in
# colour.
_INSTANCES = {
    "eggplant": (
        TableObject("eggplant", 0.74, 1.16, (0.36, 0.13, 0.44), shape=(("neck", 1.25),)),  # long and thin
        TableObject("eggplant", 1.30, 0.86, (0.12, 0.05, 0.15)),  # stout, nearly black
        TableObject("eggplant", 1.00, 0.84, (0.92, 0.90, 0.82)),  # white
        TableObject("eggplant", 1.08, 1.00, (0.47, 0.20, 0.50), stripes=(0.86, 0.80, 0.86)),  # striped
    ),
    "broccoli": (
        TableObject("broccoli", 0.90, 1.00, (0.42, 0.22, 0.48), (0.62, 0.66, 0.46)),  # purple
        TableObject("broccoli", 1.00, 0.95, (0.62, 0.72, 0.30), (0.80, 0.84, 0.62)),  # pale
        TableObject(
            "broccoli", 0.76, 0.86, (0.17, 0.42, 0.24), shape=(("florets", 26),)
        ),  # small, with few florets
        TableObject(
            "broccoli", 1.05, 1.12, (0.09, 0.30, 0.14), shape=(("florets", 70),)
        ),  # large and dark, with many
    ),
    "bell_pepper": (
        TableObject("bell_pepper", 1.00, 1.00, (0.95, 0.76, 0.08)),  # yellow
        TableObject(
            "bell_pepper", 0.95, 1.12, (0.95, 0.45, 0.06), shape=(("lobes", 3),)
        ),  # orange, tall, three lobes
        TableObject("bell_pepper", 1.03, 0.84, (0.20, 0.46, 0.11)),  # green and squat
        TableObject("bell_pepper", 0.76, 0.84, (0.50, 0.05, 0.08), shape=(("lobes", 3),)),  # small, dark red
    ),
}
_UNSEEN_CATEGORIES = tuple(name for name in NAMED_CATEGORIES if name not in SLOTS)
_SHAPE_RANGES = {
    "eggplant": ("neck", 0.85, 1.15),
    "broccoli": ("florets", 38, 54),
    "bell_pepper": ("groove", 0.055, 0.085),
}

# Share of training objects with an arbitrary colour, so that the policy also learns to tell them by shape
_RECOLOURED_SHARE = 0.45
# Least distance in RGB of such a colour from those of the slot's test instances, before both are shaded
_MIN_COLOUR_DISTANCE = 0.30

# Share of training tables with unnamed objects, and the probabilities of one, two and three of them
_UNNAMED_SHARE, _UNNAMED_COUNTS = 0.4, (0.5, 0.2, 0.3)
_LUMP_RANGES = {
    "widest": (-0.010, 0.008),
    "shoulder": (0.45, 0.95),
    "foot": (0.5, 1.0),
    "lobes": (2, 7),
    "depth": (0, 0.09),
    "knob": (0.001, 0.008),
}
_ROLL_RANGES = {"front": (0.45, 1.0), "back": (0.45, 1.0), "bend": (-0.012, 0.012), "knob": (0.001, 0.008)}

# Zones of distractors: x from, to, y from, to. Beside the placement area only those that the gripper can pass
# over
_BESIDE_ZONES = ((0.25, 0.30, -0.32, 0.04), (0.57, 0.62, -0.32, 0.04))
_OUTER_ZONES = (
    (0.68, 0.80, -0.30, 0.06),
    (0.25, 0.60, -0.45, -0.42),
    (0.12, 0.18, -0.38, -0.18),
    (0.06, 0.24, 0.22, 0.38),
)


def training_objects(seed: int) -> ObjectSet:
    """Samples a training table: the standard categories with varied colour, size and shape, and 0 to 2
    distractors.

    On a share of the tables one, two or all three objects are unnamed ones instead.
    """
    rng = np.random.default_rng([seed, 1])
    objects = []
    has_unnamed = rng.random() < _UNNAMED_SHARE
    unnamed = rng.permutation(SLOTS)[: 1 + int(rng.choice(3, p=_UNNAMED_COUNTS))] if has_unnamed else ()
    for slot in SLOTS:
        if slot in unnamed:
            objects.append(_sample_unnamed(rng))
            continue
        name, low, high = _SHAPE_RANGES[slot]
        colour = _sample_colour(rng, slot) if rng.random() < _RECOLOURED_SHARE else None
        usual = TableObject(slot, colour=colour, shape=((name, float(rng.uniform(low, high))),))
        objects.append(_vary(rng, usual, 0.08))
    return ObjectSet(tuple(objects), _sample_distractors(rng))


def unseen_instances(seed: int) -> ObjectSet:
    """Samples a table with an eggplant, a broccoli and a bell pepper unlike those of training; no
    distractors.
    """
    rng = np.random.default_rng([seed, 2])
    return ObjectSet(
        tuple(_vary(rng, others[int(rng.integers(len(others)))], 0.03) for others in _INSTANCES.values())
    )


def unseen_categories(seed: int) -> ObjectSet:
    """Samples a table with three different categories that no other table holds; no distractors."""
    rng = np.random.default_rng([seed, 3])
    chosen = rng.permutation(_UNSEEN_CATEGORIES)[:3].tolist()
    return ObjectSet(tuple(_vary(rng, TableObject(category), 0.05) for category in chosen))


OBJECT_SAMPLERS = {
    "training": training_objects,
    "instances": unseen_instances,
    "categories": unseen_categories,
}


def _sample_unnamed(rng: np.random.Generator) -> TableObject:
    """An unnamed object: any shape that fits the gripper, any colours."""
    if rng.random() < 0.5:
        category, ranges, widest = "lump", _LUMP_RANGES, 1.10
    else:
        category, ranges, widest = "roll", _ROLL_RANGES, 1.20
    width, length = float(rng.uniform(0.70, widest)), float(rng.uniform(0.75, 1.20))
    colour, accent, stripes = (_rgb(*rng.uniform([0.0, 0.1, 0.2], [1.0, 0.95, 0.95])) for _ in range(3))
    shape = tuple((name, float(rng.uniform(*limits))) for name, limits in ranges.items())
    return TableObject(
        category, width, length, colour, accent, stripes if rng.random() < 0.2 else None, shape
    )


def _sample_colour(rng: np.random.Generator, slot: str) -> Colour:
    """Any colour that is clearly different from those of the slot's test instances."""
    while True:
        colour = _rgb(rng.uniform(), rng.uniform(0.3, 0.95), rng.uniform(0.25, 0.95))
        if all(math.dist(colour, other.colour) > _MIN_COLOUR_DISTANCE for other in _INSTANCES[slot]):
            return colour


def _vary(rng: np.random.Generator, item: TableObject, size: float) -> TableObject:
    """Changes width and length by at most the fraction `size`, and the colours slightly."""
    usual = CATEGORIES[item.category]
    width = min(
        item.width_scale * (1.0 + size * rng.uniform(-1.0, 1.0)), 0.999 * MAX_GRASP_WIDTH / usual.width
    )
    length = item.length_scale * (1.0 + size * rng.uniform(-1.0, 1.0))
    colour, accent = _shade(rng, item.colour or usual.colour), _shade(rng, item.accent or usual.accent)
    return replace(item, width_scale=float(width), length_scale=float(length), colour=colour, accent=accent)


def _shade(rng: np.random.Generator, colour: Colour) -> Colour:
    """Changes hue, saturation and brightness slightly."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    hue += rng.uniform(-0.012, 0.012)
    saturation *= 1.0 + rng.uniform(-0.12, 0.06)
    value *= 1.0 + rng.uniform(-0.15, 0.10)
    return _rgb(hue, saturation, value)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))


def _sample_distractors(rng: np.random.Generator) -> tuple[Distractor, ...]:
    """None, one or two; at most one beside the placement area, since two could leave no room for a layout."""
    distractors: list[Distractor] = []
    count, beside = int(rng.integers(3)), bool(rng.integers(2))
    while len(distractors) < count:
        low = beside and not distractors  # the gripper passes over it
        zone = (_BESIDE_ZONES if low else _OUTER_ZONES)[int(rng.integers(2 if low else 4))]
        category = ("block", "mug", "can", "bottle")[int(rng.integers(2 if low else 4))]
        x, y = float(rng.uniform(*zone[:2])), float(rng.uniform(*zone[2:]))
        colour = _rgb(rng.uniform(), rng.uniform(0.0, 0.75), rng.uniform(0.25, 0.95))
        yaw, size = float(rng.uniform(-math.pi, math.pi)), float(rng.uniform(0.85, 1.05))
        item = Distractor(category, x, y, yaw, colour, size)
        if all(
            math.dist((x, y), (other.x, other.y)) > item.radius + other.radius + 0.02 for other in distractors
        ):
            distractors.append(item)
    return tuple(distractors)
