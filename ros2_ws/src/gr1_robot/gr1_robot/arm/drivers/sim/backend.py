"""The simulated arm: gr1_core's MuJoCo twin, moved on by 10 ms with each twist; its faults can be rehearsed."""

from __future__ import annotations

import dataclasses
import time
from collections import deque

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_common.option import Option
from gr1_core.kinematics import GEN2
from gr1_core.rig import Rig
from gr1_core.sim import TASKS
from gr1_robot.arm.backend import ArmState, Backend, BackendError, Ceilings, Pose
from gr1_robot.arm.gate import TICK

DRIFT = 0.05
"""m/s with which the measured pose of a drifting arm sinks."""
PUSH = 2.0
"""Contact force of the fault 'force', as a multiple of the rig's limit."""

FAULTS = {
    "none": "a healthy arm",
    "disconnect": "the arm is lost: a fault, and no poses",
    "drop_out": "the arm reports the same old state again and again",
    "delay": "the arm reports what was true `delay_s` ago",
    "drift": f"the measured pose sinks away from the commanded one, {1e3 * DRIFT:g} mm/s",
    "stuck": "the arm does not move, whatever it is told",
    "force": f"the arm reports a contact force of {PUSH:g} times the rig's limit",
}
"""What the parameter `sim.fault` of a simulated arm may be, and what happens then."""

OPTIONS = (
    Option("task", next(iter(TASKS)), "Task of the next episode; sim/reset starts it.", choices=tuple(TASKS), live=True),
    Option("seed", 0, "Seed of the next episode's layout and wording; sim/reset starts it.", low=0, live=True),
    Option("fault", "none", "A fault to rehearse: " + "; ".join(f"{kind}: {what}" for kind, what in FAULTS.items()) + ".",
           choices=tuple(FAULTS), live=True),
    Option("delay_s", 0.5, "How old the state of an arm with the fault 'delay' is, s.", low=0.0, high=10.0, live=True),
)  # fmt: skip
_STILL = np.zeros(3)
_SETTLED_TICKS, _SETTLED = 20, 0.002
"""Fingers that have moved less than this share of their way in so many ticks have come to rest."""


class Arm(Backend):
    """The twin is connected with a task's scene; `twin` is there for what only a simulation knows (state, success, reset)."""

    joint_names = tuple(f"joint_{number}" for number in range(1, 8))
    joint_limits = GEN2.limits
    ceilings = Ceilings(0.2, 1.07, 0.64, 2.75)  # the Gen2's

    def __init__(self, rig: Rig, task: str, seed: int, fault: str = "none", delay_s: float = 0.5):
        self._rig, self._episode = rig, (task, seed)
        self._fault, self._delay = fault, delay_s
        self._since = time.monotonic()
        self._states: deque[ArmState] = deque()
        self._held: Pose | None = None
        self._closures: deque[float] = deque(maxlen=_SETTLED_TICKS)
        self.twin = None

    def connect(self) -> None:
        from gr1_core.sim import Twin  # MuJoCo takes a second to import: only the simulated arm pays for it

        self.twin = Twin()
        home, limits = self.twin.home().position, self._rig.limits
        if not (np.all(home >= limits.workspace_min) and np.all(home <= limits.workspace_max)):
            raise BackendError(
                f"rig '{self._rig.name}' is not the simulated arm's: its workspace {list(limits.workspace_min)} .. "
                f"{list(limits.workspace_max)} m does not hold the home position {home.round(3).tolist()}"
            )
        self.reset(*self._episode)

    def reset(self, task: str, seed: int) -> None:
        """A new scene, the arm at home and the hand open."""
        self.twin.reset(task, seed)
        self._states.clear()
        self._held, self._since = None, time.monotonic()

    def close(self) -> None:
        self.twin = None

    def state(self) -> ArmState:
        """What the arm says of itself, as the fault that is rehearsed lets it."""
        now, fault = time.monotonic(), self._fault
        true = self._true(now)
        if fault == "disconnect":
            return dataclasses.replace(true, measured=None, commanded=None)
        if fault == "drift":
            sunk = true.measured.position - (0.0, 0.0, DRIFT * (now - self._since))
            return dataclasses.replace(true, measured=true.measured._replace(position=sunk))
        if fault == "force":
            return dataclasses.replace(
                true, force=np.array([0.0, 0.0, PUSH * self._rig.limits.force]), torque=_STILL
            )
        if fault != "drop_out" or not self._states:
            self._states.append(true)
        while len(self._states) > 1 and self._states[1].at <= now - (
            self._delay if fault == "delay" else 0.0
        ):
            self._states.popleft()
        return self._states[0]

    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self._closures.append(self.twin.closure)
        if self._fault != "stuck":
            return self.twin.tick(linear, angular)
        # The joints' brakes hold; the arm's controller has been asked to be elsewhere.
        self.twin.tick(_STILL, _STILL)
        pose = self._held or _pose(self.twin.commanded)
        turned = Rotation.from_rotvec(np.asarray(angular) * TICK) * Rotation.from_quat(pose.quaternion)
        self._held = Pose(pose.position + np.asarray(linear) * TICK, turned.as_quat())

    def gripper(self, closure: float) -> None:
        self._closures.clear()
        self.twin.grip(closure)

    def hold_gripper(self) -> None:
        """Fingers on their way stop where they are; those that have come to rest keep their aim, and with it what they squeeze."""
        settled = (
            len(self._closures) == _SETTLED_TICKS and max(self._closures) - min(self._closures) < _SETTLED
        )
        if not settled:
            self.gripper(self.twin.closure)

    def stop(self) -> None:
        """Nothing to do: time in the simulation only passes in `twist`."""

    def home(self) -> Pose:
        return _pose(self.twin.home())

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return GEN2.jacobian(joints)

    def describe(self) -> str:
        return "simulated Kinova Gen2, 7 joints, three fingers"

    def set(self, option: str, value) -> None:
        if option == "fault":
            self._fault, self._since, self._held = value, time.monotonic(), None
        elif option == "delay_s":
            self._delay = value

    def faults(self) -> list[str]:
        if self._fault == "disconnect":
            return [f"rehearsed fault 'disconnect': {FAULTS['disconnect']}"]
        return (
            []
            if np.isfinite(self.twin.joints).all()
            else ["the simulation has diverged (joint angles are not finite): call sim/reset"]
        )

    def _true(self, now: float) -> ArmState:
        twin = self.twin
        return ArmState(
            measured=_pose(twin.measured),
            commanded=self._held or _pose(twin.commanded),
            joints=twin.joints,
            joint_velocities=twin.joint_velocities,
            closure=twin.closure,
            at=now,
        )


def _pose(pose) -> Pose:
    return Pose(pose.position, pose.quaternion)
