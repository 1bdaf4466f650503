"""The statuses of /diagnostics on one screen: a table for a terminal, a line for a log file."""

from __future__ import annotations

import math
import time

from rich.table import Table
from rich.text import Text

from gr1_common.stack_monitor import StackSnapshot, Status
from gr1_common.text import printable

SILENT_AFTER = 3.0
_FOLLOWING = "following commands"
_COLOURS = {"OK": "green", "WARN": "yellow", "ERROR": "red", "STALE": "red"}
_ROWS = (
    ("camera_static: stream", "static camera"),
    ("camera_wrist: stream", "wrist camera"),
    ("arm: gate", "arm gate"),
    ("arm: loop", "arm loop"),
    ("policy: inputs", "policy inputs"),
    ("policy: step", "policy step"),
    ("expert: episodes", "expert"),
    ("task_sequence: episodes", "tasks"),
    ("teleop: operator", "teleop"),
    ("recorder: episode", "recorder"),
)
_OPTIONAL = ("policy", "expert", "task_sequence", "teleop", "recorder")


def table(seen: StackSnapshot, title: str, now: float | None = None) -> Table:
    """One row per subject of /diagnostics, then the instruction. Optional nodes have a row once they have
    published.
    """
    now = time.monotonic() if now is None else now
    grid = Table(
        title=Text(title), title_justify="left", caption="a/b: p50/p99", caption_justify="right", expand=True
    )
    grid.add_column("part", no_wrap=True)
    grid.add_column("state", no_wrap=True)
    grid.add_column("figures")
    for name, label in _ROWS:
        status = seen.statuses.get(name)
        if status is None and name.startswith(_OPTIONAL):
            continue
        level = _level(status, now)
        grid.add_row(
            label, Text(level, style=_COLOURS.get(level, "dim")), Text(figures(name, status, _expert(seen)))
        )
    grid.add_row("instruction", "", Text(printable(seen.instruction) or "(none yet)"))
    return grid


def line(seen: StackSnapshot, seconds: float, now: float | None = None) -> str:
    """The same in one line, for an output that is not a terminal. seconds: since all nodes are up."""
    now = time.monotonic() if now is None else now
    step, gate = seen.statuses.get("policy: step"), seen.statuses.get("arm: gate")
    cameras = [seen.statuses.get(f"camera_{role}: stream") for role in ("static", "wrist")]
    parts = [
        f"{seconds:5.0f} s",
        "cameras " + "/".join(_number(camera, "rate_hz", ".1f") for camera in cameras) + " Hz",
    ]
    if step:
        parts += [
            f"policy {_number(step, 'rate_hz', '.1f')} Hz",
            f"camera to command p50/p99 {_pair(step, 'camera_to_command')} ms",
            f"skipped {_number(step, 'skipped', '.0f')}",
        ]
    parts.append("gate " + (_gate(gate) if gate else "-"))
    parts += [
        f"{name}: {printable(status.message)}"
        for name, status in seen.statuses.items()
        if _level(status, now) != "OK" and name != "arm: gate"
    ]
    for name in ("expert: episodes", "task_sequence: episodes"):
        if status := seen.statuses.get(name):
            parts.append(figures(name, status))
    if teleop := seen.statuses.get("teleop: operator"):
        parts.append(_operator(teleop))
    if recorder := seen.statuses.get("recorder: episode"):
        parts.append(_recorded(recorder))
    return " | ".join(parts)


def figures(name: str, status: Status | None, expert: bool = False) -> str:
    """One subject's values in words, with the reason first where it is not OK. expert: it publishes on the
    policy's topics.
    """
    if status is None:
        return "-"
    why = f"{printable(status.message)}   " if status.level != "OK" else ""
    if name.endswith(": stream"):
        rate = f"{_number(status, 'rate_hz', '.1f')} of {_number(status, 'expected_hz', '.0f')} Hz"
        return (
            f"{why}{rate}   age {_number(status, 'age_ms', '.0f')} ms   latency p50/p99 "
            f"{_pair(status, 'latency')} ms"
        )
    if name == "arm: gate":
        source = status.values.get("source", "")
        source = "expert" if expert and source == "policy" else source
        text = printable(f"{status.values.get('state', 'unknown')}: {status.message}")
        return f"{text}   from {printable(source)}" if source else text
    if name == "arm: loop":
        rate, missed = _number(status, "rate_hz", ".1f"), _number(status, "missed", ".0f")
        return f"{why}{rate} Hz   period p50/p99 {_pair(status, 'period')} ms   missed {missed}"
    if name == "policy: inputs":
        return why + "   ".join(
            f"{part} {_number(status, f'{part}_age_ms', '.0f')} ms" for part in ("static", "wrist", "arm")
        )
    if name == "policy: step":
        return (
            f"{why}{_number(status, 'rate_hz', '.2f')} Hz   period p50/p99 {_pair(status, 'period')}   "
            f"inference {_pair(status, 'inference')}   camera to command "
            f"{_pair(status, 'camera_to_command')} ms   steps {_number(status, 'steps', '.0f')}   skipped "
            f"{_number(status, 'skipped', '.0f')}"
        )
    if name.endswith(": episodes"):
        solved = (
            f"{_number(status, 'successes', '.0f')} of {_number(status, 'episodes', '.0f')} episodes solved"
        )
        return (
            f"{why}{solved}   now {printable(status.values.get('task', '')) or 'none'}, seed "
            f"{_number(status, 'seed', '.0f')}"
        )
    if name == "teleop: operator":
        hand = (
            f"hand to command p50/p99 {_pair(status, 'pose_to_command')} ms   round trip "
            f"{_number(status, 'rtt_ms', '.0f')} ms"
        )
        return f"{why}{_operator(status)}   {hand}   commands {_number(status, 'commands', '.0f')}"
    if name == "recorder: episode":
        return why + _recorded(status)
    return printable(status.message)


def _recorded(status: Status) -> str:
    """The running recording or the last one; lost messages are always named."""
    counted = (
        (status.number(f"{outcome}_episodes") or 0, outcome)
        for outcome in ("success", "failure", "discarded", "unfinished")
    )
    done = ", ".join(f"{number:.0f} {outcome}" for number, outcome in counted if number)
    bag = printable(status.values.get("bag", ""))
    size = f"{_number(status, 'seconds', '.1f')} s, {_number(status, 'mb', '.1f')} MB"
    missing = f"lost {_number(status, 'lost', '.0f')}, gaps {_number(status, 'gaps', '.0f')}"
    now = "recording" if status.values.get("state") == "recording" else "last"
    return f"{now} {bag}: {size}, {missing}   {done}".rstrip() if bag else "idle"


def _operator(status: Status) -> str:
    """Whether there is an operator and the arm follows, or why not."""
    clutch, why = (printable(status.values.get(key, "")) for key in ("clutch", "why"))
    here = printable(status.values.get("operator", ""))
    return f"{here}: clutch {clutch}{f', {why}' if why else ''}" if here else "no operator"


def _gate(status: Status) -> str:
    state = status.values.get("state", "unknown")
    return printable(state if status.message == _FOLLOWING else f"{state}: {status.message}")


def _expert(seen: StackSnapshot) -> bool:
    return "expert: episodes" in seen.statuses


def _level(status: Status | None, now: float) -> str:
    if status is None:
        return "waiting"
    return status.level if now - status.at < SILENT_AFTER else "silent"


def _number(status: Status | None, key: str, form: str) -> str:
    value = status.number(key) if status else None
    return "-" if value is None or math.isnan(value) else format(value, form)


def _pair(status: Status | None, key: str) -> str:
    return f"{_number(status, f'{key}_p50_ms', '.0f')}/{_number(status, f'{key}_p99_ms', '.0f')}"
