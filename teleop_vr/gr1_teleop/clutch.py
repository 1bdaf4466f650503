"""The clutch between a hand and the arm: maps samples of the hand to twists. No ROS, sockets or threads.

While the operator holds the grip, the arm follows the hand's motion since the engagement:

    goal  = anchor + scale * (hand - hand at engagement)
    twist = gain * (goal - commanded) / period, limited in length

The anchor is the arm's *commanded* pose at the engagement. Both origins are taken with the first command, so
every engagement starts with a zero twist, wherever the hand is. Positions of the hand are in WebXR's
`local-floor` (x right, y up, z towards the operator). Commands are in the arm's base frame (x forward, y
left, z up). The operator sets the forward direction with the stick: a rotation about the vertical only. The
hand turns the arm about the axes of the base, so the way the operator holds the controller does not matter.

The gate ramps, limits and expires these commands (docs/explanation/safety.md); the clutch itself never
exceeds the rig's speed limits.

Units: m, rad, s on the host's steady clock; quaternions xyzw.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gr1_core.pose import Pose
from gr1_core.rig import Limits
from gr1_teleop import quaternion
from gr1_teleop.clutch_settings import ClutchEvent, ClutchSettings, TeleopCommand
from gr1_teleop.hand_input import HIDDEN, HandInput
from gr1_teleop.protocol import HANDS, DeskVelocity, HandPose

OPEN, WAITING, ENGAGED = "open", "waiting", "engaged"
RELEASED, RECENTRED = "released", "the view was recentred"
TIMED_OUT, NO_POSE = "nothing new from the hand", "the arm reports no usable pose"

_TO_BASE = np.array([0.5, -0.5, -0.5, 0.5])
"""Rotation from local-floor to the base frame: -z to +x (forward), -x to +y, +y to +z."""
_POINTING_DIRECTION = {"headset": (0.0, -1.0, -1.0), "phone": (0.0, 1.0, -1.0)}
"""Pointing direction of a hand in its own frame. In grip space -z runs along the thumb and -y away from the
forearm; a controller's ray lies between them (Meta's: within 7 degrees of the middle). An upright phone
points along -z; a phone that lies flat points along +y, its top edge."""
_MIN_LEVEL = 0.5
_GRIPPER_TOLERANCE = 0.15
_ZERO = np.zeros(3)
_ZERO.setflags(write=False)


class Clutch:
    """See the module's docstring. Call `add_sample` for each sample, `compute_command` once per control
    period, `pop_stop_command` any time.

    period: control period in s. on_event(event): called with each ClutchEvent in the thread that caused it.
    """

    def __init__(
        self,
        settings: ClutchSettings,
        limits: Limits,
        period: float,
        on_event: Callable[[ClutchEvent], None] = lambda event: None,
    ):
        self.settings, self.period, self.on_event = settings, period, on_event
        # The gate counts a twist above a limit as limited; rounding must not cause that.
        self.max_linear = min(settings.max_linear, limits.linear_speed) * (1.0 - 1e-9)
        self.max_angular = min(settings.max_angular, limits.angular_speed) * (1.0 - 1e-9)
        self.why = ""
        """Why the arm does not follow the hand, or stopped following; "" while it follows."""
        self._active: HandInput | None = None
        self._engaged = self._stop_due = False
        self._events: list[ClutchEvent] = []
        self.reset_for_device("headset")

    def reset_for_device(self, kind: str, keep_forward: bool = False) -> None:
        """A new device: each of its hands must be seen open before it can engage. kind: as in `Hello`."""
        self.release("another device has come")
        self.why = ""
        self._hands = {name: HandInput(self.settings) for name in (*HANDS, "desk")}
        direction = _POINTING_DIRECTION.get(kind, _POINTING_DIRECTION["headset"])
        self._pointing = np.array(direction) / math.sqrt(2.0)
        if not keep_forward:
            self._set_forward(0.0)

    @property
    def state(self) -> str:
        if self._engaged:
            return ENGAGED
        others = (hand for hand in self._hands.values() if hand is not self._active)
        return WAITING if any(hand.pressed and hand.known for hand in others) else OPEN

    @property
    def hand(self) -> str:
        """The input that holds the clutch: "right", "left" or "desk"; "" if none does."""
        return next((name for name, hand in self._hands.items() if hand is self._active), "")

    @property
    def gripper_waits(self) -> bool:
        """Whether the gripper keeps its closure until the trigger reaches that closure."""
        return self._engaged and self._held is not None

    # Inputs

    def add_sample(self, sample: HandPose | DeskVelocity, now: float, age: float = 0.0) -> None:
        """Adds one sample that arrived at `now` and was `age` s old at that time."""
        hand = self._hands[sample.hand if isinstance(sample, HandPose) else "desk"]
        self._check_timeout(now)
        if now - hand.seen > self.settings.timeout_s:
            hand.reset()
            # A page reports one hand at a time. If the other hand was open, this press began just now.
            present = [other for other in self._hands.values() if now - other.seen <= self.settings.timeout_s]
            hand.pressed = not present or any(other.pressed for other in present)
        was, stick = hand.pressed, hand.stick
        problem = hand.update(sample, now, age)
        if problem == HIDDEN:
            self.release(HIDDEN)
        if hand is self._active:
            if problem or not hand.pressed:
                self.release(problem if hand.pressed else RELEASED)
        elif hand.pressed and not was:
            if problem or self._active:
                self._refuse(problem or "the other hand moves the arm")
            else:
                self._active = hand
        if hand.stick and not stick and not self._active:
            self._set_forward_from(hand, problem)

    def release(self, why: str) -> None:
        """Ends the engagement, if any. The hand must be seen open before it can engage again."""
        if self._active is None:
            return
        self._active = None
        self.why = why
        if self._engaged:
            self._engaged, self._stop_due = False, True
            self._emit("released", why)
        elif why != RELEASED:
            self._emit("refused", why)

    def recenter(self) -> None:
        """The hand's frame has moved by an unknown amount: releases and resets the forward direction."""
        self.release(RECENTRED)
        for hand in self._hands.values():
            hand.lose_pose()
        self._set_forward(0.0)

    # Outputs

    def pop_stop_command(self, now: float) -> TeleopCommand | None:
        """The single zero twist after the end of an engagement, else None. Call it more often than once per
        period to stop sooner."""
        self._check_timeout(now)
        if not self._stop_due:
            return None
        self._stop_due = False
        return TeleopCommand(_ZERO, _ZERO, self._closure, False, self._pop_events())

    def compute_command(
        self, commanded: Pose | None, now: float, closure: float | None = None, blocked: str = ""
    ) -> TeleopCommand | None:
        """The command of the coming period, or None.

        commanded: the arm's commanded pose at this moment; None if unknown.
        closure: the last gripper command; None if there was none.
        blocked: why the arm cannot be moved now, or "". Ends the engagement; the arm never catches up later.
        """
        if stop := self.pop_stop_command(now):
            return stop
        if self._active is None:
            return None
        if blocked or not _is_usable(commanded):
            self.release(blocked or NO_POSE)
            return self.pop_stop_command(now)
        hand = self._active
        if not self._engaged:
            return self._engage(hand, commanded, closure)
        if hand.velocity is not None:
            twist = hand.velocity[0] * self.max_linear, hand.velocity[1] * self.max_angular
        else:
            twist = self._track_hand(hand, commanded)
        self._last = _limit(twist[0], self.max_linear), _limit(twist[1], self.max_angular)
        return TeleopCommand(*self._last, self._gripper_closure(hand), True, self._pop_events())

    def _engage(self, hand: HandInput, commanded: Pose, closure: float | None) -> TeleopCommand:
        self._engaged, self.why = True, ""
        self._anchor = np.array(commanded.position, np.float64), quaternion.normalize(commanded.quaternion)
        self._origin = hand.position, hand.orientation
        self._last = _ZERO, _ZERO
        # A gripper that holds an object must not open because the trigger is open: the trigger takes over at
        # the gripper's closure.
        known = closure is not None and math.isfinite(closure)
        closure = min(max(closure, 0.0), 1.0) if known else hand.closure
        self._held = closure if abs(closure - hand.closure) > _GRIPPER_TOLERANCE else None
        self._before = hand.closure
        self._emit("engaged", "")
        return TeleopCommand(_ZERO, _ZERO, self._gripper_closure(hand), True, self._pop_events())

    def _track_hand(self, hand: HandInput, commanded: Pose) -> tuple[np.ndarray, np.ndarray]:
        settings = self.settings
        moved = quaternion.rotate(self._to_base, hand.position - self._origin[0]) * settings.scale
        turned = quaternion.IDENTITY
        if settings.rotation:
            turn = quaternion.rotation_between(self._origin[1], hand.orientation)
            turned = quaternion.from_rotation_vector(quaternion.rotate(self._to_base, turn))
        way = self._anchor[0] + moved - commanded.position
        turn = quaternion.rotation_between(
            quaternion.normalize(commanded.quaternion), quaternion.multiply(turned, self._anchor[1])
        )
        # A goal far ahead of the arm (the hand is faster, or the arm is at a limit) is pulled back to
        # `max_lead`. So the arm stops soon after the hand, and reverses with it.
        way, turn = _limit(way, settings.max_lead), _limit(turn, settings.max_lead_angle)
        goal = quaternion.multiply(
            quaternion.from_rotation_vector(turn), quaternion.normalize(commanded.quaternion)
        )
        self._anchor = commanded.position + way - moved, quaternion.multiply(quaternion.inverse(turned), goal)
        # Subtracts the motion that the last command still causes before this command takes effect.
        share, lag = settings.gain / self.period, settings.lag_s
        return share * (way - lag * self._last[0]), share * (turn - lag * self._last[1])

    def _gripper_closure(self, hand: HandInput) -> float:
        """The closure to send, 0..1."""
        if self._held is not None:
            before, now = self._before - self._held, hand.closure - self._held
            if abs(now) <= _GRIPPER_TOLERANCE or before * now <= 0.0:
                self._held = None
        self._before = hand.closure
        self._closure = hand.closure if self._held is None else self._held
        return self._closure

    # Internals

    def _check_timeout(self, now: float) -> None:
        if self._active and now - self._active.seen > self.settings.timeout_s:
            self.release(f"{TIMED_OUT} for {1e3 * self.settings.timeout_s:.0f} ms")

    def _set_forward_from(self, hand: HandInput, problem: str) -> None:
        """Sets the forward direction to where the hand points, if it points near enough to the horizontal."""
        if problem or hand.orientation is None:
            self._refuse(problem or "no hand to point with")
            return
        x, y, _ = quaternion.rotate(_TO_BASE, quaternion.rotate(hand.orientation, self._pointing))
        if math.hypot(x, y) < _MIN_LEVEL:
            self._refuse("point ahead, not up or down, to set the forward direction")
            return
        self._set_forward(-math.atan2(y, x))
        self._emit("forward", "")

    def _set_forward(self, yaw: float) -> None:
        self.forward = yaw
        """Rotation about the base's z, rad, added to the default mapping."""
        self._to_base = quaternion.multiply(quaternion.from_rotation_vector((0.0, 0.0, yaw)), _TO_BASE)

    def _refuse(self, why: str) -> None:
        if not self._engaged:
            self.why = why
        self._emit("refused", why)

    def _emit(self, kind: str, why: str) -> None:
        event = ClutchEvent(kind, why)
        if kind in ("engaged", "released"):
            self._events.append(event)
        self.on_event(event)

    def _pop_events(self) -> tuple[ClutchEvent, ...]:
        events, self._events = tuple(self._events), []
        return events


def _is_usable(pose: Pose | None) -> bool:
    if pose is None or not (np.isfinite(pose.position).all() and np.isfinite(pose.quaternion).all()):
        return False
    return bool(np.abs(pose.position).max() < 1e3) and abs(math.hypot(*pose.quaternion) - 1.0) < 0.01


def _limit(vector: np.ndarray, length: float) -> np.ndarray:
    """The vector, shortened to `length` if it is longer."""
    norm = math.hypot(*vector)
    return vector * (length / norm) if norm > length else vector
