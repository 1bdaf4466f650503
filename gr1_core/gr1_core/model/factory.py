"""Configuration -> model: GR-1 or one of the baselines."""

from __future__ import annotations

from gr1_core.baselines.base import Baseline
from gr1_core.baselines.r3m import R3M
from gr1_core.baselines.rt1 import RT1
from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import GR1

_POLICIES = {"gr1": GR1, "rt1": RT1, "r3m": R3M}


def new_model(config: GR1Config) -> GR1 | Baseline:
    """A model with initial weights from PyTorch's random generator."""
    return _POLICIES[config.policy](config)
