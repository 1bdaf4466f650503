"""Kills processes around the arm node at random moments, and measures the motion loop meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gr1_bringup import processes, shared_memory, stack
from gr1_common import dds
from gr1_core.plural import plural
from gr1_fault_injection import victims

_UP_S, _READY_S = 60.0, 30.0
_LIFE_S = 0.4
"""A process is killed up to so many s after its node is in the graph."""
_OF_EACH = 2
GOAL_MS = 30.0


class BenchError(RuntimeError):
    """The bench cannot be run; the text says why."""


def run(kills: int, seconds: float, folder: Path, say: Callable[[str], None]) -> dict:
    """kills: number of processes to kill, of random kinds of victims.KINDS; fewer where `seconds` are over
    before. Returns the figures, ms and s. Raises BenchError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = processes.environment(folder)
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    environment["ROS_DOMAIN_ID"] = str(51 + os.getpid() % 50)
    os.environ.update({**environment, dds.PROFILES: ""})
    # The monitor of this program must not wait for a lock of a process that it has killed.
    dds.leave_shared_memory()
    from gr1_common.stack_monitor import StackMonitor

    before = _segments()
    [arm] = [node for node in stack.rig_nodes(stack.settings(driver="expert")) if node.name == "arm"]
    started = processes.Processes(folder, environment, say)
    monitor = StackMonitor("motion_bench")
    monitor.start()
    crowd = None
    try:
        # A person who has just killed another bench need not arm this one.
        started.start([dataclasses.replace(arm, parameters={**arm.parameters, "arm_on_start": True})])
        loop = _Loop(monitor, started)
        loop.await_up()
        crowd = _Crowd(environment)
        began = time.monotonic()
        killed = 0
        while killed < kills and time.monotonic() - began < seconds:
            crowd.kill_one(random.Random(killed))
            loop.watch()
            killed += 1
            if killed % 50 == 0:
                say(f"{killed} of {kills} killed, longest period {loop.longest_ms:.1f} ms")
        time.sleep(3.0)  # what a killed process did to the middleware may show late
        loop.watch()
        return {
            "kills": killed,
            "seconds": round(time.monotonic() - began, 1),
            **loop.figures(),
            "goal_ms": GOAL_MS,
        }
    finally:
        if crowd:
            crowd.close()
        started.stop()
        monitor.close()
        time.sleep(1.5)  # segments of this moment are left alone
        removed = shared_memory.remove_dead_segments()
        say(f"shared memory: {plural(before, 'segment')} before, {_segments()} after; {removed}")


class _Loop:
    """The figures of the motion loop, from /diagnostics."""

    def __init__(self, monitor, started: processes.Processes):
        self._monitor, self._started = monitor, started
        self.longest_ms, self._p99 = 0.0, []

    def await_up(self) -> None:
        until = time.monotonic() + _UP_S
        while "arm: loop" not in self._monitor.snapshot().statuses:
            if dead := self._started.dead():
                raise BenchError(f"{dead.how_it_ended()}: {' / '.join(dead.last_lines()[-3:])}")
            if time.monotonic() > until:
                raise BenchError(f"the arm node says nothing within {_UP_S:.0f} s")
            time.sleep(0.1)

    def watch(self) -> None:
        if dead := self._started.dead():
            raise BenchError(f"{dead.how_it_ended()}: {' / '.join(dead.last_lines()[-3:])}")
        status = self._monitor.snapshot().statuses["arm: loop"]
        # An arm node of before has no figure since its start: then the longest of each window.
        since_start = status.number("longest_ms") or status.number("period_max_ms") or 0.0
        self.longest_ms = max(self.longest_ms, since_start)
        self._p99.append(status.number("period_p99_ms") or 0.0)

    def figures(self) -> dict:
        statuses = self._monitor.snapshot().statuses
        loop, gate = statuses["arm: loop"], statuses["arm: gate"]
        return {
            "longest_ms": round(self.longest_ms, 1),
            "period_p99_ms_median": round(sorted(self._p99)[len(self._p99) // 2], 2),
            "period_p99_ms_max": round(max(self._p99), 2),
            "missed": int(loop.number("missed") or 0),
            "stalls": int(gate.number("loop_stalled") or 0),
            "scheduling": loop.values.get("scheduling", ""),
        }


class _Crowd:
    """_OF_EACH processes of each kind, always."""

    def __init__(self, environment: dict[str, str]):
        self._parent = subprocess.Popen(
            [sys.executable, "-m", victims.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
            start_new_session=True,
        )
        self._born: dict[str, queue.SimpleQueue[int]] = {kind: queue.SimpleQueue() for kind in victims.KINDS}
        threading.Thread(target=self._read, daemon=True).start()
        for kind in victims.KINDS * _OF_EACH:
            self._order(kind)

    def kill_one(self, rng: random.Random) -> None:
        kind = rng.choice(victims.KINDS)
        try:
            pid = self._born[kind].get(timeout=_READY_S)
        except queue.Empty:
            raise BenchError(f"no {kind} process within {_READY_S:.0f} s") from None
        time.sleep(rng.uniform(0.0, _LIFE_S))
        os.kill(pid, signal.SIGKILL)
        self._order(kind)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._parent.pid, signal.SIGKILL)  # its children too
        self._parent.wait()

    def _order(self, kind: str) -> None:
        self._parent.stdin.write(f"{kind}\n")

    def _read(self) -> None:
        for line in self._parent.stdout:
            kind, _, pid = line.partition(" ")
            if kind in self._born:
                self._born[kind].put(int(pid))


def _segments() -> int:
    return sum(file.name.startswith("fastrtps") for file in shared_memory.FOLDER.glob("*"))
