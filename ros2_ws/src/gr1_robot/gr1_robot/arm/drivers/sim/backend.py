"""The simulated arm: gr1_core's MuJoCo twin behind the Gen2's inertia, advanced by 10 ms with each twist;
faults can be injected. ROS-free.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_common.conventions import TICK
from gr1_common.option import Option
from gr1_core.kinematics import GEN2, GEN2_CAPSULES
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_core.sim import TASKS
from gr1_robot.arm.backend import ArmBackend, ArmError, ArmLimits, ArmState
from gr1_robot.arm.capsules import body_of
from gr1_robot.arm.description import urdf_of
from gr1_robot.arm.inertia import Inertia

DRIFT = 0.05
"""m/s with which the measured pose of a drifting arm sinks."""
LAG_S = 0.03
"""s: how late the simulated arm follows its commands."""
PUSH = 2.0
"""Contact force of the fault 'force', as a multiple of the rig's limit."""

FAULTS = {
    "none": "a healthy arm",
    "disconnect": "the arm is lost: a fault, and no poses",
    "drop_out": "the arm reports the same old state again and again",
    "delay": "the arm reports the state of `delay_s` ago",
    "drift": f"the measured pose sinks away from the commanded one, {1e3 * DRIFT:g} mm/s",
    "stuck": "the arm does not move, whatever is commanded",
    "ignore": "the arm ignores what it is sent: its commanded pose stands still",
    "force": f"the arm reports a contact force of {PUSH:g} times the rig's limit",
}
"""Values of the parameter `sim.fault` of a simulated arm, and what each does."""

OPTIONS = (
    Option(
        "task",
        next(iter(TASKS)),
        "Task of the next episode; sim/reset starts it.",
        choices=tuple(TASKS),
        live=True,
    ),
    Option(
        "seed", 0, "Seed of the next episode's layout and wording; sim/reset starts it.", low=0, live=True
    ),
    Option(
        "fault",
        "none",
        "Fault to inject: " + "; ".join(f"{kind}: {text}" for kind, text in FAULTS.items()) + ".",
        choices=tuple(FAULTS),
        live=True,
    ),
    Option("lag_s", LAG_S, "How late the arm follows its commands, s.", low=0.0, high=0.1, live=True),
    Option("delay_s", 0.5, "Age of the state with the fault 'delay', s.", low=0.0, high=10.0, live=True),
)
_ZERO = np.zeros(3)
_SETTLED_TICKS, _SETTLED = 20, 0.002
"""Fingers that have moved less than this share of their range in so many ticks have settled."""


class Arm(ArmBackend):
    """`connect` loads the twin with a task's scene. `twin` offers what only a simulation knows (state,
    success, reset).
    """

    joint_names = tuple(f"joint_{number}" for number in range(1, 8))
    joint_limits, joint_speeds = GEN2.limits, GEN2.speeds
    # The Gen2's.
    vendor_limits = ArmLimits(0.2, 1.07, 0.64, 2.75, linear_braking=0.64, angular_braking=2.75)

    def __init__(
        self,
        rig: Rig,
        task: str,
        seed: int,
        fault: str = "none",
        delay_s: float = 0.5,
        lag_s: float = LAG_S,
    ):
        self._inertia = Inertia(self.vendor_limits, lag_s)
        self._rig, self._episode = rig, (task, seed)
        self.body = body_of(rig, GEN2, GEN2_CAPSULES)
        self._fault, self._delay = fault, delay_s
        self._fault_since = time.monotonic()
        self._states: deque[ArmState] = deque()
        self._stuck_pose: Pose | None = None
        self._reports_force = False  # an arm that has reported a force once goes on reporting it
        self._closures: deque[float] = deque(maxlen=_SETTLED_TICKS)
        self.twin = None

    def connect(self) -> None:
        from gr1_core.sim import Twin  # MuJoCo takes a second to import: only the simulated arm needs it

        self.twin = Twin()
        home, limits = self.twin.home().position, self._rig.limits
        if not (np.all(home >= limits.workspace_min) and np.all(home <= limits.workspace_max)):
            raise ArmError(
                f"rig '{self._rig.name}' does not fit the simulated arm: its workspace "
                f"{list(limits.workspace_min)} .. "
                f"{list(limits.workspace_max)} m does not contain the home position {home.round(3).tolist()}"
            )
        self.reset(*self._episode)

    def reset(self, task: str, seed: int) -> None:
        """A new scene; the arm is at home and the hand open."""
        self.twin.reset(task, seed)
        self._states.clear()
        self._stuck_pose, self._fault_since = None, time.monotonic()
        self._inertia.rest()

    def close(self) -> None:
        self.twin = None

    def read_state(self) -> ArmState:
        """The state as the arm reports it, changed by the injected fault."""
        now, fault = time.monotonic(), self._fault
        true = self._true_state(now)
        if fault == "disconnect":
            return dataclasses.replace(true, measured=None, commanded=None)
        if fault == "drift":
            sunk = true.measured.position - (0.0, 0.0, DRIFT * (now - self._fault_since))
            return dataclasses.replace(true, measured=true.measured._replace(position=sunk))
        if fault == "force":
            self._reports_force = True
            return dataclasses.replace(
                true, force=np.array([0.0, 0.0, PUSH * self._rig.limits.force]), torque=_ZERO
            )
        if fault != "drop_out" or not self._states:
            self._states.append(true)
        delay = self._delay if fault == "delay" else 0.0
        while len(self._states) > 1 and self._states[1].at <= now - delay:
            self._states.popleft()
        return self._states[0]

    def send_twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self._closures.append(self.twin.closure)
        if self._fault == "ignore":
            linear, angular = _ZERO, _ZERO
        linear, angular = self._inertia.step(linear, angular)
        if self._fault != "stuck":
            return self.twin.tick(linear, angular)
        # The joints do not move; the controller's commanded pose does.
        self.twin.tick(_ZERO, _ZERO)
        pose = self._stuck_pose or self.twin.commanded
        turned = Rotation.from_rotvec(np.asarray(angular) * TICK) * Rotation.from_quat(pose.quaternion)
        self._stuck_pose = Pose(pose.position + np.asarray(linear) * TICK, turned.as_quat())

    def send_gripper(self, closure: float) -> None:
        self._closures.clear()
        self.twin.grip(closure)

    def hold_gripper(self) -> None:
        """Moving fingers stop where they are; settled ones keep their target, and with it their grasp
        force.
        """
        settled = (
            len(self._closures) == _SETTLED_TICKS and max(self._closures) - min(self._closures) < _SETTLED
        )
        if not settled:
            self.send_gripper(self.twin.closure)

    def stop(self) -> None:
        """Nothing to do: simulated time advances only in `send_twist`."""

    def home_pose(self) -> Pose:
        return self.twin.home()

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return GEN2.jacobian(joints)

    def urdf(self) -> str:
        return urdf_of("simulated_kinova_gen2", self._rig, self.joint_names, GEN2, self.body)

    def describe(self) -> str:
        return "simulated Kinova Gen2, 7 joints, three fingers"

    def set_option(self, option: str, value) -> None:
        if option == "fault":
            self._fault, self._fault_since, self._stuck_pose = value, time.monotonic(), None
        elif option == "delay_s":
            self._delay = value
        elif option == "lag_s":
            self._inertia.set_lag(value)

    def faults(self) -> list[str]:
        if self._fault == "disconnect":
            return [f"injected fault 'disconnect': {FAULTS['disconnect']}"]
        return (
            []
            if np.isfinite(self.twin.joints).all()
            else ["the simulation has diverged (joint angles are not finite): call sim/reset"]
        )

    def _true_state(self, now: float) -> ArmState:
        twin = self.twin
        return ArmState(
            measured=twin.measured,
            commanded=self._stuck_pose or twin.commanded,
            joints=twin.joints,
            joint_velocities=twin.joint_velocities,
            closure=twin.closure,
            at=now,
            force=_ZERO if self._reports_force else None,
            torque=_ZERO if self._reports_force else None,
        )
