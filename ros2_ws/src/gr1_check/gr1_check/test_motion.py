"""Small, slow motions as teleoperation commands, recorded; every one of them is watched and ended when it goes astray."""

from __future__ import annotations

import time

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_check.response import Recording
from gr1_check.rig_client import Ear
from gr1_core import Rig

PERIOD = 0.05
STRAY_M, STRAY_RAD = 0.03, 0.35
"""How much further than it was asked to, or elsewhere, the arm may go before it is stopped."""
BLIND_S = 1.0
"""How old the newest pose may be while the arm is asked to move."""
_STILL_S, _STILL_M = 0.3, 1e-3
_PATIENCE = 3.0
_ZERO = np.zeros(3)


class Astray(RuntimeError):
    """The arm did what it was not asked for; it has been stopped."""


class Mover:
    """Commands as `command/teleop/*`. A command lives 150 ms: whatever becomes of this program, the arm comes to rest."""

    def __init__(self, ear: Ear, rig: Rig):
        self.ear, self.limits = ear, rig.limits

    def move(self, linear, angular, seconds: float, ending: str = "zero") -> Recording:
        """m/s and rad/s for so long. ending: a "zero" command, "silence", or "stop", the emergency stop. Raises Astray."""
        linear, angular = np.asarray(linear, np.float64), np.asarray(angular, np.float64)
        self.until_still()
        if self.ear.pose.newest is None:
            raise Astray("the arm says no longer where it is; nothing was commanded")
        start = self.ear.pose.newest
        way = (np.linalg.norm(linear) * seconds + STRAY_M, np.linalg.norm(angular) * seconds + STRAY_RAD)
        sent = last = self.ear.command(linear, angular)
        for _ in range(round(seconds / PERIOD) - 1):
            self._watch(start, way, PERIOD)
            last = self.ear.command(linear, angular)
        self._watch(start, way, PERIOD)
        if ending == "zero":
            last = self.ear.command(_ZERO, _ZERO)
        elif ending == "stop":
            ok, said, last = self.ear.call("stop")
            if not ok:
                raise Astray(f"arm/stop: {said}: use the arm's own stop")
        self._watch(start, way, _PATIENCE, self.still)
        return Recording(sent, last, *self._samples(sent))

    def keep_asking(self, linear, seconds: float) -> Recording:
        """Goes on commanding a stopped arm."""
        sent = self.ear.command(linear, _ZERO)
        for _ in range(round(seconds / PERIOD)):
            self.ear.listen(PERIOD)
            self.ear.command(linear, _ZERO)
        return Recording(sent, sent, *self._samples(sent))

    def grip(self, closure: float, patience: float = 6.0) -> np.ndarray:
        """Commands the hand until it stays where it is for a second; f64[n, 2]: stamp, measured closure. Raises Astray."""
        began = now = self.ear.command(_ZERO, _ZERO)
        while now - began < patience:
            self.ear.grip(closure)
            self.ear.listen(PERIOD)
            # The gate obeys the hand of whoever is in charge of the arm, so the arm is told to rest all the while.
            now = self.ear.command(_ZERO, _ZERO)
            if now - began > 1.0 and np.ptp(self._closures(now - 1.0)[:, 1]) < 0.01:
                break
        return self._closures(began)

    def until_still(self, patience: float = _PATIENCE) -> bool:
        """Waits until the gate commands nothing and the arm has stayed where it is for 0.3 s."""
        self.ear.listen(_STILL_S)
        return self.ear.wait(self.still, patience)

    def still(self) -> bool:
        """Whether it was so for the last 0.3 s."""
        if not self.ear.twist.rows or not self.ear.pose.rows:
            return False
        since = time.time() - _STILL_S
        twists, positions = self.ear.twist.since(since)[:, 2:], self.ear.pose.since(since)[:, 2:5]
        return (
            min(len(twists), len(positions)) > 5
            and not twists.any()
            and np.ptp(positions, axis=0).max() < _STILL_M
        )

    def room(self, direction) -> float:
        """m from the fingertips to the wall of the workspace along one axis."""
        axis = int(np.argmax(np.abs(direction)))
        position = self.ear.pose.newest[axis]
        return float(
            self.limits.workspace_max[axis] - position
            if direction[axis] > 0
            else position - self.limits.workspace_min[axis]
        )

    def _watch(self, start: np.ndarray, way: tuple[float, float], seconds: float, done=lambda: False) -> None:
        """Lets so much time pass, or less when it is done. Stops the arm and raises Astray when it leaves its way."""
        self.ear.wait(lambda: done() or self._astray(start, way), seconds)
        if astray := self._astray(start, way):
            self.ear.call("stop")
            raise Astray(f"{astray}: it was stopped")

    def _astray(self, start: np.ndarray, way: tuple[float, float]) -> str:
        """Why the motion must end, "" if it may go on."""
        now, old = self.ear.pose.newest, time.time() - self.ear.pose.rows[-1][0]
        if old > BLIND_S:
            return f"the newest pose is {1e3 * old:.0f} ms old, this computer is too busy to watch a motion"
        far = np.linalg.norm(now[:3] - start[:3])
        turned = (Rotation.from_quat(now[3:]) * Rotation.from_quat(start[3:]).inv()).magnitude()
        where = f"{1e3 * far:.0f} mm, {np.degrees(turned):.0f} deg from where it was"
        return f"the arm went astray ({where})" if far > way[0] or turned > way[1] else ""

    def _closures(self, since: float) -> np.ndarray:
        found = self.ear.gripper.since(since)
        if not len(found):
            raise Astray("the hand has stopped saying how far it is closed")
        return found[:, (0, 2)]

    def _samples(self, sent: float) -> tuple[np.ndarray, np.ndarray]:
        pose, twist = self.ear.pose.since(sent - _STILL_S), self.ear.twist.since(sent - _STILL_S)
        if len(pose) < 10 or len(twist) < 10:
            raise Astray("the arm has stopped saying where it is")
        return np.delete(pose, 1, axis=1), np.delete(twist, 1, axis=1)
