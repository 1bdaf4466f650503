"""`gr1 bench sim`: CPU time of the twin's steps.

CPU time, unlike wall time, changes little when other programs run.
"""

from __future__ import annotations

import json
import time

import numpy as np

from gr1_core.rig import Rig
from gr1_core.sim.renderer import Renderer
from gr1_core.sim.twin import TICK, Twin


def milliseconds(call, rounds: int, repeats: int) -> float:
    """Median over `rounds` of the CPU time of one call, ms."""
    call()
    costs = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeats):
            call()
        costs.append((time.process_time() - start) / repeats * 1e3)
    return float(np.median(costs))


def run(rig: str, rounds: int) -> dict:
    """Measures and prints; the last line is the JSON document that is returned. rig: name or YAML file."""
    rig, twin = Rig.load(rig), Twin()
    twin.reset("put_eggplant_on_plate", 3)
    state = twin.state()
    figures = {"tick_ms": milliseconds(lambda: twin.tick([0.02, 0.0, -0.01], [0.0, 0.0, 0.1]), rounds, 20)}
    figures["reset_ms"] = milliseconds(lambda: twin.reset("put_eggplant_on_plate", 3), rounds, 2)
    for role, camera in rig.cameras.items():
        with Renderer(role, camera.width, camera.height) as renderer:
            figures[f"{role}_ms"] = milliseconds(lambda: renderer.render(state), rounds, 4)
            print(
                f"{role} {camera.width}x{camera.height}: {figures[f'{role}_ms']:.1f} ms of CPU time per image"
            )
    figures["core_share"] = (
        figures["tick_ms"] / (TICK * 1e3) + 20 * (figures["static_ms"] + figures["wrist_ms"]) / 1e3
    )
    print(f"tick of {TICK * 1e3:.0f} ms: {figures['tick_ms']:.2f} ms; reset: {figures['reset_ms']:.0f} ms")
    print(f"the whole rig in real time, cameras at 20 Hz: {figures['core_share']:.2f} of a core")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return figures
