"""What lies on the table: the things in the three slots for movable bodies, and things that only stand around.

A slot keeps its vegetable's name as body name and in the state vector, whatever thing is in it: "eggplant" may hold a banana.
`STANDARD` is the rig's own table. `training`, `instances` and `categories` draw other tables from a seed, the same on every machine.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace

import numpy as np

SLOTS = ("eggplant", "broccoli", "bell_pepper")
UNKNOWN = "?"
"""In a sentence: a noun that nobody knows. Text encoders that learn words read it as one that they never met."""
WIDEST = 0.075  # m that the hand can take between its fingers
Colour = tuple[float, float, float]  # red, green, blue, each 0 .. 1


@dataclass(frozen=True)
class Form:
    """A kind of thing at its usual size, in metres and kilograms; surfaces in shapes.py and fruit.py, collision bodies in bodies.py.

    rest: height of the origin above what it rests on. grasp: fingertips above the origin. radius: of its footprint. width: between the
    fingers. long: it lies along its own y and is grasped across, so yaw matters.
    """

    noun: str
    rest: float
    grasp: float
    radius: float
    width: float
    mass: float
    long: bool
    colour: Colour
    accent: Colour


_GREEN = (0.36, 0.52, 0.22)
FORMS = {
    "eggplant": Form("eggplant", 0.0265, 0.004, 0.062, 0.053, 0.09, True, (0.29, 0.085, 0.35), _GREEN),
    "broccoli": Form(
        "broccoli", 0.040, 0.016, 0.042, 0.070, 0.08, False, (0.19, 0.48, 0.16), (0.66, 0.78, 0.42)
    ),
    "bell_pepper": Form("bell pepper", 0.034, 0.004, 0.040, 0.066, 0.09, False, (0.88, 0.13, 0.07), _GREEN),
    "banana": Form("banana", 0.0175, 0.004, 0.082, 0.035, 0.10, True, (0.95, 0.79, 0.16), (0.36, 0.27, 0.12)),
    "carrot": Form("carrot", 0.0190, 0.004, 0.078, 0.038, 0.08, True, (0.93, 0.42, 0.08), (0.25, 0.52, 0.16)),
    "lemon": Form("lemon", 0.0270, 0.004, 0.045, 0.054, 0.08, True, (0.96, 0.86, 0.22), (0.45, 0.50, 0.16)),
    "peach": Form("peach", 0.0310, 0.004, 0.036, 0.066, 0.09, False, (0.97, 0.60, 0.40), (0.30, 0.46, 0.16)),
    "potato": Form("potato", 0.0250, 0.004, 0.052, 0.056, 0.10, True, (0.71, 0.55, 0.34), (0.50, 0.37, 0.22)),
    "tomato": Form(
        "tomato", 0.0270, 0.004, 0.036, 0.066, 0.09, False, (0.85, 0.10, 0.06), (0.22, 0.42, 0.14)
    ),
    "lump": Form(UNKNOWN, 0.0310, 0.004, 0.038, 0.066, 0.09, False, (0.50, 0.50, 0.50), _GREEN),
    "roll": Form(UNKNOWN, 0.0260, 0.004, 0.064, 0.052, 0.09, True, (0.50, 0.50, 0.50), _GREEN),
}
NAMED = tuple(name for name, form in FORMS.items() if form.noun != UNKNOWN)


@dataclass(frozen=True)
class Thing:
    """A thing that can be grasped. form: a key of FORMS. girth, length: factors on its usual size, across and along its axis.

    colour: of the fruit; accent: of stem, leaf or stalk; None: as usual. stripes: a second colour along the fruit. shape: further
    arguments of the form's surface, such as ("lobes", 3).
    """

    form: str
    girth: float = 1.0
    length: float = 1.0
    colour: Colour | None = None
    accent: Colour | None = None
    stripes: Colour | None = None
    shape: tuple[tuple[str, float], ...] = ()

    def __post_init__(self):
        if self.form not in FORMS:
            raise ValueError(f"no thing '{self.form}': there are {', '.join(FORMS)}")
        if not 0.0 < self.width <= WIDEST:
            raise ValueError(
                f"{self.noun} with girth {self.girth:g} is {self.width:.3f} m wide: the hand takes at most {WIDEST} m"
            )

    @property
    def noun(self) -> str:
        """As it is called in a sentence."""
        return FORMS[self.form].noun

    @property
    def long(self) -> bool:
        """Whether it lies along its own y and is grasped across."""
        return FORMS[self.form].long

    @property
    def upwards(self) -> float:
        """The factor on its height: a long thing lies, the others stand."""
        return self.girth if self.long else self.length

    @property
    def rest(self) -> float:
        """m: height of the origin above what it rests on."""
        return FORMS[self.form].rest * self.upwards

    @property
    def grasp(self) -> float:
        """m: the fingertips' height above the origin in a good grasp."""
        return FORMS[self.form].grasp * self.upwards

    @property
    def radius(self) -> float:
        """m: of the circle around its origin that it stays in."""
        return FORMS[self.form].radius * (self.length if self.long else self.girth)

    @property
    def width(self) -> float:
        """m: what the fingers close on."""
        return FORMS[self.form].width * self.girth


STILLS = {
    "block": (0.040, 0.055),
    "mug": (0.052, 0.080),
    "can": (0.034, 0.105),
    "bottle": (0.032, 0.175),
}  # radius, height in metres


@dataclass(frozen=True)
class Still:
    """A distractor that stands still. form: a key of STILLS. x, y in metres, yaw in radians."""

    form: str
    x: float
    y: float
    yaw: float
    colour: Colour
    size: float = 1.0

    @property
    def radius(self) -> float:
        """m: of its footprint."""
        return STILLS[self.form][0] * self.size

    @property
    def height(self) -> float:
        """m."""
        return STILLS[self.form][1] * self.size


@dataclass(frozen=True)
class Props:
    """A table: one thing a slot, and what stands around. Hashable; one MuJoCo model each."""

    things: tuple[Thing, Thing, Thing] = tuple(Thing(slot) for slot in SLOTS)
    distractors: tuple[Still, ...] = ()

    def __getitem__(self, slot: str) -> Thing:
        return self.things[SLOTS.index(slot)]

    def noun(self, slot: str) -> str:
        """What the thing in a slot is called: "bell pepper"."""
        return self[slot].noun


STANDARD = Props()

# Other eggplants, broccolis and peppers than any that `training` draws: in size or shape, and in colour
_INSTANCES = {
    "eggplant": (
        Thing("eggplant", 0.74, 1.16, (0.36, 0.13, 0.44), shape=(("neck", 1.25),)),  # long and thin
        Thing("eggplant", 1.30, 0.86, (0.12, 0.05, 0.15)),  # stout, nearly black
        Thing("eggplant", 1.00, 0.84, (0.92, 0.90, 0.82)),  # white
        Thing("eggplant", 1.08, 1.00, (0.47, 0.20, 0.50), stripes=(0.86, 0.80, 0.86)),  # striped
    ),
    "broccoli": (
        Thing("broccoli", 0.90, 1.00, (0.42, 0.22, 0.48), (0.62, 0.66, 0.46)),  # purple
        Thing("broccoli", 1.00, 0.95, (0.62, 0.72, 0.30), (0.80, 0.84, 0.62)),  # pale
        Thing(
            "broccoli", 0.76, 0.86, (0.17, 0.42, 0.24), shape=(("florets", 26),)
        ),  # small, with few florets
        Thing(
            "broccoli", 1.05, 1.12, (0.09, 0.30, 0.14), shape=(("florets", 70),)
        ),  # large and dark, with many
    ),
    "bell_pepper": (
        Thing("bell_pepper", 1.00, 1.00, (0.95, 0.76, 0.08)),  # yellow
        Thing(
            "bell_pepper", 0.95, 1.12, (0.95, 0.45, 0.06), shape=(("lobes", 3),)
        ),  # orange, tall, three lobes
        Thing("bell_pepper", 1.03, 0.84, (0.20, 0.46, 0.11)),  # green and squat
        Thing("bell_pepper", 0.76, 0.84, (0.50, 0.05, 0.08), shape=(("lobes", 3),)),  # small, dark red
    ),
}
_CATEGORIES = tuple(form for form in NAMED if form not in SLOTS)
_SHAPES = {
    "eggplant": ("neck", 0.85, 1.15),
    "broccoli": ("florets", 38, 54),
    "bell_pepper": ("groove", 0.055, 0.085),
}

# Of the things in training so many have any colour, so that the policy also learns to tell them by their shapes
_RECOLOURED = 0.45
_UNLIKE = 0.30  # that such a colour keeps from all test instances of its slot, in RGB, before both are shaded

# So many of the tables in training hold things without a name, and with which probability one, two or three of them
_STRANGE, _STRANGERS = 0.4, (0.5, 0.2, 0.3)
_LUMP = {
    "widest": (-0.010, 0.008),
    "shoulder": (0.45, 0.95),
    "foot": (0.5, 1.0),
    "lobes": (2, 7),
    "depth": (0, 0.09),
    "knob": (0.001, 0.008),
}
_ROLL = {"front": (0.45, 1.0), "back": (0.45, 1.0), "bend": (-0.012, 0.012), "knob": (0.001, 0.008)}

# Where distractors may stand: x from, to, y from, to; beside the field only what the hand can pass over
_BESIDE = ((0.25, 0.30, -0.32, 0.04), (0.57, 0.62, -0.32, 0.04))
_ROUND = (
    (0.68, 0.80, -0.30, 0.06),
    (0.25, 0.60, -0.45, -0.42),
    (0.12, 0.18, -0.38, -0.18),
    (0.06, 0.24, 0.22, 0.38),
)


def training(seed: int) -> Props:
    """The standard things, each a little other in colour, size and shape, some in another colour; none to two distractors.

    On some tables one, two or all three are things without a name instead.
    """
    rng = np.random.default_rng([seed, 1])
    things = []
    strangers = (
        rng.permutation(SLOTS)[: 1 + int(rng.choice(3, p=_STRANGERS))] if rng.random() < _STRANGE else ()
    )
    for slot in SLOTS:
        if slot in strangers:
            things.append(_stranger(rng))
            continue
        name, low, high = _SHAPES[slot]
        colour = _other_colour(rng, slot) if rng.random() < _RECOLOURED else None
        things.append(
            _near(rng, Thing(slot, colour=colour, shape=((name, float(rng.uniform(low, high))),)), 0.08)
        )
    return Props(tuple(things), _distractors(rng))


def instances(seed: int) -> Props:
    """Another eggplant, another broccoli and another pepper than any of `training`; no distractors."""
    rng = np.random.default_rng([seed, 2])
    return Props(
        tuple(_near(rng, others[int(rng.integers(len(others)))], 0.03) for others in _INSTANCES.values())
    )


def categories(seed: int) -> Props:
    """Three different things that no other table holds; no distractors."""
    rng = np.random.default_rng([seed, 3])
    return Props(tuple(_near(rng, Thing(form), 0.05) for form in rng.permutation(_CATEGORIES)[:3].tolist()))


DRAWN = {"training": training, "instances": instances, "categories": categories}


def _stranger(rng: np.random.Generator) -> Thing:
    """A thing without a name: of any shape that the hand can take, and of any colours."""
    form, ranges, stout = ("lump", _LUMP, 1.10) if rng.random() < 0.5 else ("roll", _ROLL, 1.20)
    girth, length = float(rng.uniform(0.70, stout)), float(rng.uniform(0.75, 1.20))
    colour, accent, stripes = (_rgb(*rng.uniform([0.0, 0.1, 0.2], [1.0, 0.95, 0.95])) for _ in range(3))
    shape = tuple((name, float(rng.uniform(*limits))) for name, limits in ranges.items())
    return Thing(form, girth, length, colour, accent, stripes if rng.random() < 0.2 else None, shape)


def _other_colour(rng: np.random.Generator, slot: str) -> Colour:
    while True:
        colour = _rgb(rng.uniform(), rng.uniform(0.3, 0.95), rng.uniform(0.25, 0.95))
        if all(math.dist(colour, other.colour) > _UNLIKE for other in _INSTANCES[slot]):
            return colour


def _near(rng: np.random.Generator, thing: Thing, size: float) -> Thing:
    """One like it: girth and length other by at most the fraction `size`, and slightly other colours."""
    usual = FORMS[thing.form]
    girth = min(thing.girth * (1.0 + size * rng.uniform(-1.0, 1.0)), 0.999 * WIDEST / usual.width)
    length = thing.length * (1.0 + size * rng.uniform(-1.0, 1.0))
    colours = (_shade(rng, thing.colour or usual.colour), _shade(rng, thing.accent or usual.accent))
    return replace(thing, girth=float(girth), length=float(length), colour=colours[0], accent=colours[1])


def _shade(rng: np.random.Generator, colour: Colour) -> Colour:
    """Slightly other in hue, saturation and brightness."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    hue += rng.uniform(-0.012, 0.012)
    saturation *= 1.0 + rng.uniform(-0.12, 0.06)
    value *= 1.0 + rng.uniform(-0.15, 0.10)
    return _rgb(hue, saturation, value)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))


def _distractors(rng: np.random.Generator) -> tuple[Still, ...]:
    """None, one or two, at most one of them beside the field: two could leave no room for a layout."""
    stills: list[Still] = []
    wanted, beside = int(rng.integers(3)), bool(rng.integers(2))
    while len(stills) < wanted:
        passed_over = beside and not stills
        zone = (_BESIDE if passed_over else _ROUND)[int(rng.integers(2 if passed_over else 4))]
        form = ("block", "mug", "can", "bottle")[int(rng.integers(2 if passed_over else 4))]
        x, y = float(rng.uniform(*zone[:2])), float(rng.uniform(*zone[2:]))
        colour = _rgb(rng.uniform(), rng.uniform(0.0, 0.75), rng.uniform(0.25, 0.95))
        still = Still(
            form, x, y, float(rng.uniform(-math.pi, math.pi)), colour, float(rng.uniform(0.85, 1.05))
        )
        if all(
            math.dist((x, y), (other.x, other.y)) > still.radius + other.radius + 0.02 for other in stills
        ):
            stills.append(still)
    return tuple(stills)
