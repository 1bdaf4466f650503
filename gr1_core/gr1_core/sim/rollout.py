"""Episodes of the twin without ROS: commands at the control rate, one control period late, ramped as the gate in front of the arm does."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator

import numpy as np

from ..rig import Limits, Rig
from .expert import Command, Expert
from .tasks import TASKS, find
from .twin import TICK, Twin

HELD = 5  # control periods in a row for which the goal must hold
SECONDS = 25.0  # an episode that lasts longer has failed
Observer = Callable[[np.ndarray, np.ndarray], None]  # linear m/s, angular rad/s


class Ramp:
    """Speeds up no faster than the limits allow, slows down at once, never exceeds the speed: what the arm's gate lets through."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._linear, self._angular = np.zeros(3), np.zeros(3)

    def step(self, linear, angular, period: float) -> tuple[np.ndarray, np.ndarray]:
        """Wanted twist -> permitted twist after another `period` seconds; m/s and rad/s."""
        limits = self._limits
        self._linear = _ramp(self._linear, linear, limits.linear_speed, limits.linear_acceleration * period)
        self._angular = _ramp(self._angular, angular, limits.angular_speed, limits.angular_acceleration * period)
        return self._linear, self._angular


def _ramp(now: np.ndarray, wanted: np.ndarray, ceiling: float, gain: float) -> np.ndarray:
    wanted = np.asarray(wanted, np.float64)
    wanted = wanted * min(1.0, ceiling / max(float(np.linalg.norm(wanted)), 1e-12))
    change = wanted - now
    size = float(np.linalg.norm(change))
    if size <= gain or np.linalg.norm(wanted) <= np.linalg.norm(now) and now @ wanted >= 0:
        return wanted
    return now + change * (gain / size)


def episode(
    twin: Twin, expert: Expert, rig: Rig, seconds: float = SECONDS, observe: Observer | None = None
) -> Iterator[tuple[np.ndarray, Command, bool]]:
    """Runs the expert on a twin that was just reset, in closed loop as on the rig.

    Yields (state, the expert's command for it, goal reached) once a control period, and ends once the goal has held for HELD periods
    or after `seconds`. The command takes effect one period after the state that it answers. `observe` is called before every tick with
    the twist that the tick is given; the twin is then still as it was.
    """
    ramp = Ramp(rig.limits)
    low, high = np.array(rig.limits.workspace_min), np.array(rig.limits.workspace_max)
    ticks = round(rig.period / TICK)
    pending = Command(np.zeros(3), np.zeros(3), 0.0)
    held = 0
    for _ in range(round(seconds / rig.period)):
        state = twin.state()
        command = expert.act(state)
        done = twin.success()
        yield state, command, done
        held = held + 1 if done else 0
        if held >= HELD:
            return
        for _ in range(ticks):
            linear, angular = ramp.step(pending.linear, pending.angular, TICK)
            position = twin.commanded.position
            inside = np.clip(position + linear * TICK, np.minimum(low, position), np.maximum(high, position))
            linear = (inside - position) / TICK
            if observe:
                observe(linear, angular)
            twin.grip(pending.closure)
            twin.tick(linear, angular)
        pending = command


def succeeds(twin: Twin, task: str, seed: int, rig: Rig) -> tuple[bool, float]:
    """One episode of the expert: whether it reached the goal, and after how many simulated seconds it ended."""
    twin.reset(task, seed)
    run = [done for _, _, done in episode(twin, Expert(task, rig.control_hz), rig)]
    return len(run) >= HELD and all(run[-HELD:]), len(run) * rig.period


def evaluate(argv: list[str] | None = None) -> dict:
    """The expert's success table; the last line is JSON. Returns that document."""
    parser = argparse.ArgumentParser(prog="python -m gr1_core.sim.expert", description="The scripted expert's success over seeded layouts.")
    parser.add_argument("--episodes", type=int, default=10, help="episodes of each task")
    parser.add_argument("--seed", type=int, default=1000, help="first seed; each episode takes the next")
    parser.add_argument("--tasks", default="all", help="comma-separated names, or all")
    parser.add_argument("--rig", default="kinova_gen2", help="rig name or YAML file: control rate and limits")
    arguments = parser.parse_args(argv)
    rig, twin = Rig.load(arguments.rig), Twin()
    names = list(TASKS) if arguments.tasks == "all" else [find(name).name for name in arguments.tasks.split(",")]
    table = {}
    for name in names:
        runs = {seed: succeeds(twin, name, seed, rig) for seed in range(arguments.seed, arguments.seed + arguments.episodes)}
        won = [seconds for success, seconds in runs.values() if success]
        lost = [str(seed) for seed, (success, _) in runs.items() if not success]
        table[name] = {"episodes": len(runs), "successes": len(won)}
        pace = f"{np.mean(won):5.1f} s" if won else "      -"
        print(f"{name:32s} {len(won):4d} / {len(runs):<4d} {pace}" + (f"   failed seeds: {', '.join(lost)}" if lost else ""), flush=True)
    total = {key: sum(row[key] for row in table.values()) for key in ("episodes", "successes")}
    document = total | {"tasks": table}
    print(json.dumps(document))
    return document
