"""The simulated rig: a Kinova Gen2 at a table with vegetables, a plate and a drawer, in MuJoCo.

Start with `Twin`; docs/explanation/simulation.md says what is in it and where each number comes from.
"""

import importlib

_HOME = {
    "TICK": "twin",
    "Twin": "twin",
    "Pose": "poses",
    "HOME": "poses",
    "TASKS": "tasks",
    "Task": "tasks",
    "Renderer": "renderer",
    "Expert": "expert",
    "Command": "expert",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gr1_core.sim' has no attribute '{name}'")
