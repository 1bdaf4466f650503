"""Episodes of the twin without ROS: commands at the control rate, one control period late, ramped as the gate in front of the arm does."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator

import numpy as np

from gr1_core.rig import Limits, Rig
from gr1_core.sim.expert import Command, Expert
from gr1_core.sim.objects.catalogue import DRAWN
from gr1_core.sim.tasks import TASKS, find
from gr1_core.sim.twin import TICK, Twin

HELD = 5  # control periods in a row for which the goal must hold
SECONDS = 25.0  # an episode that lasts longer has failed
Observer = Callable[[np.ndarray, np.ndarray], None]  # linear m/s, angular rad/s
Disturber = Callable[
    [np.ndarray, Command], Command
]  # state, the expert's command for it -> what is carried out instead


class Ramp:
    """Speeds up no faster than the limits allow, slows down at once, never exceeds the speed: what the arm's gate lets through."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._linear, self._angular = np.zeros(3), np.zeros(3)

    def step(self, linear, angular, period: float) -> tuple[np.ndarray, np.ndarray]:
        """Wanted twist -> permitted twist after another `period` seconds; m/s and rad/s."""
        limits = self._limits
        self._linear = _ramp(self._linear, linear, limits.linear_speed, limits.linear_acceleration * period)
        self._angular = _ramp(
            self._angular, angular, limits.angular_speed, limits.angular_acceleration * period
        )
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
    twin: Twin,
    expert: Expert,
    rig: Rig,
    seconds: float = SECONDS,
    observe: Observer | None = None,
    disturb: Disturber | None = None,
) -> Iterator[tuple[np.ndarray, Command, bool]]:
    """Runs the expert on a twin that was just reset, in closed loop as on the rig.

    Yields (state, the expert's command for it, goal reached) once a control period, and ends once the goal has held for HELD periods
    or after `seconds`. The command takes effect one period after the state that it answers. `observe` is called before every tick with
    the twist that the tick is given; the twin is then still as it was. `disturb` is asked after a yield what to carry out instead of
    the command that was yielded.
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
        wanted = disturb(state, command) if disturb else command
        for _ in range(ticks):
            linear, angular = ramp.step(pending.linear, pending.angular, TICK)
            position = twin.commanded.position
            inside = np.clip(position + linear * TICK, np.minimum(low, position), np.maximum(high, position))
            linear = (inside - position) / TICK
            if observe:
                observe(linear, angular)
            twin.grip(pending.closure)
            twin.tick(linear, angular)
        pending = wanted


def succeeds(twin: Twin, task: str, seed: int, rig: Rig) -> tuple[bool, float]:
    """One episode of the expert: whether it reached the goal, and after how many simulated seconds it ended."""
    twin.reset(task, seed)
    run = [done for _, _, done in episode(twin, Expert(task, rig.control_hz, twin.props), rig)]
    return len(run) >= HELD and all(run[-HELD:]), len(run) * rig.period


def evaluate(argv: list[str] | None = None) -> dict:
    """The expert's success table; the last line is JSON. Returns that document."""
    parser = argparse.ArgumentParser(
        prog="python -m gr1_core.sim.expert", description="The scripted expert's success over seeded layouts."
    )
    parser.add_argument("--episodes", type=int, default=10, help="episodes of each task")
    parser.add_argument(
        "--seed", type=int, default=1000, help="first seed, of layout and things; each episode takes the next"
    )
    parser.add_argument("--tasks", default="all", help="comma-separated names, or all")
    parser.add_argument(
        "--things", default="standard", choices=("standard", *DRAWN), help="what lies on the table"
    )
    parser.add_argument("--rig", default="kinova_gen2", help="rig name or YAML file: control rate and limits")
    arguments = parser.parse_args(argv)
    rig, twin = Rig.load(arguments.rig), Twin()
    names = (
        list(TASKS) if arguments.tasks == "all" else [find(name).name for name in arguments.tasks.split(",")]
    )
    draw, table, things = DRAWN.get(arguments.things), {}, {}
    for name in names:
        won, lost = [], []
        for seed in range(arguments.seed, arguments.seed + arguments.episodes):
            twin = Twin(draw(seed)) if draw else twin
            success, seconds = succeeds(twin, name, seed, rig)
            won += [seconds] * success
            lost += [str(seed)] * (not success)
            row = things.setdefault(twin.task.noun(twin.props) or "drawer", {"episodes": 0, "successes": 0})
            row["episodes"], row["successes"] = row["episodes"] + 1, row["successes"] + success
        table[name] = {"episodes": arguments.episodes, "successes": len(won)}
        pace = f"{np.mean(won):5.1f} s" if won else "      -"
        failed = f"   failed seeds: {', '.join(lost)}" if lost else ""
        print(f"{name:32s} {len(won):4d} / {arguments.episodes:<4d} {pace}{failed}", flush=True)
    total = {key: sum(row[key] for row in table.values()) for key in ("episodes", "successes")}
    document = total | {"tasks": table, "things": things}
    print(json.dumps(document))
    return document
