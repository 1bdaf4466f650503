"""Resolved-rate control of the arm: a Cartesian command becomes joint targets by damped least squares, at 100 Hz.

The controller integrates a joint reference q of its own. With J its Jacobian, x its pose, x* the commanded pose, v the commanded twist:
    dq/dt = J^T (J J^T + lambda^2 I)^-1 (v + Kp (x* - x)) + (I - J^+ J) K0 (q_home - q),  clipped joint by joint to the vendor's speeds.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.sim.kinova import SPEED_LIMIT
from gr1_core.sim.poses import Pose

HOME_JOINTS = np.radians([171.5, 201.9, 32.9, 89.9, 167.7, 108.4, 296.4])  # near the home pose, elbow up

_DAMPING, _GAIN, _POSTURE_GAIN = 0.04, 8.0, 0.5


class Controller:
    """Turns commanded poses and twists into joint references, rad, f64[7]."""

    def __init__(self, model):
        import mujoco

        self._mujoco, self._model, self._data = mujoco, model, mujoco.MjData(model)
        self._site = model.site("grip").id
        self._jacobian = np.zeros((6, model.nv))
        limited = model.jnt_limited[:7].astype(bool)
        self._low = np.where(limited, model.jnt_range[:7, 0] + 0.02, -np.inf)
        self._high = np.where(limited, model.jnt_range[:7, 1] - 0.02, np.inf)
        self.joints = HOME_JOINTS.copy()

    def forward(self, joints) -> Pose:
        """Forward kinematics: joints f64[7] rad -> pose of the end effector."""
        self._data.qpos[:7] = joints
        self._mujoco.mj_kinematics(self._model, self._data)
        rotation = Rotation.from_matrix(self._data.site_xmat[self._site].reshape(3, 3))
        return Pose(self._data.site_xpos[self._site].copy(), rotation.as_quat())

    def start(self, pose: Pose) -> np.ndarray:
        """Puts the reference on `pose`, from the home posture; joints f64[7] rad."""
        self.joints = HOME_JOINTS.copy()
        for _ in range(600):
            self.step(pose, np.zeros(6), 0.02)
        return self.joints.copy()

    def step(self, commanded: Pose, twist, period: float) -> np.ndarray:
        """One period in seconds further towards `commanded`, feeding forward `twist` f64[6] (m/s, rad/s)."""
        pose = self.forward(self.joints)
        self._mujoco.mj_comPos(self._model, self._data)
        self._mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian[:, :7]
        error = np.concatenate(
            [commanded.position - pose.position, (commanded.rotation * pose.rotation.inv()).as_rotvec()]
        )
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + _DAMPING**2 * np.eye(6))
        posture = _POSTURE_GAIN * (HOME_JOINTS - self.joints)
        speed = inverse @ (twist + _GAIN * error) + posture - inverse @ (jacobian @ posture)
        # Slower as a whole rather than bent: a joint at its limit must not turn the direction of the hand.
        speed /= max(1.0, float(np.max(np.abs(speed) / SPEED_LIMIT)))
        self.joints = np.clip(self.joints + speed * period, self._low, self._high)
        return self.joints.copy()
