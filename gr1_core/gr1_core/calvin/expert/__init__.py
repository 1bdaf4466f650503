"""The scripted expert: all 34 tasks on the simulator's true state, through the official relative actions
only.
"""

from gr1_core.calvin.expert.agent import Expert
from gr1_core.calvin.expert.tasks import TASKS

__all__ = ["TASKS", "Expert"]
