"""The simulated rig: physics, the arm's controller and the tasks, without graphics. A seed gives the same run
every time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gr1_core.pose import Pose
from gr1_core.sim import kinova, quaternions, scene, tasks
from gr1_core.sim import state as states
from gr1_core.sim.control import Controller
from gr1_core.sim.objects.catalogue import STANDARD_OBJECTS, ObjectSet
from gr1_core.sim.poses import HOME

TICK = 0.01  # s: one cycle of the arm's 100 Hz loop
SUBSTEPS = 5  # physics steps of 2 ms per tick
MAX_FOLLOWING_ERROR = 0.06  # m between the commanded and the measured position
_SETTLE_TICKS = 60  # after placing the objects, until they are at rest


class Twin:
    """A Kinova Gen2 at a table with these objects. Call `reset`, then `tick` for every 10 ms of simulated
    time.
    """

    def __init__(self, objects: ObjectSet = STANDARD_OBJECTS):
        import mujoco

        self._mujoco = mujoco
        self.objects = objects
        self._model = scene.build(objects)
        self._data = mujoco.MjData(self._model)
        self._controller = Controller(self._model)
        self._home_joints = self._controller.start(HOME)
        self._home = self._controller.forward(self._home_joints)
        self._site = self._model.site("grip").id
        self._cabinet = self._model.body("cabinet").id
        self._fingers = np.array([self._model.joint(name).qposadr[0] for name in kinova.FINGERS])
        self.task = next(iter(tasks.TASKS.values()))
        self.instruction = self.task.instructions[0]
        self.reset(self.task.name, 0)

    def reset(self, task: str, seed: int, start: Pose | None = None) -> None:
        """Starts an episode: the layout of (task, seed), the arm at rest at `start` (None: home), gripper
        open, time zero.

        `start` must be clear of everything on the table. Raises ValueError for an unknown task and where the
        arm does not reach `start`.
        """
        self.task = tasks.find_task(task)
        layout = tasks.sample_layout(self.task, seed, self.objects)
        joints, commanded = (self._home_joints, self._home) if start is None else self._posture(start)
        self.instruction = layout.instruction
        mujoco, model, data = self._mujoco, self._model, self._data
        model.body_pos[self._cabinet, :2] = layout.cabinet
        mujoco.mj_resetData(model, data)
        data.qpos[:7] = joints
        data.qpos[self._fingers] = kinova.FINGER_OPEN
        data.qpos[states.DRAWER_QPOS] = layout.drawer
        for name, (x, y, yaw) in layout.poses.items():
            first = states.FREE_BODY_QPOS[name]
            rest = 0.0 if name == "plate" else self.objects[name].rest_height
            height = 0.001 + rest + (scene.PLATE_FLOOR if name == layout.on_plate else 0.0)
            data.qpos[first : first + 7] = x, y, height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)
        data.ctrl[:7] = joints
        self._controller.joints = joints.copy()
        self._commanded = commanded
        self.grip(0.0)
        mujoco.mj_step(model, data, _SETTLE_TICKS * SUBSTEPS)
        data.qvel[:] = 0.0
        data.time = 0.0
        mujoco.mj_forward(model, data)

    def _posture(self, start: Pose) -> tuple[np.ndarray, Pose]:
        """Returns the joints f64[7] in rad for a start pose, and the pose that these joints give."""
        joints = self._controller.start(start)
        reached = self._controller.forward(joints)
        off, turned = (
            np.linalg.norm(reached.position - start.position),
            (reached.rotation * start.rotation.inv()).magnitude(),
        )
        if off > 0.005 or turned > 0.02:
            raise ValueError(
                f"the arm does not reach the start pose {np.round(start.position, 3).tolist()} m, "
                f"{np.round(start.quaternion, 3).tolist()} xyzw: {off * 1000:.0f} mm and "
                f"{math.degrees(turned):.0f} degrees are left; choose one inside the rig's workspace"
            )
        return joints, reached

    def tick(self, linear, angular) -> None:
        """Simulates 10 ms with a twist in the base frame: linear f[3] in m/s, angular f[3] in rad/s.

        Raises ValueError for a wrong size and for values that are not finite.
        """
        twist = np.concatenate([np.asarray(linear, np.float64), np.asarray(angular, np.float64)])
        if twist.shape != (6,) or not np.isfinite(twist).all():
            raise ValueError(
                f"twist must be 3 + 3 finite numbers, got linear {linear!r}, angular {angular!r}"
            )
        measured = self._data.site_xpos[self._site].copy()
        target = self._commanded.position + twist[:3] * TICK - measured
        ahead = float(np.linalg.norm(target))
        if ahead > MAX_FOLLOWING_ERROR:
            target *= MAX_FOLLOWING_ERROR / ahead
        turn = quaternions.from_rotation_vector((twist[3:] * TICK).tolist())
        before = quaternions.normalize(self._commanded.quaternion.tolist())
        self._commanded = Pose(measured + target, np.array(quaternions.multiply(turn, before)))
        self._data.ctrl[:7] = self._controller.step(self._commanded, twist, TICK)
        self._mujoco.mj_step(self._model, self._data, SUBSTEPS)

    def grip(self, closure: float) -> None:
        """Sets the target of the fingers: 0 open .. 1 closed. Values outside are clipped."""
        self._closure_target = float(np.clip(closure, 0.0, 1.0))
        self._data.ctrl[7:] = kinova.FINGER_OPEN + self._closure_target * (
            kinova.FINGER_CLOSED - kinova.FINGER_OPEN
        )

    def displace(self, bodies: Iterable[str], offset) -> None:
        """Moves free bodies (the plate, slots) along the table at once. offset: x, y in metres."""
        for body in bodies:
            first, dof = states.FREE_BODY_QPOS[body], int(self._model.joint(body).dofadr[0])
            self._data.qpos[first : first + 2] += offset
            self._data.qvel[dof : dof + 6] = 0.0
        self._mujoco.mj_forward(self._model, self._data)

    @property
    def commanded(self) -> Pose:
        """Commanded end-effector pose."""
        return self._commanded

    @property
    def measured(self) -> Pose:
        """Measured pose of the end effector, the point between the fingertips."""
        quaternion = quaternions.from_matrix(self._data.site_xmat[self._site])
        return Pose(self._data.site_xpos[self._site].copy(), np.array(quaternion))

    @property
    def joints(self) -> np.ndarray:
        """Joint angles f64[7] in rad, with the vendor's zero."""
        return self._data.qpos[:7].copy()

    @property
    def joint_velocities(self) -> np.ndarray:
        """Joint velocities f64[7] in rad/s."""
        return self._data.qvel[:7].copy()

    @property
    def closure(self) -> float:
        """Measured closure, 0 open .. 1 closed: the mean of the three fingers."""
        mean = float(self._data.qpos[self._fingers].mean())
        return float(
            np.clip((mean - kinova.FINGER_OPEN) / (kinova.FINGER_CLOSED - kinova.FINGER_OPEN), 0.0, 1.0)
        )

    @property
    def time(self) -> float:
        """Simulated time since the reset in seconds."""
        return float(self._data.time)

    def home(self) -> Pose:
        """The pose at which an episode starts unless `reset` is given another."""
        return self._home

    def state(self) -> np.ndarray:
        """State vector f64[state.SIZE]: everything that renderer and expert need; see state.py."""
        return states.pack(
            time=self.time,
            task=list(tasks.TASKS).index(self.task.name),
            cabinet=self._model.body_pos[self._cabinet, :2],
            qpos=self._data.qpos,
            commanded=self._commanded.vector(),
            measured=self.measured.vector(),
            closure_target=self._closure_target,
            closure=self.closure,
        )

    def success(self) -> bool:
        """Whether the goal of the current task holds now."""
        return self.task.is_success(self.state(), self.objects)
