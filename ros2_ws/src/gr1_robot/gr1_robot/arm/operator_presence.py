"""Whether a person drives, has given the arm back, or was lost. ROS-free."""

from __future__ import annotations

import math


class OperatorPresence:
    """From the first command of teleoperation on the policy is locked out, until a deliberate release.

    A person who falls silent without one (the network, the tracking, a closed page) was lost: the arm holds
    until a person acts. Times in s on the steady clock. expiry: s that a command is valid.
    """

    def __init__(self, expiry: float):
        self._expiry = expiry
        self._last = self._released = -math.inf

    @property
    def present(self) -> bool:
        """Whether the arm belongs to a person, also to one who was lost."""
        return self._last > -math.inf

    def on_command(self, sent: float) -> None:
        """A command of teleoperation, sent after the last release."""
        if sent > self._released:
            self._last = max(self._last, sent)

    def release(self, sent: float) -> None:
        """The person gives the arm back. Commands that were sent before and arrive later mean nothing."""
        self._released = max(self._released, sent)
        if self._last <= self._released:
            self._last = -math.inf

    def lost(self, now: float) -> bool:
        """Whether the person has fallen silent without a release."""
        return self.present and now - self._last > self._expiry
