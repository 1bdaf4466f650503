"""State vector of the simulator: one flat f64 array, small enough for a message, that renderer and expert
work from.

| part | numbers | meaning |
|---|---|---|
| time | 1 | seconds since the reset |
| task | 1 | index into TASKS |
| cabinet | 2 | x, y of the cabinet's front, metres |
| qpos | 42 | MuJoCo's joint positions: 7 arm, 6 fingers, drawer, xyz + quaternion wxyz of plate and slots |
| commanded, measured | 7 + 7 | end-effector poses: xyz, quaternion xyzw |
| closure_target, closure | 1 + 1 | gripper, 0 open .. 1 closed |


"""

from __future__ import annotations

import numpy as np

from gr1_core.pose import Pose

_PARTS = {
    "time": 1,
    "task": 1,
    "cabinet": 2,
    "qpos": 42,
    "commanded": 7,
    "measured": 7,
    "closure_target": 1,
    "closure": 1,
}
_ENDS = np.cumsum(list(_PARTS.values()))
_SLICES = {name: slice(int(end) - size, int(end)) for (name, size), end in zip(_PARTS.items(), _ENDS)}
SIZE = int(_ENDS[-1])

# First index in qpos of each free body's position and quaternion
FREE_BODY_QPOS = {"plate": 14, "eggplant": 21, "broccoli": 28, "bell_pepper": 35}
DRAWER_QPOS = 13  # index of the drawer's slide joint in qpos


def pack(**parts) -> np.ndarray:
    """Packs the named parts into f64[SIZE]."""
    state = np.empty(SIZE)
    for name, place in _SLICES.items():
        state[place] = parts[name]
    return state


class StateView:
    """Read access to the parts of a state vector by name, without a copy. Raises ValueError for a wrong
    shape.
    """

    def __init__(self, state):
        state = np.asarray(state, np.float64)
        if state.shape != (SIZE,):
            raise ValueError(
                f"simulator state has shape {list(state.shape)}, expected [{SIZE}]: "
                "it is of another version of the scene; restart the simulated arm and the camera together"
            )
        self.vector = state

    def __getattr__(self, name: str):
        try:
            part = self.vector[_SLICES[name]]
        except KeyError:
            raise AttributeError(
                f"simulator state has no part '{name}', it has {', '.join(_SLICES)}"
            ) from None
        return part if len(part) > 1 else float(part[0])

    def pose(self, which: str) -> Pose:
        """End-effector pose `commanded` or `measured`."""
        part = self.vector[_SLICES[which]]
        return Pose(part[:3].copy(), part[3:].copy())

    def position(self, body: str) -> np.ndarray:
        """f64[3] in metres: origin of the plate or of the object in a slot, base frame."""
        start = FREE_BODY_QPOS[body]
        return self.qpos[start : start + 3].copy()

    def y_axis(self, body: str) -> np.ndarray:
        """f64[3]: direction of a body's y axis in the base frame, which is the long axis of an elongated
        object.
        """
        w, x, y, z = self.qpos[FREE_BODY_QPOS[body] + 3 : FREE_BODY_QPOS[body] + 7]
        return np.array([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)])

    @property
    def drawer(self) -> float:
        """Opening of the drawer in metres."""
        return float(self.qpos[DRAWER_QPOS])
