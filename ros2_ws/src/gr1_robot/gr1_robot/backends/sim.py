"""The simulated arm: gr1_core's MuJoCo twin, moved on by 10 ms with each twist."""

from __future__ import annotations

import time

import numpy as np

from gr1_core.kinematics import GEN2
from gr1_core.rig import Rig
from gr1_core.sim import TASKS
from gr1_robot.backend import ArmState, Backend, BackendError, Pose
from gr1_robot.option import Option

OPTIONS = (
    Option("task", next(iter(TASKS)), "Task of the next episode; sim/reset starts it.", choices=tuple(TASKS), live=True),
    Option("seed", 0, "Seed of the next episode's layout and wording; sim/reset starts it.", low=0, live=True),
)


class Arm(Backend):
    """The twin is connected with a task's scene; `twin` is there for what only a simulation knows (state, success, reset)."""

    joint_names = tuple(f"joint_{number}" for number in range(1, 8))

    joint_limits = GEN2.limits

    def __init__(self, rig: Rig, task: str, seed: int):
        self._rig, self._episode = rig, (task, seed)
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

    def close(self) -> None:
        self.twin = None

    def state(self) -> ArmState:
        twin = self.twin
        measured, commanded = _pose(twin.measured), _pose(twin.commanded)
        return ArmState(measured, commanded, twin.joints, twin.joint_velocities, twin.closure, at=time.monotonic())

    def twist(self, linear: np.ndarray, angular: np.ndarray) -> None:
        self.twin.tick(linear, angular)

    def gripper(self, closure: float) -> None:
        self.twin.grip(closure)

    def stop(self) -> None:
        """Nothing to do: time in the simulation only passes in `twist`."""

    def home(self) -> Pose:
        return _pose(self.twin.home())

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        return GEN2.jacobian(joints)

    def describe(self) -> str:
        return "simulated Kinova Gen2, 7 joints, three fingers"

    def faults(self) -> list[str]:
        return [] if np.isfinite(self.twin.joints).all() else ["the simulation has diverged (joint angles are not finite): call sim/reset"]


def _pose(pose) -> Pose:
    return Pose(pose.position, pose.quaternion)
