"""What someone's hand does on a table, and what an annotator says to it: a few actions one after the other, drawn by a seed.

The person sits at -x of a table whose surface is z = 0, and looks along +x. Metres, radians, seconds. Nothing is drawn here, and there is
no physics: what is held moves with the hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from gr1_core.sim.hands import narrations as words
from gr1_core.sim.objects.catalogue import Thing

FIELD_MIN, FIELD_MAX = np.array([-0.23, -0.25]), np.array([0.09, 0.25])  # where things may lie
REST = np.array([-0.30, 0.0, 0.10])  # of the hand between actions, about
DRAWER, TRAVEL = "drawer", 0.16
BAR = np.array(
    [0.0, 0.0, 0.062]
)  # the handle's middle when the drawer is closed, from the place that a script is given for it
WORN = 0.03  # share of narrations in which the annotator is unsure what the thing is


@dataclass(frozen=True)
class Holder:
    """What things are put on or into. word: "on" or "in". floor: height of its inside. radius: of what it covers."""

    noun: str
    word: str
    floor: float
    radius: float


@dataclass(frozen=True)
class Hand:
    """point: the middle between thumb and fingers; yaw, 0: fingers along +x; pitch: how far they point down; opening between the tips."""

    point: np.ndarray
    yaw: float
    pitch: float
    opening: float


@dataclass(frozen=True)
class Step:
    """A motion of `seconds` to `to`, at most `lift` above the straight way. carries: what moves along, an item, the drawer or nothing."""

    to: Hand
    seconds: float
    lift: float = 0.0
    carries: str | None = None


@dataclass(frozen=True)
class Narration:
    """The annotator's sentence, and the second at which it is set."""

    seconds: float
    text: str


@dataclass
class Moment:
    """What a picture shows. places: name -> x, y, z, yaw of each item; drawer: how far open."""

    hand: Hand
    places: dict[str, np.ndarray]
    drawer: float


@dataclass
class Script:
    """All of one video. holders: name -> (what it is, x, y). drawer_at: x, y of the closed drawer's handle; None: no drawer."""

    items: dict[str, Thing]
    places: dict[str, np.ndarray]
    holders: dict[str, tuple[Holder, np.ndarray]]
    drawer_at: np.ndarray | None
    drawer: float
    start: Hand
    steps: list[Step] = field(default_factory=list)
    narrations: list[Narration] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    def frames(self, fps: int) -> Iterator[Moment]:
        """The moments 0, 1 / fps, ... up to the end."""
        before, begun, drawer = self.start, 0.0, self.drawer
        places = {name: place.copy() for name, place in self.places.items()}
        count = 0
        for step in self.steps:
            while count / fps < begun + step.seconds:
                hand = _between(before, step, (count / fps - begun) / step.seconds)
                yield Moment(
                    hand, places | _carried(step, before, hand, places), _pulled(step, before, hand, drawer)
                )
                count += 1
            places |= _carried(step, before, step.to, places)
            drawer = _pulled(step, before, step.to, drawer)
            before, begun = step.to, begun + step.seconds


def _between(before: Hand, step: Step, share: float) -> Hand:
    """Minimum jerk: a hand's speed is a bell (Flash and Hogan 1985)."""
    s = share**3 * (10 - 15 * share + 6 * share**2)
    values = [
        a + s * (b - a)
        for a, b in ((getattr(before, name), getattr(step.to, name)) for name in ("point", "yaw", "pitch"))
    ]
    opening = before.opening + s * (step.to.opening - before.opening)
    return Hand(values[0] + np.array([0.0, 0.0, 4 * step.lift * s * (1 - s)]), values[1], values[2], opening)


def _carried(step: Step, before: Hand, now: Hand, places: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if step.carries not in places:
        return {}
    place, turn = places[step.carries], now.yaw - before.yaw
    x, y, z = place[:3] - before.point
    c, s = math.cos(turn), math.sin(turn)
    return {step.carries: np.array([*(now.point + (c * x - s * y, s * x + c * y, z)), place[3] + turn])}


def _pulled(step: Step, before: Hand, now: Hand, drawer: float) -> float:
    return drawer - float(now.point[0] - before.point[0]) if step.carries == DRAWER else drawer


class Writer:
    """Adds actions to a script until it has as many narrations as wanted."""

    def __init__(self, script: Script, rng: np.random.Generator, right: bool):
        self._script, self._rng, self._right = script, rng, right
        self._now, self._held, self._drawer = script.start, None, script.drawer
        self._last: str | None = None
        self._origin: str | None = None  # the holder that the held thing was taken from
        self._places = {name: place.copy() for name, place in script.places.items()}
        self._on: dict[str, str | None] = dict.fromkeys(script.items)
        self._his = "his" if rng.random() < 0.5 else "her"

    def lay_on(self, name: str, holder: str) -> None:
        """The item lies on the holder when the video begins."""
        what, centre = self._script.holders[holder]
        self._script.places[name][:3] = (*centre, what.floor + self._script.items[name].rest)
        self._places[name], self._on[name] = self._script.places[name].copy(), holder

    def write(self, narrations: int) -> Script:
        """Adds that many narrated actions. The video ends 1.6 s or more after the last, so that its clip lies around it."""
        self._go(self._now, self._rng.uniform(0.5, 0.9))
        while len(self._script.narrations) < narrations:
            if self._held is not None:
                self._put(self._held)
            elif self._script.drawer_at is not None and self._rng.random() < 0.3:
                self._slide()
            else:
                name = self._next()
                (self._push if self._on[name] is None and self._rng.random() < 0.2 else self._pick)(name)
        self._go(self._now, max(0.2, self._script.narrations[-1].seconds + 1.9 - self._script.seconds))
        return self._script

    def _next(self) -> str:
        """Rather another item than the one that was last in the hand."""
        others = [name for name in self._script.items if name != self._last]
        self._last = str(
            self._rng.choice(others if others and self._rng.random() < 0.8 else list(self._script.items))
        )
        return self._last

    # Actions

    def _pick(self, name: str) -> None:
        item, rng = self._script.items[name], self._rng
        above = Hand(self._grip(name), self._yaw(name), float(rng.uniform(0.25, 0.6)), item.width + 0.035)
        self._go(above, rng.uniform(0.9, 1.3), lift=rng.uniform(0.04, 0.12))
        self._go(replace(above, opening=item.width), 0.2)
        self._say(words.pick(*self._from(name)), item.noun)
        up = above.point + (rng.uniform(-0.04, 0.02), rng.uniform(-0.04, 0.04), rng.uniform(0.09, 0.18))
        self._go(Hand(up, above.yaw, above.pitch, item.width), rng.uniform(0.6, 0.9), carries=name)
        self._held, self._origin, self._on[name] = name, self._on[name], None

    def _put(self, name: str) -> None:
        item, rng = self._script.items[name], self._rng
        free = [holder for holder in self._script.holders if holder not in (*self._on.values(), self._origin)]
        onto = str(rng.choice(free)) if free and rng.random() < 0.65 else None
        what, centre = self._script.holders[onto] if onto else (None, self._free_spot(name))
        floor = what.floor if what else 0.0
        spot = np.array([*(centre + rng.uniform(-0.01, 0.01, 2)), floor + item.rest])
        yaw = self._now.yaw + float(rng.uniform(-0.3, 0.3))
        grip = Hand(spot + (self._now.point - self._places[name][:3]), yaw, self._now.pitch, item.width)
        self._go(grip, rng.uniform(0.9, 1.3), lift=rng.uniform(0.02, 0.08), carries=name)
        self._say(words.put(*((what.noun, what.word) if what else (None,))), item.noun)
        self._held, self._on[name] = None, onto
        self._go(replace(grip, opening=item.width + 0.04), 0.25)
        self._leave()

    def _push(self, name: str) -> None:
        item, rng = self._script.items[name], self._rng
        heading = float(rng.uniform(-1.0, 1.0))
        way = np.array([math.cos(heading), math.sin(heading)])
        end = self._places[name][:2] + rng.uniform(0.06, 0.12) * way
        if not self._clear(end, item.radius, name):
            return
        behind = self._places[name][:3] - (item.radius + 0.012) * np.array([*way, 0.0])
        start = Hand(np.array([behind[0], behind[1], 0.030]), 0.6 * heading, 0.35, 0.02)
        self._go(start, rng.uniform(0.9, 1.2), lift=0.06)
        self._say(words.PUSH, item.noun, later=0.3)
        self._go(
            replace(start, point=start.point + [*(end - self._places[name][:2]), 0.0]),
            rng.uniform(0.6, 0.9),
            carries=name,
        )
        self._leave()

    def _slide(self) -> None:
        """Opens the drawer if it is closed, and closes it if it is open."""
        rng, opened = self._rng, self._drawer > 0.06
        bar = self._script.drawer_at + BAR + (-self._drawer, float(rng.uniform(-0.02, 0.02)), 0.0)
        goal = 0.0 if opened else float(rng.uniform(0.10, TRAVEL))
        pushing = opened and rng.random() < 0.6
        at = Hand(
            bar - (0.02 if pushing else 0.0, 0.0, 0.0),
            float(rng.uniform(-0.25, 0.25)),
            0.30,
            0.015 if pushing else 0.045,
        )
        self._go(at, rng.uniform(1.0, 1.4), lift=rng.uniform(0.0, 0.05))
        hold = at if pushing else replace(at, opening=0.02)
        self._go(hold, 0.2)
        self._say(words.CLOSE if opened else words.OPEN, DRAWER, later=0.4)
        moved = replace(hold, point=hold.point + (self._drawer - goal, 0.0, 0.0))
        self._go(moved, rng.uniform(0.8, 1.1), carries=DRAWER)
        self._go(replace(moved, opening=0.05), 0.2)
        self._drawer = goal
        self._leave()

    # Pieces of them

    def _go(self, to: Hand, seconds: float, lift: float = 0.0, carries: str | None = None) -> None:
        step = Step(to, float(seconds), float(lift), carries)
        self._places |= _carried(step, self._now, to, self._places)
        self._script.steps.append(step)
        self._now = to

    def _leave(self) -> None:
        rng = self._rng
        if rng.random() < 0.5:
            aside = REST + rng.uniform([-0.04, -0.15, 0.0], [0.06, 0.15, 0.08])
        else:
            aside = self._now.point + rng.uniform([-0.10, -0.06, 0.08], [-0.03, 0.06, 0.14])
        self._go(Hand(aside, float(rng.uniform(-0.4, 0.4)), 0.25, 0.06), rng.uniform(0.5, 0.8), lift=0.03)

    def _say(self, templates: tuple[str, ...], noun: str, later: float = 0.0) -> None:
        """About now (an annotator is off by a quarter of a second)."""
        rng = self._rng
        text = templates[int(rng.integers(len(templates)))]
        if rng.random() < 0.15:
            text += f" with {self._his} {'right' if self._right else 'left'} hand"
        article = "the" if rng.random() < 0.75 else "an" if noun[0] in "aeiou" else "a"
        known = f"{article} {noun}" if rng.random() > WORN else "the #unsure"
        seconds = max(0.0, self._script.seconds + later + float(rng.normal(0.0, 0.25)))
        self._script.narrations.append(Narration(round(seconds, 3), "#C C " + text.format(thing=known)))

    def _grip(self, name: str) -> np.ndarray:
        return self._places[name][:3] + (0.0, 0.0, self._script.items[name].grasp)

    def _yaw(self, name: str) -> float:
        """Across a long thing by the nearest way; about straight on for others. A wrist does not turn beyond 65 degrees."""
        if not self._script.items[name].long:
            return float(self._rng.uniform(-0.5, 0.5))
        return float(np.clip((self._places[name][3] + math.pi / 2) % math.pi - math.pi / 2, -1.13, 1.13))

    def _from(self, name: str) -> tuple[str | None, str]:
        """What the item lies on, and whether on or in it."""
        if self._on[name] is None:
            return None, "on"
        holder, _ = self._script.holders[self._on[name]]
        return holder.noun, holder.word

    def _clear(self, spot: np.ndarray, radius: float, name: str) -> bool:
        others = [
            (self._places[other][:2], item.radius)
            for other, item in self._script.items.items()
            if other != name
        ]
        others += [(centre, holder.radius) for holder, centre in self._script.holders.values()]
        inside = bool((spot > FIELD_MIN).all() and (spot < FIELD_MAX).all())
        return inside and all(
            np.linalg.norm(spot - centre) > radius + other + 0.015 for centre, other in others
        )

    def _free_spot(self, name: str) -> np.ndarray:
        """On the table; where nothing is free after fifty draws, the least crowded place drawn is near enough for a video."""
        radius = self._script.items[name].radius
        spots = self._rng.uniform(FIELD_MIN, FIELD_MAX, (50, 2))
        return next((spot for spot in spots if self._clear(spot, radius, name)), spots[0])
