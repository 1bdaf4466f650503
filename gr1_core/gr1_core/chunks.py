"""How far the action chunks of successive steps agree: a policy that changes its mind is unsure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gr1_core.policy import Action


class ChunkDisagreement:
    """Compares each step's action with what earlier steps expected it to be."""

    def __init__(self):
        self._expected: deque[np.ndarray] = deque()

    def reset(self) -> None:
        """A new rollout, or a pause: earlier chunks no longer belong to the coming steps."""
        self._expected.clear()

    def update(self, action: Action) -> float | None:
        """The next step's action -> RMS difference of its delta from the earlier steps' expectations, in the
        model's units. None where there is none, or with chunk 1.
        """
        # The newest of `_expected` expects this step in its first row.
        rows = [later[age, :6] for age, later in enumerate(reversed(self._expected))]
        if len(action.later):
            self._expected.append(action.later)
        while len(self._expected) > len(action.later):
            self._expected.popleft()
        if not rows:
            return None
        return float(np.sqrt(np.mean((np.array(rows) - action.delta) ** 2)))
