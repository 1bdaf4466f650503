"""The simulated rig: a Kinova Gen2 at a table with vegetables, a plate and a drawer, in MuJoCo.

`Twin` is the entry point. docs/explanation/simulation.md describes the scene and the source of each number.
"""

import importlib

_MODULES = {
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
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'gr1_core.sim' has no attribute '{name}'")
