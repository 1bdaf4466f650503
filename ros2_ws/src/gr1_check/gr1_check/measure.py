"""Measures a running stack from outside: `python -m gr1_check.measure --seconds 60`; the last line is one JSON document.

Rates and jitter come from the messages' own stamps, so that this program's delays do not count; the way from camera to command,
steps and skipped steps are what the policy node reports, as the difference between the end and the beginning.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from gr1_common.messages import seconds
from gr1_common.qos import COMMAND
from gr1_common.stack_monitor import NEWEST, Monitor, Status
from gr1_core import Rig
from gr1_core.rig import ROLES
from gr1_robot.arm.gate import TICK

_BEATS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
"""A hundred a second: what waits here for its turn is not lost."""


class Stamps:
    """When the messages of one topic were stamped, in seconds."""

    def __init__(self, monitor: Monitor, kind, topic: str, profile):
        self._stamps, self._lock = [], threading.Lock()
        monitor.node.create_subscription(kind, topic, self._heard, profile)

    def _heard(self, message) -> None:
        with self._lock:
            self._stamps.append(seconds(message.header.stamp))

    def clear(self) -> None:
        with self._lock:
            self._stamps.clear()

    def report(self, period: float) -> dict:
        """Rate in Hz, the periods' quantiles in ms, and how many whole periods are missing between messages. `period` in s."""
        with self._lock:
            stamps = np.sort(self._stamps)
        gaps = np.diff(stamps)
        if not len(gaps):
            return {"count": len(stamps), "hz": 0.0}
        p50, p99, largest = 1e3 * np.quantile(gaps, (0.5, 0.99, 1.0))
        return {
            "count": len(stamps),
            "hz": round(float(len(gaps) / (stamps[-1] - stamps[0])), 3),
            "period_p50_ms": round(float(p50), 2),
            "period_p99_ms": round(float(p99), 2),
            "period_max_ms": round(float(largest), 2),
            "jitter_ms": round(float(1e3 * np.std(gaps)), 2),
            "missing": int(np.maximum(np.round(gaps / period) - 1, 0).sum()),
        }


def main(argv: list[str] | None = None) -> int:
    """0 when all was measured, 1 when some node of the stack was not heard."""
    parser = argparse.ArgumentParser(prog="python -m gr1_check.measure", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure (default: 60)")
    parser.add_argument(
        "--rig", default="kinova_gen2", help="the rig that the stack runs with (default: kinova_gen2)"
    )
    parser.add_argument("--namespace", default="", help="the stack's ROS namespace")
    parser.add_argument(
        "--wait", type=float, default=60.0, help="how long to wait for the stack to run (default: 60)"
    )
    options = parser.parse_args(argv)
    rig = Rig.load(options.rig)
    monitor = Monitor("gr1_measure", options.namespace)
    cameras = {role: Stamps(monitor, CameraInfo, f"camera/{role}/camera_info", NEWEST) for role in ROLES}
    commands = Stamps(monitor, TwistStamped, "command/policy/twist", COMMAND)
    beats = Stamps(monitor, TwistStamped, "arm/commanded_twist", _BEATS)
    monitor.start()
    try:
        missing = _await(monitor, options.wait)
        if missing:
            hint = "is the stack running in this ROS_DOMAIN_ID?"
            print(f"not heard within {options.wait:.0f} s: {', '.join(missing)}; {hint}", file=sys.stderr)
            return 1
        for stamps in (*cameras.values(), commands, beats):
            stamps.clear()
        before, gates, slowest, until = (
            monitor.seen().statuses,
            Counter(),
            0.0,
            time.monotonic() + options.seconds,
        )
        while time.monotonic() < until:
            time.sleep(0.1)
            statuses = monitor.seen().statuses
            gate = statuses["arm: gate"].values
            if "arm: loop" in statuses:
                slowest = max(slowest, statuses["arm: loop"].number("period_max_ms") or 0.0)
            gates[f"{gate.get('state')}: {gate.get('reason')}"] += 1
        document = _document(monitor.seen().statuses, before, cameras, commands, beats, rig, gates) | {
            "seconds": options.seconds
        }
        document["arm_loop"] |= {"period_max_ms": slowest} if document["arm_loop"] else {}
    finally:
        monitor.close()
    for part, figures in document.items():
        print(f"{part:24} {figures}")
    print(json.dumps(document))
    return 0


def _await(monitor: Monitor, patience: float) -> list[str]:
    """Waits until all speak and the policy steps; returns who does not."""
    wanted = ("camera_static: stream", "camera_wrist: stream", "arm: gate", "policy: step")
    until = time.monotonic() + patience
    while True:
        statuses = monitor.seen().statuses
        missing = [name for name in wanted if name not in statuses]
        if not missing and _count(statuses["policy: step"], "steps"):
            return []
        if time.monotonic() > until:
            return missing or ["policy: step (it is there, but takes no steps)"]
        time.sleep(0.1)


def _document(
    after: dict[str, Status], before: dict[str, Status], cameras, commands, beats, rig: Rig, gates: Counter
) -> dict:
    expected = {
        role: after[f"camera_{role}: stream"].number("expected_hz") or rig.control_hz for role in ROLES
    }
    step, earlier = after["policy: step"], before["policy: step"]
    names = [
        f"{what}_{percentile}_ms"
        for what in ("period", "inference", "camera_to_command")
        for percentile in ("p50", "p99")
    ]
    return {
        "cameras": {role: cameras[role].report(1.0 / expected[role]) for role in ROLES},
        "commands": commands.report(rig.period),
        "policy": {name: step.number(name) for name in ("rate_hz", *names)}
        | {name: _count(step, name) - _count(earlier, name) for name in ("steps", "skipped")},
        "arm_loop": _loop(after.get("arm: loop"), before.get("arm: loop")),
        "arm_beats": beats.report(TICK),
        "gate": {state: round(count / gates.total(), 3) for state, count in gates.most_common()},
    }


def _loop(after: Status | None, before: Status | None) -> dict:
    """What the arm node says of its own loop; `missed` counts this measurement's."""
    if after is None:
        return {}
    names = ("rate_hz", "period_p50_ms", "period_p99_ms")
    missed = _count(after, "missed") - _count(before, "missed")
    return {name: after.number(name) for name in names} | {
        "missed": missed,
        "scheduling": after.values.get("scheduling", ""),
    }


def _count(status: Status | None, key: str) -> int:
    value = status.number(key) if status else None
    return int(value) if value is not None else 0


if __name__ == "__main__":
    sys.exit(main())
