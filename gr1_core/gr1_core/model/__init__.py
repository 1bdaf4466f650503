"""GR-1, the model (Wu et al., "Unleashing Large-Scale Video Generative Pre-training for Visual Robot
Manipulation", ICLR 2024).
"""

import importlib

_HOME = {
    "GR1Config": "gr1_core.model.config",
    "GR1": "gr1_core.model.gr1",
    "Prediction": "gr1_core.model.gr1",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    # A recipe is checked without torch: its configuration needs none.
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'gr1_core.model' has no attribute '{name}'")
