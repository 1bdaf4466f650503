"""Measures a running stack from outside. The last line printed is one JSON document.

Rates and jitter come from the messages' own stamps, so this program's delays do not count. The latency from
camera to command, the steps and the skipped steps are what the policy node reports, as the difference
between end and beginning.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from gr1_common.conventions import TICK
from gr1_common.messages import seconds
from gr1_common.qos import COMMAND, SENSOR
from gr1_common.shell import other_users
from gr1_common.stack_monitor import StackMonitor, Status
from gr1_core import Rig
from gr1_core.rig import ROLES

_BEATS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
"""A hundred a second; deep enough that none is lost."""


class Stamps:
    """When the messages of one topic were stamped, in seconds."""

    def __init__(self, monitor: StackMonitor, kind, topic: str, profile):
        self._stamps, self._lock = [], threading.Lock()
        monitor.node.create_subscription(kind, topic, self._on_message, profile)

    def _on_message(self, message) -> None:
        with self._lock:
            self._stamps.append(seconds(message.header.stamp))

    def clear(self) -> None:
        with self._lock:
            self._stamps.clear()

    def report(self, period: float) -> dict:
        """Rate in Hz, the periods' quantiles in ms, and how many whole periods are missing between messages.
        `period` in s.
        """
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


def measure(duration: float, rig_name: str, namespace: str, patience: float) -> int:
    """Measures for `duration` s and prints the result; 0 when all was measured, 1 when a node of the stack
    published nothing.

    patience: s to wait for the stack to run.
    """
    rig = Rig.load(rig_name)
    monitor = StackMonitor("gr1_measure", namespace)
    cameras = {role: Stamps(monitor, CameraInfo, f"camera/{role}/camera_info", SENSOR) for role in ROLES}
    commands = Stamps(monitor, TwistStamped, "command/policy/twist", COMMAND)
    beats = Stamps(monitor, TwistStamped, "arm/commanded_twist", _BEATS)
    monitor.start()
    try:
        missing = _await(monitor, patience)
        if missing:
            hint = other_users() or "is the stack running in this ROS_DOMAIN_ID?"
            print(f"no messages within {patience:.0f} s: {', '.join(missing)}; {hint}", file=sys.stderr)
            return 1
        for stamps in (*cameras.values(), commands, beats):
            stamps.clear()
        before, gates, slowest, until = (
            monitor.snapshot().statuses,
            Counter(),
            0.0,
            time.monotonic() + duration,
        )
        while time.monotonic() < until:
            time.sleep(0.1)
            statuses = monitor.snapshot().statuses
            gate = statuses["arm: gate"].values
            if "arm: loop" in statuses:
                slowest = max(slowest, statuses["arm: loop"].number("period_max_ms") or 0.0)
            gates[f"{gate.get('state')}: {gate.get('reason')}"] += 1
        document = _document(monitor.snapshot().statuses, before, cameras, commands, beats, rig, gates) | {
            "seconds": duration
        }
        document["arm_loop"] |= {"period_max_ms": slowest} if document["arm_loop"] else {}
    finally:
        monitor.close()
    for part, figures in document.items():
        print(f"{part:24} {figures}")
    print(json.dumps(document))
    return 0


def _await(monitor: StackMonitor, patience: float) -> list[str]:
    """Waits until all nodes publish and the policy steps; returns the missing statuses."""
    wanted = ("camera_static: stream", "camera_wrist: stream", "arm: gate", "policy: step")
    until = time.monotonic() + patience
    while True:
        statuses = monitor.snapshot().statuses
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
    """The arm node's own figures of its loop; `missed` counts during this measurement only."""
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
