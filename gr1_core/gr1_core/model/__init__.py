"""GR-1, the model (Wu et al., "Unleashing Large-Scale Video Generative Pre-training for Visual Robot
Manipulation", ICLR 2024).
"""

from gr1_core.model.config import GR1Config
from gr1_core.model.gr1 import GR1, Prediction

__all__ = ["GR1", "GR1Config", "Prediction"]
