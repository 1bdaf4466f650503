"""Resolved-rate control of the arm at 100 Hz: a Cartesian command becomes joint targets by damped least
squares.

The controller integrates its own joint reference q. J is the Jacobian at q, x the pose at q, x* the commanded
pose and v the commanded twist. The joint velocity is scaled as a whole to the vendor's joint speeds:

    dq/dt = J^T (J J^T + lambda^2 I)^-1 (v + Kp (x* - x)) + (I - J^+ J) K0 (q_home - q)
"""

from __future__ import annotations

import numpy as np

from gr1_core.pose import Pose
from gr1_core.sim import quaternions
from gr1_core.sim.kinova import SPEED_LIMIT

HOME_JOINTS = np.radians([171.5, 201.9, 32.9, 89.9, 167.7, 108.4, 296.4])  # near the home pose, elbow up

_DAMPING, _GAIN, _POSTURE_GAIN = 0.04, 8.0, 0.5


class Controller:
    """Maps commanded poses and twists to joint references f64[7] in rad."""

    def __init__(self, model):
        import mujoco

        self._mujoco, self._model, self._data = mujoco, model, mujoco.MjData(model)
        self._site = model.site("grip").id
        self._jacobian = np.zeros((6, model.nv))
        limited = model.jnt_limited[:7].astype(bool)
        self._low = np.where(limited, model.jnt_range[:7, 0] + 0.02, -np.inf)
        self._high = np.where(limited, model.jnt_range[:7, 1] - 0.02, np.inf)
        self._damping = _DAMPING**2 * np.eye(6)
        self.joints = HOME_JOINTS.copy()

    def forward(self, joints) -> Pose:
        """Forward kinematics: joints f64[7] in rad -> pose of the end effector."""
        self._data.qpos[:7] = joints
        self._mujoco.mj_kinematics(self._model, self._data)
        quaternion = quaternions.from_matrix(self._data.site_xmat[self._site])
        return Pose(self._data.site_xpos[self._site].copy(), np.array(quaternion))

    def start(self, pose: Pose) -> np.ndarray:
        """Solves the inverse kinematics of `pose` from the home posture and sets the reference to the result.

        Returns joints f64[7] in rad.
        """
        self.joints = HOME_JOINTS.copy()
        for _ in range(600):
            self.step(pose, np.zeros(6), 0.02)
        return self.joints.copy()

    def step(self, commanded: Pose, twist, period: float) -> np.ndarray:
        """Advances the reference by `period` seconds towards `commanded`, with feed-forward `twist` f64[6]
        (m/s, rad/s).

        Returns joints f64[7] in rad.
        """
        self._data.qpos[:7] = self.joints
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        self._mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian[:, :7]
        # The quaternion of a matrix is normalised twice, as in a pose that is used as a rotation.
        reached = quaternions.normalize(quaternions.from_matrix(self._data.site_xmat[self._site]))
        target = quaternions.normalize(commanded.quaternion.tolist())
        turn = quaternions.to_rotation_vector(quaternions.multiply(target, quaternions.conjugate(reached)))
        error = np.empty(6)
        np.subtract(commanded.position, self._data.site_xpos[self._site], out=error[:3])
        error[3:] = turn
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + self._damping)
        posture = _POSTURE_GAIN * (HOME_JOINTS - self.joints)
        speed = inverse @ (twist + _GAIN * error) + posture - inverse @ (jacobian @ posture)
        # Scale all joints together: clipping single joints would change the direction of the end effector.
        speed /= max(1.0, float(np.max(np.abs(speed) / SPEED_LIMIT)))
        self.joints = np.clip(self.joints + speed * period, self._low, self._high)
        return self.joints.copy()
