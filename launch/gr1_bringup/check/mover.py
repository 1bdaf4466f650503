"""Small, slow motions as teleoperation commands, recorded; every one of them is watched and ended when it goes astray."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_bringup.check.ear import Ear
from gr1_bringup.check.response import Recording
from gr1_core import Rig

PERIOD = 0.05
STRAY_M, STRAY_RAD = 0.03, 0.35
"""How much further than it was asked to, or elsewhere, the arm may go before it is stopped."""
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
        self.until_still(lambda: self._look(start, way))
        return Recording(sent, last, *self._samples(sent))

    def keep_asking(self, linear, seconds: float) -> Recording:
        """Goes on commanding a stopped arm."""
        sent = self.ear.command(linear, _ZERO)
        for _ in range(round(seconds / PERIOD)):
            self.ear.listen(PERIOD)
            self.ear.command(linear, _ZERO)
        return Recording(sent, sent, *self._samples(sent))

    def grip(self, closure: float, patience: float = 6.0) -> np.ndarray:
        """Commands the hand until it stays where it is; f64[n, 2]: stamp, measured closure."""
        began, still = None, 1.0
        while began is None or self.ear.gripper.rows[-1][0] - began < patience:
            # The gate obeys the hand of whoever is in charge of the arm, so the arm is told to rest all the while.
            now = self.ear.command(_ZERO, _ZERO)
            began = began or now
            self.ear.grip(closure)
            self.ear.listen(PERIOD)
            recent = self.ear.gripper.since(now - still)[:, 2]
            if now - began > still and np.ptp(recent) < 0.01:
                break
        return self.ear.gripper.since(began)[:, (0, 2)]

    def until_still(self, look=lambda: None, patience: float = _PATIENCE) -> bool:
        """Waits until the gate commands nothing and the arm has stayed where it is for 0.3 s."""

        def still() -> bool:
            look()
            twist, pose = self.ear.twist.rows, self.ear.pose.rows
            if not twist or not pose:
                return False
            now = twist[-1][0]
            recent = self.ear.pose.since(now - _STILL_S)[:, 2:5]
            quiet = not self.ear.twist.since(now - _STILL_S)[:, 2:].any()
            return quiet and len(recent) > 5 and np.ptp(recent, axis=0).max() < _STILL_M

        self.ear.listen(_STILL_S)
        return self.ear.wait(still, patience)

    def room(self, direction) -> float:
        """m from the fingertips to the wall of the workspace along one axis."""
        axis = int(np.argmax(np.abs(direction)))
        position = self.ear.pose.newest[axis]
        return float(self.limits.workspace_max[axis] - position if direction[axis] > 0 else position - self.limits.workspace_min[axis])

    def _watch(self, start, way, seconds: float) -> None:
        self.ear.wait(lambda: self._look(start, way), seconds)

    def _look(self, start: np.ndarray, way: tuple[float, float]) -> None:
        now = self.ear.pose.newest
        far = np.linalg.norm(now[:3] - start[:3])
        turned = (Rotation.from_quat(now[3:]) * Rotation.from_quat(start[3:]).inv()).magnitude()
        if far > way[0] or turned > way[1]:
            self.ear.call("stop")
            raise Astray(f"the arm went astray ({1e3 * far:.0f} mm, {np.degrees(turned):.0f} deg from where it was) and was stopped")

    def _samples(self, sent: float) -> tuple[np.ndarray, np.ndarray]:
        pose, twist = self.ear.pose.since(sent - _STILL_S), self.ear.twist.since(sent - _STILL_S)
        if len(pose) < 10 or len(twist) < 10:
            raise Astray("the arm has stopped saying where it is")
        return np.delete(pose, 1, axis=1), np.delete(twist, 1, axis=1)
