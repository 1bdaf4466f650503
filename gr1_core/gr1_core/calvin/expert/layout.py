"""Where the fixtures of a play table are, in metres of the world's frame: the numbers of table D."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gr1_core.calvin.environment import State

TABLE = 0.44
"""Height of the table's top."""
EDGE = -0.181
"""y of the table's front edge."""
SLOPE = np.array([0.0, 0.5, 0.8660254])
"""The way the switch goes up, along the cabinet's front."""
BLOCK = 0.04
"""Width and height of each block."""
BLOCK_LENGTHS = {"red": 0.056, "blue": 0.04, "pink": 0.08}


@dataclass(frozen=True)
class Layout:
    """Positions with every joint at 0."""

    button: np.ndarray
    slider_handle: np.ndarray
    door: tuple[float, float]  # x of the sliding door's ends
    travel: float  # m that the sliding door moves
    cabinet: tuple[float, float]  # x of the cabinet's inner ends
    drawer_handle: np.ndarray
    drawer: tuple[float, float]  # x of the drawer's inner ends
    switch: np.ndarray

    def handle_of_slider(self, state: State) -> np.ndarray:
        return self.slider_handle - [state.fixture("slider"), 0, 0]

    def handle_of_drawer(self, state: State) -> np.ndarray:
        return self.drawer_handle - [0, state.fixture("drawer"), 0]

    def handle_of_switch(self, state: State) -> np.ndarray:
        return self.switch + state.fixture("switch") * SLOPE

    def opening(self, state: State) -> tuple[float, float]:
        """x of the ends of the cabinet's wider opening beside the sliding door."""
        left, right = (end - state.fixture("slider") for end in self.door)
        return max(((self.cabinet[0], left), (right, self.cabinet[1])), key=lambda ends: ends[1] - ends[0])

    def drawer_centre(self, state: State) -> np.ndarray:
        """xyz of the middle of the part of the drawer that is out, z of its floor."""
        return np.array([sum(self.drawer) / 2, -0.185 - (state.fixture("drawer") - 0.025) / 2, 0.342])


TABLE_D = Layout(
    button=np.array([-0.12, -0.12, 0.485]),
    slider_handle=np.array([0.04, 0.0, 0.54]),
    door=(-0.105, 0.185),
    travel=0.28,
    cabinet=(-0.364, 0.164),
    drawer_handle=np.array([0.18, -0.2475, 0.365]),
    drawer=(0.005, 0.355),
    switch=np.array([0.275, 0.02, 0.53]),
)
LAYOUTS = {"D": TABLE_D}
