"""Random commands to arms with inertia behind their gate: how near they come to what they must not touch.

    python -m tests.robot.random_commands --robot gen2 --commands 100000 --seed 0

Starts from the ready posture and from random ones, follows 0, 30 and 60 ms late. The last line is one JSON
document: commands, s of motion, and how many arms touched something, exceeded a joint's speed, or left the
workspace, with the worst of each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter

import numpy as np

from .inert import InertArm, TwinArm, robot

EACH = 300
"""Commands of one arm."""
HOLDS = (1, 1, 2, 4)
LAGS = (0.06, 0.06, 0.03, 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--robot", choices=("gen2", "gen3", "twin"), default="gen2")
    parser.add_argument("--commands", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600.0, help="end after this time at the latest")
    arguments = parser.parse_args()
    kind, counts = robot(arguments.robot), Counter()
    driver = _driver() if arguments.robot == "twin" else None
    worst, found, ticks = [np.inf, 0.0, np.inf], Counter(touched=0, too_fast=0, outside=0), 0
    arms, end = 0, time.monotonic() + 60.0 * arguments.minutes
    for number in range(arguments.seed, arguments.seed - (-arguments.commands // EACH)):
        if time.monotonic() > end:
            break
        arms += 1
        rng, lag = np.random.default_rng(number), LAGS[number % len(LAGS)]
        if driver:
            driver.reset("pick_eggplant", number)
            arm = TwinArm(driver, lag)
        else:
            arm = InertArm(kind, kind.posture(rng) if number % 3 else kind.ready, lag)
        arm.wander(rng, EACH, HOLDS)
        distance, speed, room = arm.least_room()
        worst = [min(worst[0], distance), max(worst[1], speed), min(worst[2], room)]
        found.update(touched=distance <= 0.0, too_fast=speed > 1.0, outside=room < 0.0)
        ticks += len(arm.history)
        counts.update({reason: count for reason, count in arm.gate.counts.items() if count})
        if distance <= 0.0 or speed > 1.0 or room < 0.0 or arms % 50 == 0:
            print(
                f"arm {number}, lag {lag:g} s: {1e3 * distance:.2f} mm, {speed:.3f} of the speed limit, "
                f"{1e3 * room:.2f} mm inside; so far {dict(found)}",
                flush=True,
            )
    result = {"robot": arguments.robot, "commands": arms * EACH, "arms": arms, "seconds": ticks / 100}
    result |= {"worst_mm": 1e3 * worst[0], "worst_speed_share": worst[1], "worst_room_mm": 1e3 * worst[2]}
    print(json.dumps(result | {name: int(count) for name, count in found.items()} | {"reasons": counts}))
    return int(any(found.values()))


def _driver():
    from gr1_robot.arm.drivers.sim.backend import Arm

    driver = Arm(robot("twin").rig, "pick_eggplant", 0)
    driver.connect()
    return driver


if __name__ == "__main__":
    raise SystemExit(main())
