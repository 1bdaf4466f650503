"""The stack at a glance: a table for a terminal, a line for a log file. Both show what /diagnostics says, and add nothing."""

from __future__ import annotations

import math
import time

from rich.table import Table
from rich.text import Text

from gr1_bringup.monitor import Seen, Status

SILENT_AFTER = 3.0
_COLOURS = {"OK": "green", "WARN": "yellow", "ERROR": "red", "STALE": "red"}
_ROWS = (
    ("camera_static: stream", "static camera"),
    ("camera_wrist: stream", "wrist camera"),
    ("arm: gate", "arm gate"),
    ("arm: loop", "arm loop"),
    ("policy: inputs", "policy inputs"),
    ("policy: step", "policy step"),
    ("expert: episodes", "expert"),
)


def table(seen: Seen, title: str, now: float | None = None) -> Table:
    """One row per subject of /diagnostics, then the instruction and the episodes."""
    now = time.monotonic() if now is None else now
    grid = Table(title=title, title_justify="left", expand=True)
    grid.add_column("part", no_wrap=True)
    grid.add_column("state", no_wrap=True)
    grid.add_column("figures")
    for name, label in _ROWS:
        status = seen.statuses.get(name)
        if status is None and name.startswith("expert"):
            continue
        level = _level(status, now)
        grid.add_row(label, Text(level, style=_COLOURS.get(level, "dim")), figures(name, status))
    grid.add_row("instruction", "", seen.instruction or "(none yet)")
    return grid


def line(seen: Seen, seconds: float, now: float | None = None) -> str:
    """The same in one line, for an output that is not a terminal."""
    now = time.monotonic() if now is None else now
    step, gate = seen.statuses.get("policy: step"), seen.statuses.get("arm: gate")
    cameras = [seen.statuses.get(f"camera_{role}: stream") for role in ("static", "wrist")]
    parts = [
        f"{seconds:5.0f} s",
        "cameras " + "/".join(_number(camera, "rate_hz", ".1f") for camera in cameras) + " Hz",
        f"policy {_number(step, 'rate_hz', '.1f')} Hz",
        f"camera to command {_pair(step, 'camera_to_command')} ms",
        f"skipped {_number(step, 'skipped', '.0f')}",
        "gate " + (gate.values.get("state", gate.message) if gate else "-"),
    ]
    parts += [f"{name}: {status.message}" for name, status in seen.statuses.items() if _level(status, now) != "OK" and name != "arm: gate"]
    if expert := seen.statuses.get("expert: episodes"):
        parts.append(figures("expert: episodes", expert))
    return " | ".join(parts)


def figures(name: str, status: Status | None) -> str:
    """One subject's values in words; a subject that is not OK says why first."""
    if status is None:
        return "-"
    why = f"{status.message}   " if status.level != "OK" else ""
    if name.endswith(": stream"):
        rate = f"{_number(status, 'rate_hz', '.1f')} of {_number(status, 'expected_hz', '.0f')} Hz"
        return f"{why}{rate}   age {_number(status, 'age_ms', '.0f')} ms   latency {_pair(status, 'latency')} ms"
    if name == "arm: gate":
        return "   ".join(filter(None, (status.values.get("state", ""), status.values.get("reason", ""), status.values.get("source", ""))))
    if name == "arm: loop":
        rate, missed = _number(status, "rate_hz", ".1f"), _number(status, "missed", ".0f")
        return f"{why}{rate} Hz   period {_pair(status, 'period')} ms   missed {missed}"
    if name == "policy: inputs":
        return why + "   ".join(f"{part} {_number(status, f'{part}_age_ms', '.0f')} ms" for part in ("static", "wrist", "arm"))
    if name == "policy: step":
        return (
            f"{why}{_number(status, 'rate_hz', '.2f')} Hz   period {_pair(status, 'period')}   inference {_pair(status, 'inference')}   "
            f"camera to command {_pair(status, 'camera_to_command')} ms   "
            f"steps {_number(status, 'steps', '.0f')}   skipped {_number(status, 'skipped', '.0f')}"
        )
    if name == "expert: episodes":
        solved = f"{_number(status, 'successes', '.0f')} of {_number(status, 'episodes', '.0f')} episodes solved"
        return f"{why}{solved}   now {status.values.get('task') or 'none'}, seed {_number(status, 'seed', '.0f')}"
    return status.message


def _level(status: Status | None, now: float) -> str:
    if status is None:
        return "waiting"
    return status.level if now - status.at < SILENT_AFTER else "silent"


def _number(status: Status | None, key: str, form: str) -> str:
    value = status.number(key) if status else None
    return "-" if value is None or math.isnan(value) else format(value, form)


def _pair(status: Status | None, key: str) -> str:
    return f"{_number(status, f'{key}_p50_ms', '.0f')}/{_number(status, f'{key}_p99_ms', '.0f')}"
