"""Scripts of hand videos: a sequence of actions with narrations, sampled from a seed.

The person sits at -x of a table whose surface is z = 0, and looks along +x. Metres, radians, seconds. There
is no physics: a held object moves with the hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from gr1_core.sim.hands import narrations
from gr1_core.sim.objects.catalogue import TableObject

PLACEMENT_MIN, PLACEMENT_MAX = np.array([-0.23, -0.25]), np.array([0.09, 0.25])  # x, y of objects
REST_POSITION = np.array([-0.30, 0.0, 0.10])  # of the hand between actions, approximately
DRAWER, DRAWER_TRAVEL = "drawer", 0.16
BAR_OFFSET = np.array([0.0, 0.0, 0.062])  # from `drawer_position` to the middle of the closed drawer's handle
UNSURE_SHARE = 0.03  # share of narrations in which the annotator is unsure what the object is


@dataclass(frozen=True)
class Receptacle:
    """Something that objects are put on or into.

    preposition: "on" or "in". floor: height of its inside. radius: of its footprint.
    """

    noun: str
    preposition: str
    floor: float
    radius: float


@dataclass(frozen=True)
class HandPose:
    """Pose of the hand.

    point: the middle between thumb and fingertips. yaw 0: fingers along +x. pitch: downwards. opening:
    distance between the fingertips.
    """

    point: np.ndarray
    yaw: float
    pitch: float
    opening: float


@dataclass(frozen=True)
class Motion:
    """A motion of `seconds` to the pose `to`, at most `lift` above the straight line.

    carries: what moves along: an object's name, DRAWER or None.
    """

    to: HandPose
    seconds: float
    lift: float = 0.0
    carries: str | None = None


@dataclass(frozen=True)
class Narration:
    """The annotator's text and its time stamp."""

    seconds: float
    text: str


@dataclass
class SceneState:
    """State of the scene in one frame. poses: name -> x, y, z, yaw of each object. drawer: its opening."""

    hand: HandPose
    poses: dict[str, np.ndarray]
    drawer: float


@dataclass
class Script:
    """Everything that happens in one video.

    poses: name -> x, y, z, yaw of each object at the start. receptacles: name -> (receptacle, x and y).
    drawer_position: x, y of the closed drawer's handle, None without a drawer. drawer: its opening at the
    start.
    """

    items: dict[str, TableObject]
    poses: dict[str, np.ndarray]
    receptacles: dict[str, tuple[Receptacle, np.ndarray]]
    drawer_position: np.ndarray | None
    drawer: float
    start: HandPose
    motions: list[Motion] = field(default_factory=list)
    narrations: list[Narration] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Duration of the video."""
        return sum(motion.seconds for motion in self.motions)

    def frames(self, fps: int) -> Iterator[SceneState]:
        """Yields the scene states at 0, 1 / fps, ... up to the end."""
        before, begun, drawer = self.start, 0.0, self.drawer
        poses = {name: pose.copy() for name, pose in self.poses.items()}
        count = 0
        for motion in self.motions:
            while count / fps < begun + motion.seconds:
                hand = _interpolate(before, motion, (count / fps - begun) / motion.seconds)
                yield SceneState(
                    hand,
                    poses | _carried_pose(motion, before, hand, poses),
                    _drawer_opening(motion, before, hand, drawer),
                )
                count += 1
            poses |= _carried_pose(motion, before, motion.to, poses)
            drawer = _drawer_opening(motion, before, motion.to, drawer)
            before, begun = motion.to, begun + motion.seconds


def _interpolate(before: HandPose, motion: Motion, share: float) -> HandPose:
    """Minimum-jerk interpolation: the speed of a hand follows a bell curve (Flash and Hogan 1985)."""
    s = share**3 * (10 - 15 * share + 6 * share**2)
    values = [
        a + s * (b - a)
        for a, b in ((getattr(before, name), getattr(motion.to, name)) for name in ("point", "yaw", "pitch"))
    ]
    opening = before.opening + s * (motion.to.opening - before.opening)
    return HandPose(
        values[0] + np.array([0.0, 0.0, 4 * motion.lift * s * (1 - s)]), values[1], values[2], opening
    )


def _carried_pose(
    motion: Motion, before: HandPose, now: HandPose, poses: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    if motion.carries not in poses:
        return {}
    pose, turn = poses[motion.carries], now.yaw - before.yaw
    x, y, z = pose[:3] - before.point
    c, s = math.cos(turn), math.sin(turn)
    return {motion.carries: np.array([*(now.point + (c * x - s * y, s * x + c * y, z)), pose[3] + turn])}


def _drawer_opening(motion: Motion, before: HandPose, now: HandPose, drawer: float) -> float:
    return drawer - float(now.point[0] - before.point[0]) if motion.carries == DRAWER else drawer


class ScriptWriter:
    """Appends actions to a script until it has enough narrations."""

    def __init__(self, script: Script, rng: np.random.Generator, right: bool):
        self._script, self._rng, self._right = script, rng, right
        self._now, self._held, self._drawer = script.start, None, script.drawer
        self._last: str | None = None
        self._origin: str | None = None  # the receptacle that the held object was taken from
        self._poses = {name: pose.copy() for name, pose in script.poses.items()}
        self._support: dict[str, str | None] = dict.fromkeys(script.items)
        self._possessive = "his" if rng.random() < 0.5 else "her"

    def place_on(self, name: str, support: str) -> None:
        """Places the object on the receptacle `support` at the start of the video."""
        receptacle, centre = self._script.receptacles[support]
        self._script.poses[name][:3] = (*centre, receptacle.floor + self._script.items[name].rest_height)
        self._poses[name], self._support[name] = self._script.poses[name].copy(), support

    def write_actions(self, count: int) -> Script:
        """Appends that many narrated actions and returns the script.

        The video continues for at least 1.6 s after the last narration, so that its clip is complete.
        """
        self._move_to(self._now, self._rng.uniform(0.5, 0.9))
        while len(self._script.narrations) < count:
            if self._held is not None:
                self._put(self._held)
            elif self._script.drawer_position is not None and self._rng.random() < 0.3:
                self._move_drawer()
            else:
                name = self._choose_object()
                (self._push if self._support[name] is None and self._rng.random() < 0.2 else self._pick)(name)
        self._move_to(self._now, max(0.2, self._script.narrations[-1].seconds + 1.9 - self._script.seconds))
        return self._script

    def _choose_object(self) -> str:
        """Prefers another object than the one that was last in the hand."""
        others = [name for name in self._script.items if name != self._last]
        self._last = str(
            self._rng.choice(others if others and self._rng.random() < 0.8 else list(self._script.items))
        )
        return self._last

    # Actions

    def _pick(self, name: str) -> None:
        item, rng = self._script.items[name], self._rng
        above = HandPose(
            self._grasp_point(name), self._grasp_yaw(name), float(rng.uniform(0.25, 0.6)), item.width + 0.035
        )
        self._move_to(above, rng.uniform(0.9, 1.3), lift=rng.uniform(0.04, 0.12))
        self._move_to(replace(above, opening=item.width), 0.2)
        self._narrate(narrations.pick_templates(*self._support_of(name)), item.noun)
        up = above.point + (rng.uniform(-0.04, 0.02), rng.uniform(-0.04, 0.04), rng.uniform(0.09, 0.18))
        self._move_to(HandPose(up, above.yaw, above.pitch, item.width), rng.uniform(0.6, 0.9), carries=name)
        self._held, self._origin, self._support[name] = name, self._support[name], None

    def _put(self, name: str) -> None:
        item, rng = self._script.items[name], self._rng
        occupied = (*self._support.values(), self._origin)
        free = [candidate for candidate in self._script.receptacles if candidate not in occupied]
        target = str(rng.choice(free)) if free and rng.random() < 0.65 else None
        receptacle, centre = self._script.receptacles[target] if target else (None, self._free_position(name))
        floor = receptacle.floor if receptacle else 0.0
        position = np.array([*(centre + rng.uniform(-0.01, 0.01, 2)), floor + item.rest_height])
        yaw = self._now.yaw + float(rng.uniform(-0.3, 0.3))
        grip = HandPose(
            position + (self._now.point - self._poses[name][:3]), yaw, self._now.pitch, item.width
        )
        self._move_to(grip, rng.uniform(0.9, 1.3), lift=rng.uniform(0.02, 0.08), carries=name)
        place = (receptacle.noun, receptacle.preposition) if receptacle else (None,)
        self._narrate(narrations.put_templates(*place), item.noun)
        self._held, self._support[name] = None, target
        self._move_to(replace(grip, opening=item.width + 0.04), 0.25)
        self._retreat()

    def _push(self, name: str) -> None:
        item, rng = self._script.items[name], self._rng
        heading = float(rng.uniform(-1.0, 1.0))
        direction = np.array([math.cos(heading), math.sin(heading)])
        end = self._poses[name][:2] + rng.uniform(0.06, 0.12) * direction
        if not self._is_free(end, item.radius, name):
            return
        behind = self._poses[name][:3] - (item.radius + 0.012) * np.array([*direction, 0.0])
        start = HandPose(np.array([behind[0], behind[1], 0.030]), 0.6 * heading, 0.35, 0.02)
        self._move_to(start, rng.uniform(0.9, 1.2), lift=0.06)
        self._narrate(narrations.PUSH, item.noun, delay=0.3)
        self._move_to(
            replace(start, point=start.point + [*(end - self._poses[name][:2]), 0.0]),
            rng.uniform(0.6, 0.9),
            carries=name,
        )
        self._retreat()

    def _move_drawer(self) -> None:
        """Opens a closed drawer and closes an open one."""
        rng, opened = self._rng, self._drawer > 0.06
        bar = (
            self._script.drawer_position + BAR_OFFSET + (-self._drawer, float(rng.uniform(-0.02, 0.02)), 0.0)
        )
        goal = 0.0 if opened else float(rng.uniform(0.10, DRAWER_TRAVEL))
        pushing = opened and rng.random() < 0.6
        at = HandPose(
            bar - (0.02 if pushing else 0.0, 0.0, 0.0),
            float(rng.uniform(-0.25, 0.25)),
            0.30,
            0.015 if pushing else 0.045,
        )
        self._move_to(at, rng.uniform(1.0, 1.4), lift=rng.uniform(0.0, 0.05))
        hold = at if pushing else replace(at, opening=0.02)
        self._move_to(hold, 0.2)
        self._narrate(narrations.CLOSE if opened else narrations.OPEN, DRAWER, delay=0.4)
        moved = replace(hold, point=hold.point + (self._drawer - goal, 0.0, 0.0))
        self._move_to(moved, rng.uniform(0.8, 1.1), carries=DRAWER)
        self._move_to(replace(moved, opening=0.05), 0.2)
        self._drawer = goal
        self._retreat()

    # Building blocks

    def _move_to(self, to: HandPose, seconds: float, lift: float = 0.0, carries: str | None = None) -> None:
        motion = Motion(to, float(seconds), float(lift), carries)
        self._poses |= _carried_pose(motion, self._now, to, self._poses)
        self._script.motions.append(motion)
        self._now = to

    def _retreat(self) -> None:
        rng = self._rng
        if rng.random() < 0.5:
            aside = REST_POSITION + rng.uniform([-0.04, -0.15, 0.0], [0.06, 0.15, 0.08])
        else:
            aside = self._now.point + rng.uniform([-0.10, -0.06, 0.08], [-0.03, 0.06, 0.14])
        self._move_to(
            HandPose(aside, float(rng.uniform(-0.4, 0.4)), 0.25, 0.06), rng.uniform(0.5, 0.8), lift=0.03
        )

    def _narrate(self, templates: tuple[str, ...], noun: str, delay: float = 0.0) -> None:
        """Adds a narration at about the current time; an annotator is off by a quarter of a second."""
        rng = self._rng
        text = templates[int(rng.integers(len(templates)))]
        if rng.random() < 0.15:
            text += f" with {self._possessive} {'right' if self._right else 'left'} hand"
        article = "the" if rng.random() < 0.75 else "an" if noun[0] in "aeiou" else "a"
        known = f"{article} {noun}" if rng.random() > UNSURE_SHARE else "the #unsure"
        seconds = max(0.0, self._script.seconds + delay + float(rng.normal(0.0, 0.25)))
        self._script.narrations.append(Narration(round(seconds, 3), "#C C " + text.format(object=known)))

    def _grasp_point(self, name: str) -> np.ndarray:
        return self._poses[name][:3] + (0.0, 0.0, self._script.items[name].grasp_height)

    def _grasp_yaw(self, name: str) -> float:
        """Across an elongated object by the nearest way; about straight for others.

        A wrist turns at most 65 degrees.
        """
        if not self._script.items[name].elongated:
            return float(self._rng.uniform(-0.5, 0.5))
        return float(np.clip((self._poses[name][3] + math.pi / 2) % math.pi - math.pi / 2, -1.13, 1.13))

    def _support_of(self, name: str) -> tuple[str | None, str]:
        """Returns the receptacle that the object lies on, and the preposition."""
        if self._support[name] is None:
            return None, "on"
        receptacle, _ = self._script.receptacles[self._support[name]]
        return receptacle.noun, receptacle.preposition

    def _is_free(self, position: np.ndarray, radius: float, name: str) -> bool:
        others = [
            (self._poses[other][:2], item.radius)
            for other, item in self._script.items.items()
            if other != name
        ]
        others += [(centre, receptacle.radius) for receptacle, centre in self._script.receptacles.values()]
        inside = bool((position > PLACEMENT_MIN).all() and (position < PLACEMENT_MAX).all())
        return inside and all(
            np.linalg.norm(position - centre) > radius + other + 0.015 for centre, other in others
        )

    def _free_position(self, name: str) -> np.ndarray:
        """A position on the table.

        Where none is free after fifty attempts, the first one is good enough for a video.
        """
        radius = self._script.items[name].radius
        positions = self._rng.uniform(PLACEMENT_MIN, PLACEMENT_MAX, (50, 2))
        return next(
            (position for position in positions if self._is_free(position, radius, name)), positions[0]
        )
