"""Small, slow motions as teleoperation commands, recorded. A motion that deviates is stopped."""

from __future__ import annotations

import time

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_check.response import Recording
from gr1_check.rig_client import RigClient
from gr1_core import Rig

PERIOD = 0.05
DEVIATION_M, DEVIATION_RAD = 0.03, 0.35
"""How much further than commanded, or elsewhere, the arm may go before it is stopped."""
MAX_POSE_AGE_S = 1.0
"""Age of the newest pose above which a motion is stopped."""
_STILL_S, _STILL_M = 0.3, 1e-3
_TIMEOUT_S = 3.0
_ZERO = np.zeros(3)


class MotionDeviation(RuntimeError):
    """The arm did not do what was commanded; it has been stopped."""


class TestMotion:
    """Publishes on `command/teleop/*`. A command expires after 150 ms, so the arm stops if this program
    ends.
    """

    __test__ = False  # not a test case for pytest

    def __init__(self, client: RigClient, rig: Rig):
        self.client, self.limits = client, rig.limits

    def move(self, linear, angular, seconds: float, ending: str = "zero") -> Recording:
        """m/s and rad/s for `seconds`. ending: a "zero" command, "silence", or "stop", the emergency stop.
        Raises MotionDeviation.
        """
        linear, angular = np.asarray(linear, np.float64), np.asarray(angular, np.float64)
        self.until_still()
        if self.client.pose.newest is None:
            raise MotionDeviation("no pose from the arm; nothing was commanded")
        start = self.client.pose.newest
        way = (
            np.linalg.norm(linear) * seconds + DEVIATION_M,
            np.linalg.norm(angular) * seconds + DEVIATION_RAD,
        )
        sent = last = self.client.send_twist(linear, angular)
        for _ in range(round(seconds / PERIOD) - 1):
            self._watch(start, way, PERIOD)
            last = self.client.send_twist(linear, angular)
        self._watch(start, way, PERIOD)
        if ending == "zero":
            last = self.client.send_twist(_ZERO, _ZERO)
        elif ending == "stop":
            ok, said, last = self.client.call_service("stop")
            if not ok:
                raise MotionDeviation(f"arm/stop: {said}: use the arm's own stop")
        self._watch(start, way, _TIMEOUT_S, self.still)
        return Recording(sent, last, *self._samples(sent))

    def keep_commanding(self, linear, seconds: float) -> Recording:
        """Goes on commanding a stopped arm."""
        sent = self.client.send_twist(linear, _ZERO)
        for _ in range(round(seconds / PERIOD)):
            self.client.collect(PERIOD)
            self.client.send_twist(linear, _ZERO)
        return Recording(sent, sent, *self._samples(sent))

    def move_gripper(self, closure: float, patience: float = 6.0) -> np.ndarray:
        """Commands the gripper until it rests for a second; f64[n, 2]: stamp, measured closure. Raises
        MotionDeviation.
        """
        began = now = self.client.send_twist(_ZERO, _ZERO)
        while now - began < patience:
            self.client.send_gripper(closure)
            self.client.collect(PERIOD)
            # The gate takes gripper commands only from the source that commands the arm, so zero twists go
            # along.
            now = self.client.send_twist(_ZERO, _ZERO)
            if now - began > 1.0 and np.ptp(self._closures(now - 1.0)[:, 1]) < 0.01:
                break
        return self._closures(began)

    def until_still(self, patience: float = _TIMEOUT_S) -> bool:
        """Waits until the gate commands zero and the arm has rested for 0.3 s."""
        self.client.collect(_STILL_S)
        return self.client.wait(self.still, patience)

    def still(self) -> bool:
        """Whether the arm rested for the last 0.3 s."""
        if not self.client.twist.rows or not self.client.pose.rows:
            return False
        since = time.time() - _STILL_S
        twists, positions = self.client.twist.since(since)[:, 2:], self.client.pose.since(since)[:, 2:5]
        return (
            min(len(twists), len(positions)) > 5
            and not twists.any()
            and np.ptp(positions, axis=0).max() < _STILL_M
        )

    def distance_to_wall(self, direction) -> float:
        """m from the fingertips to the wall of the workspace along one axis."""
        axis = int(np.argmax(np.abs(direction)))
        position = self.client.pose.newest[axis]
        return float(
            self.limits.workspace_max[axis] - position
            if direction[axis] > 0
            else position - self.limits.workspace_min[axis]
        )

    def _watch(self, start: np.ndarray, way: tuple[float, float], seconds: float, done=lambda: False) -> None:
        """Waits for `seconds`, or until done(). Stops the arm and raises MotionDeviation when it deviates."""
        self.client.wait(lambda: done() or self._deviation(start, way), seconds)
        if deviation := self._deviation(start, way):
            self.client.call_service("stop")
            raise MotionDeviation(f"{deviation}: it was stopped")

    def _deviation(self, start: np.ndarray, way: tuple[float, float]) -> str:
        """Why the motion must end, "" if it may go on."""
        now, old = self.client.pose.newest, time.time() - self.client.pose.rows[-1][0]
        if old > MAX_POSE_AGE_S:
            return f"the newest pose is {1e3 * old:.0f} ms old, this computer is too busy to watch a motion"
        far = np.linalg.norm(now[:3] - start[:3])
        turned = (Rotation.from_quat(now[3:]) * Rotation.from_quat(start[3:]).inv()).magnitude()
        where = f"{1e3 * far:.0f} mm, {np.degrees(turned):.0f} deg from where it was"
        return f"the arm deviated ({where})" if far > way[0] or turned > way[1] else ""

    def _closures(self, since: float) -> np.ndarray:
        found = self.client.gripper.since(since)
        if not len(found):
            raise MotionDeviation("no more gripper states")
        return found[:, (0, 2)]

    def _samples(self, sent: float) -> tuple[np.ndarray, np.ndarray]:
        pose, twist = self.client.pose.since(sent - _STILL_S), self.client.twist.since(sent - _STILL_S)
        if len(pose) < 10 or len(twist) < 10:
            raise MotionDeviation("no more poses or twists from the arm")
        return np.delete(pose, 1, axis=1), np.delete(twist, 1, axis=1)
