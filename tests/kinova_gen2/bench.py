"""The backend and the stand-in arm in one process, tick by tick."""

from __future__ import annotations

import os
import time

import numpy as np

from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmState, backend_options, load_backend

from .standin import StandIn, sdk

TIMEOUT = 20.0
STILL = (0.0, 0.0, 0.0)


def until(test, what: str, timeout: float = TIMEOUT) -> None:
    """Waits for something that happens in the arm's file, where there is no event to wait for."""
    deadline = time.monotonic() + timeout
    while not test():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.0005)


class Bench:
    """`tick` is what the arm node does every 10 ms, here as soon as the last point was sent."""

    def __init__(self, standin: StandIn, **settings):
        self.standin = standin
        defaults = {option.name: option.default for option in backend_options("kinova_gen2")}
        self.arm = load_backend(
            "kinova_gen2", Rig.load("kinova_gen2"), {**defaults, "sdk": os.fspath(sdk()), **settings}
        )

    def connect(self) -> None:
        self.arm.connect()

    def close(self) -> None:
        self.arm.close()

    def tick(self, linear=STILL, angular=STILL) -> ArmState:
        state, sent = self.arm.read_state(), self.standin.world.sent
        dropped = self.arm.driver.counts["dropped"]
        twist = np.array(linear, np.float64), np.array(angular, np.float64)
        self.arm.send_twist(*twist)

        def is_sent():
            nonlocal dropped
            if self.arm.driver.counts["dropped"] > dropped:  # a busy computer: the twist was too old
                dropped = self.arm.driver.counts["dropped"]
                self.arm.send_twist(*twist)
            return self.standin.world.sent > sent

        until(is_sent, "a point")
        return state

    def drive(self, ticks: int, linear=STILL, angular=STILL) -> None:
        for _ in range(ticks):
            self.tick(linear, angular)
        self.settle()

    def settle(self) -> None:
        """Until the arm has carried out what it was sent, rests, and the newest state was read after that."""
        until(lambda: not self.standin.moving, "an arm at rest")
        now = time.monotonic()
        self.until(lambda state: state.at > now, "a newer state")

    def until(self, test, what: str) -> ArmState:
        """The first state that passes the test."""
        states = []
        until(lambda: test(states.append(self.arm.read_state()) or states[-1]), what)
        return states[-1]

    def fault(self, text: str) -> str:
        """Waits for a fault that holds the text."""
        found = []
        until(
            lambda: found.extend(fault for fault in self.arm.faults() if text in fault) or found,
            f"a fault with '{text}'",
        )
        return found[0]
