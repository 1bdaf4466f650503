"""Closed-loop episodes in the twin, without ROS.

Commands come at the control rate, take effect one control period later, and are limited as by the gate of the
arm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from gr1_core.rig import Limits, Rig
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.state import StateView
from gr1_core.sim.twin import TICK, Twin

SUCCESS_PERIODS = 5  # consecutive control periods for which the goal must hold
MAX_SECONDS = 25.0  # an episode that lasts longer has failed
TickCallback = Callable[[np.ndarray, np.ndarray], None]  # linear m/s, angular rad/s
Disturber = Callable[[np.ndarray, Command], Command]  # state, the actor's command -> the command to execute


class Actor(Protocol):
    """Anything that answers a state with a command: the expert, or a policy."""

    def act(self, state: np.ndarray) -> Command:
        """State vector (Twin.state()) -> the command for the next control period."""


class TwistLimiter:
    """Limits speed and acceleration of a twist as the gate of the arm does. Deceleration is not limited."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._linear, self._angular = np.zeros(3), np.zeros(3)

    def step(self, linear, angular, period: float) -> tuple[np.ndarray, np.ndarray]:
        """Requested twist -> permitted twist, `period` seconds after the last call; m/s and rad/s."""
        limits = self._limits
        self._linear = _limit(self._linear, linear, limits.linear_speed, limits.linear_acceleration * period)
        self._angular = _limit(
            self._angular, angular, limits.angular_speed, limits.angular_acceleration * period
        )
        return self._linear, self._angular


def _limit(current: np.ndarray, requested: np.ndarray, max_speed: float, max_increase: float) -> np.ndarray:
    requested = np.asarray(requested, np.float64)
    requested = requested * min(1.0, max_speed / max(float(np.linalg.norm(requested)), 1e-12))
    change = requested - current
    size = float(np.linalg.norm(change))
    slows_down = np.linalg.norm(requested) <= np.linalg.norm(current) and current @ requested >= 0
    if size <= max_increase or slows_down:
        return requested
    return current + change * (max_increase / size)


def run_episode(
    twin: Twin,
    actor: Actor,
    rig: Rig,
    seconds: float = MAX_SECONDS,
    on_tick: TickCallback | None = None,
    disturb: Disturber | None = None,
) -> Iterator[tuple[np.ndarray, Command, bool]]:
    """Runs an actor in closed loop on a twin at rest, for example after a reset.

    Yields (state, the actor's command for it, success) once per control period. Ends when the goal has held
    for SUCCESS_PERIODS or after `seconds`. A command takes effect one control period after its state.
    on_tick: called before every tick with the twist of that tick; the twin has not moved yet. disturb: called
    after each yield; returns the command to execute in place of the yielded one.
    """
    limiter = TwistLimiter(rig.limits)
    low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
    per_step = rig.period / TICK
    pending = Command(np.zeros(3), np.zeros(3), StateView(twin.state()).closure_target)
    successes = 0
    for step in range(round(seconds / rig.period)):
        state = twin.state()
        command = actor.act(state)
        success = twin.task.is_success(state, twin.objects)
        yield state, command, success
        successes = successes + 1 if success else 0
        if successes >= SUCCESS_PERIODS:
            return
        following = disturb(state, command) if disturb else command
        # A period that is no multiple of the tick, such as that of 15 Hz, takes 7, 6, 7 ... ticks.
        for _ in range(round((step + 1) * per_step) - round(step * per_step)):
            linear, angular = limiter.step(pending.linear, pending.angular, TICK)
            position = twin.commanded.position
            inside = np.clip(position + linear * TICK, np.minimum(low, position), np.maximum(high, position))
            linear = (inside - position) / TICK
            if on_tick:
                on_tick(linear, angular)
            twin.grip(pending.closure)
            twin.tick(linear, angular)
        pending = following


def run_expert_episode(twin: Twin, task: str, seed: int, rig: Rig) -> tuple[bool, float]:
    """Runs the expert on one layout. Returns (success, simulated seconds until the end)."""
    twin.reset(task, seed)
    run = [success for _, _, success in run_episode(twin, Expert(task, rig.control_hz, twin.objects), rig)]
    return len(run) >= SUCCESS_PERIODS and all(run[-SUCCESS_PERIODS:]), len(run) * rig.period
