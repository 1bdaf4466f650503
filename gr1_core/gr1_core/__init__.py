"""GR-1 on a real robot: model, control-rate runtime, simulated rig. Nothing in here imports ROS."""

import importlib

_HOME = {
    "GR1": "gr1_core.model",
    "GR1Config": "gr1_core.model",
    "Policy": "gr1_core.policy",
    "Observation": "gr1_core.policy",
    "Action": "gr1_core.policy",
    "Rig": "gr1_core.rig",
}
__all__ = list(_HOME)


def __dir__():
    return __all__


def __getattr__(name: str):
    # torch, transformers and mujoco take seconds to import: load a name's module when the name is first used.
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'gr1_core' has no attribute '{name}'")
