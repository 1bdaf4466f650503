"""The simulator's state vector: what the camera and the expert need to know, as one flat f64 array that fits a message.

| part | numbers | meaning |
|---|---|---|
| time | 1 | seconds since the reset |
| task | 1 | index into TASKS |
| cabinet | 2 | x, y of the cabinet's front, metres |
| qpos | 42 | MuJoCo's joint positions: 7 arm, 6 fingers, drawer, then xyz + quaternion wxyz of plate, eggplant, broccoli, bell pepper |
| commanded, measured | 7 + 7 | end-effector poses: xyz, quaternion xyzw |
| closure_target, closure | 1 + 1 | gripper, 0 open .. 1 closed |
"""

from __future__ import annotations

import numpy as np

from gr1_core.sim.poses import Pose

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

FREE = {
    "plate": 14,
    "eggplant": 21,
    "broccoli": 28,
    "bell_pepper": 35,
}  # where each free body's seven numbers start in qpos
DRAWER = 13  # the drawer's place in qpos


def pack(**parts) -> np.ndarray:
    """The named parts -> f64[SIZE]."""
    state = np.empty(SIZE)
    for name, place in _SLICES.items():
        state[place] = parts[name]
    return state


class View:
    """Names for the parts of a state vector, without copying it."""

    def __init__(self, state):
        state = np.asarray(state, np.float64)
        if state.shape != (SIZE,):
            raise ValueError(
                f"simulator state has shape {list(state.shape)}, expected [{SIZE}]: it comes from another version of the scene; "
                "restart the simulated arm and the camera together"
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
        """`commanded` or `measured`."""
        part = self.vector[_SLICES[which]]
        return Pose(part[:3].copy(), part[3:].copy())

    def place(self, body: str) -> np.ndarray:
        """xyz in metres of the plate's or a vegetable's origin."""
        start = FREE[body]
        return self.qpos[start : start + 3].copy()

    def axis(self, body: str) -> np.ndarray:
        """f64[3]: the direction of a body's own y, base frame; an eggplant's length lies along it."""
        w, x, y, z = self.qpos[FREE[body] + 3 : FREE[body] + 7]
        return np.array([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)])

    @property
    def drawer(self) -> float:
        """How far the drawer is open, metres."""
        return float(self.qpos[DRAWER])
