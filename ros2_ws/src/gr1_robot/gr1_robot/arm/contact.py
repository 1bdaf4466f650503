"""The force on the hand: when it stops the arm, and what a hand that presses may still do. ROS-free."""

from __future__ import annotations

import math

import numpy as np

_BACK_OFF = 1.2
"""A hand that presses may back off, after a reset, while the force is below this multiple of the limit."""


class ContactForce:
    """limit: N. timeout: s; an arm that has reported a force must report one again within this time."""

    def __init__(self, limit: float, timeout: float):
        self._limit, self._timeout = limit, timeout
        self._force = np.zeros(3)
        self._threshold = limit
        self._reported_at: float | None = None

    def update(self, now: float, force: np.ndarray | None) -> tuple[list[str], str]:
        """force: f64[3] N that acts on the hand, or None. Returns faults of the arm, and why the hand
        must stop ("": it need not).
        """
        if force is None:
            if self._reported_at is not None and now - self._reported_at > self._timeout:
                return [
                    "the arm no longer reports the force on its hand: check it, then restart this node"
                ], ""
            return [], ""
        if not np.isfinite(force).all():
            return [f"the arm reports a force that is not finite: {force}"], ""
        self._force, self._reported_at = np.array(force, np.float64), now
        if self.size <= self._limit:
            self._threshold = self._limit
        if self.size > self._threshold:
            return [], f"{self.size:.0f} N on the hand, allowed are {self._limit:g} N"
        return [], ""

    @property
    def size(self) -> float:
        """N."""
        return math.hypot(*self._force)

    @property
    def pressing(self) -> bool:
        """Whether the force is above the limit."""
        return self.size > self._limit

    def allow_back_off(self) -> str:
        """Called at a reset: lets a hand that still presses back off. Returns "" or why it presses
        too hard even for that.
        """
        most = _BACK_OFF * self._limit
        if self.size > most:
            return (
                f"{self.size:.0f} N on the hand, backing off is allowed up to {most:g} N: free the hand "
                "by other means"
            )
        if self.pressing:
            self._threshold = most
        return ""

    def away(self, twist: np.ndarray) -> np.ndarray:
        """The part of a twist f64[6] that leads away from the contact: no rotation, nothing against
        the force.
        """
        direction = self._force / self.size
        linear = twist[:3] - min(twist[:3] @ direction, 0.0) * direction
        return np.concatenate([linear, np.zeros(3)])
