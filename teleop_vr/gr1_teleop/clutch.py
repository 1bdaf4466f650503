"""The clutch between a hand and the arm: samples of the hand in, twists for the arm out. No ROS, no sockets, no threads.

While the hand squeezes, the arm's goal is where the arm was commanded to be when it began, moved and turned as the hand has been since:

    goal = anchor + scale * (hand - hand at the beginning)        twist = gain * (goal - commanded) / period, shortened to the limits

Both origins are taken in one moment, that of the first command, so each engagement begins with a twist of zero, whatever lies between
the hand and the arm. Positions of the hand come in WebXR's `local-floor` (x right, y up, z towards the operator); everything that leaves
is in the arm's base frame (x forward, y left, z up), and the operator says with the stick which way is forward: a turn about the
vertical, no more. The hand turns the arm about the base's axes, not its own, so it does not matter how it holds the controller.

The gate behind it ramps, contains and expires what comes from here (docs/explanation/safety.md); this only never asks for more than the limits.
Units: m, rad, s on the host's steady clock; quaternions xyzw.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gr1_core.rig import Limits
from gr1_robot.arm.backend import Pose
from gr1_teleop import quaternion
from gr1_teleop.grip import HIDDEN, Grip
from gr1_teleop.protocol import HANDS, DeskVelocity, HandPose
from gr1_teleop.settings import Command, Event, Settings

OPEN, WAITING, ENGAGED = "open", "waiting", "engaged"
LET_GO, RECENTRED, SILENT, NO_POSE = (
    "let go",
    "the view was recentred",
    "nothing new from the hand",
    "the arm reports no usable pose",
)

_TO_BASE = np.array([0.5, -0.5, -0.5, 0.5])
"""Turns local-floor's axes into the base's: -z forward to +x, -x to +y, +y to +z."""
_POINTING = {"headset": (0.0, -1.0, -1.0), "phone": (0.0, 1.0, -1.0)}
"""Where a hand points, in its own axes. A grip's -z goes along the thumb, its -y away from the arm, and a controller's ray runs between
them (Meta's: 7 degrees beside the middle, less than a hand is out). A phone that is upright looks along -z, one that lies flat points
with its top, +y."""
_LEVEL = 0.5
_TAKE_OVER = 0.15
_ZERO = np.zeros(3)
_ZERO.setflags(write=False)


class Clutch:
    """See the module's text. `feed` takes each sample, `command` is called once a control period, `halt` as often as one likes.

    period: the control period in s. on_event is called with each Event, in the thread that caused it.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        period: float,
        on_event: Callable[[Event], None] = lambda event: None,
    ):
        self.settings, self.period, self.on_event = settings, period, on_event
        # The gate counts what is longer than a limit as cut; a rounding must not make it so.
        self.max_linear = min(settings.max_linear, limits.linear_speed) * (1.0 - 1e-9)
        self.max_angular = min(settings.max_angular, limits.angular_speed) * (1.0 - 1e-9)
        self.why = ""
        """Why the arm does not follow, or stopped following; "" while it does."""
        self._active: Grip | None = None
        self._engaged = self._halt_due = False
        self._events: list[Event] = []
        self.begin("headset")

    def begin(self, kind: str, keep_forward: bool = False) -> None:
        """A device has come: nothing is known of its hands, so each must be seen open before it can engage. kind: as in `Hello`."""
        self.release("another device has come")
        self.why = ""
        self._grips = {name: Grip(self.settings) for name in (*HANDS, "desk")}
        self._pointing = np.array(_POINTING.get(kind, _POINTING["headset"])) / math.sqrt(2.0)
        if not keep_forward:
            self._face(0.0)

    @property
    def state(self) -> str:
        if self._engaged:
            return ENGAGED
        return (
            WAITING
            if any(grip.pressed and grip.known and grip is not self._active for grip in self._grips.values())
            else OPEN
        )

    @property
    def gripper_waits(self) -> bool:
        """Whether the fingers stay as they are until the trigger has come to where they are."""
        return self._engaged and self._held is not None

    # In: samples, and what ends an engagement from outside

    def feed(self, sample: HandPose | DeskVelocity, now: float, age: float = 0.0) -> None:
        """One sample that arrived at `now` and was `age` s old then."""
        grip = self._grips[sample.hand if isinstance(sample, HandPose) else "desk"]
        self._watch_silence(now)
        if now - grip.seen > self.settings.silence_s:
            grip.forget()
            # A page tells of one hand at a time. Where the one before was open, the other's press is seen from its beginning.
            present = [other for other in self._grips.values() if now - other.seen <= self.settings.silence_s]
            grip.pressed = not present or any(other.pressed for other in present)
        was, stick = grip.pressed, grip.stick
        trouble = grip.take(sample, now, age)
        if trouble == HIDDEN:
            self.release(HIDDEN)
        if grip is self._active:
            if trouble or not grip.pressed:
                self.release(trouble if grip.pressed else LET_GO)
        elif grip.pressed and not was:
            if trouble or self._active:
                self._refuse(trouble or "the other hand moves the arm")
            else:
                self._active = grip
        if grip.stick and not stick and not self._active:
            self._point(grip, trouble)

    def release(self, why: str) -> None:
        """Ends the engagement, if there is one. Its hand must then be seen open before it can engage again."""
        if self._active is None:
            return
        self._active = None
        self.why = why
        if self._engaged:
            self._engaged, self._halt_due = False, True
            self._tell("released", why)
        elif why != LET_GO:
            self._tell("refused", why)

    def recenter(self) -> None:
        """The hand's frame has moved by nobody knows how much: the view is forward again."""
        self.release(RECENTRED)
        for grip in self._grips.values():
            grip.lose()
        self._face(0.0)

    # Out

    def halt(self, now: float) -> Command | None:
        """The one zero twist after an engagement, as soon as it has ended; else None. Ask more often than `command`: it stops sooner."""
        self._watch_silence(now)
        if not self._halt_due:
            return None
        self._halt_due = False
        return Command(_ZERO, _ZERO, self._closure, False, self._take_events())

    def command(
        self, commanded: Pose | None, now: float, closure: float | None = None, blocked: str = ""
    ) -> Command | None:
        """What to send for the coming period, None for nothing.

        commanded: where the arm is asked to be at this moment (None: not known). closure: what the fingers were last told, None if
        nothing yet. blocked: why the arm can't be moved just now, in words; it ends an engagement, so that nothing is made up for later.
        """
        if halt := self.halt(now):
            return halt
        if self._active is None:
            return None
        if blocked or not _usable(commanded):
            self.release(blocked or NO_POSE)
            return self.halt(now)
        grip = self._active
        if not self._engaged:
            return self._engage(grip, commanded, closure)
        if grip.velocity is not None:
            twist = grip.velocity[0] * self.max_linear, grip.velocity[1] * self.max_angular
        else:
            twist = self._follow(grip, commanded)
        self._last = _limit(twist[0], self.max_linear), _limit(twist[1], self.max_angular)
        return Command(*self._last, self._fingers(grip), True, self._take_events())

    def _engage(self, grip: Grip, commanded: Pose, closure: float | None) -> Command:
        self._engaged, self.why = True, ""
        self._anchor = np.array(commanded.position, np.float64), quaternion.unit(commanded.quaternion)
        self._origin = grip.position, grip.orientation
        self._last = _ZERO, _ZERO
        # Fingers that hold something must not open because the trigger happens to be open: the trigger takes them over where they are.
        told = None if closure is None or not math.isfinite(closure) else min(max(closure, 0.0), 1.0)
        self._held = told if told is not None and abs(told - grip.closure) > _TAKE_OVER else None
        self._before = grip.closure
        self._tell("engaged", "")
        return Command(_ZERO, _ZERO, self._fingers(grip), True, self._take_events())

    def _follow(self, grip: Grip, commanded: Pose) -> tuple[np.ndarray, np.ndarray]:
        settings = self.settings
        moved = quaternion.rotated(self._to_base, grip.position - self._origin[0]) * settings.scale
        turned = quaternion.IDENTITY
        if settings.rotation:
            turn = quaternion.between(self._origin[1], grip.orientation)
            turned = quaternion.from_vector(quaternion.rotated(self._to_base, turn))
        way = self._anchor[0] + moved - commanded.position
        turn = quaternion.between(
            quaternion.unit(commanded.quaternion), quaternion.times(turned, self._anchor[1])
        )
        # A goal that has run ahead (a hand faster than the arm, an arm at a wall) is drawn along: the arm stops soon after the hand does,
        # and turns back with it.
        way, turn = _limit(way, settings.lead), _limit(turn, settings.lead_angle)
        goal = quaternion.times(quaternion.from_vector(turn), quaternion.unit(commanded.quaternion))
        self._anchor = commanded.position + way - moved, quaternion.times(quaternion.inverse(turned), goal)
        # What the last command still does before this one takes effect is on its way already.
        share, lag = settings.gain / self.period, settings.lag_s
        return share * (way - lag * self._last[0]), share * (turn - lag * self._last[1])

    def _fingers(self, grip: Grip) -> float:
        """The closure to send, 0..1."""
        if self._held is not None:
            before, now = self._before - self._held, grip.closure - self._held
            if abs(now) <= _TAKE_OVER or before * now <= 0.0:
                self._held = None
        self._before = grip.closure
        self._closure = grip.closure if self._held is None else self._held
        return self._closure

    # The rest

    def _watch_silence(self, now: float) -> None:
        if self._active and now - self._active.seen > self.settings.silence_s:
            self.release(f"{SILENT} for {1e3 * self.settings.silence_s:.0f} ms")

    def _point(self, grip: Grip, trouble: str) -> None:
        """Forward is where the hand points, if it points anywhere near level."""
        if trouble or grip.orientation is None:
            self._refuse(trouble or "no hand to point with")
            return
        x, y, _ = quaternion.rotated(_TO_BASE, quaternion.rotated(grip.orientation, self._pointing))
        if math.hypot(x, y) < _LEVEL:
            self._refuse("point ahead, not up or down, to say what is forward")
            return
        self._face(-math.atan2(y, x))
        self._tell("forward", "")

    def _face(self, yaw: float) -> None:
        self.forward = yaw
        """rad about the base's z that is added to the default mapping."""
        self._to_base = quaternion.times(quaternion.from_vector((0.0, 0.0, yaw)), _TO_BASE)

    def _refuse(self, why: str) -> None:
        if not self._engaged:
            self.why = why
        self._tell("refused", why)

    def _tell(self, kind: str, why: str) -> None:
        event = Event(kind, why)
        if kind in ("engaged", "released"):
            self._events.append(event)
        self.on_event(event)

    def _take_events(self) -> tuple[Event, ...]:
        events, self._events = tuple(self._events), []
        return events


def _usable(pose: Pose | None) -> bool:
    if pose is None or not (np.isfinite(pose.position).all() and np.isfinite(pose.quaternion).all()):
        return False
    return bool(np.abs(pose.position).max() < 1e3) and abs(math.hypot(*pose.quaternion) - 1.0) < 0.01


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    """The vector, shortened to `length` if it is longer."""
    norm = math.hypot(*vector)
    return vector * (length / norm) if norm > length else vector
