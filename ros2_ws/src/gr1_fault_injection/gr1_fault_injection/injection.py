"""One injection: from the arm at full speed to its rest, and back to motion. Times in s on the steady clock."""

from __future__ import annotations

import math
import random
import time
from dataclasses import asdict, dataclass

import numpy as np

from gr1_fault_injection.catalogue import Fault
from gr1_fault_injection.observer import Observer, Speed
from gr1_fault_injection.scene import Scene
from gr1_fault_injection.stack_under_test import BenchError

LIMIT_S = 0.25
FAST = (0.95, 0.95, 0.5, 0.5, 0.5)
"""Of the rig's speed limit: how fast the arm must be when the fault comes, at each attempt. A busy computer may not get there."""
_GIVE_UP_S, _HOLD_S = 2.5, 0.8
_BACK_S = 60.0
_SILENT_S = 0.3
_COMMANDS = 5
_FRESH_S = (
    0.15  # a frame that takes longer than the rig's max_age from exposure to arrival does not count as one
)
_TAUT = {
    "held": 0.98,
    "sunk": 1.0,
}  # of the leash: an arm that is held approaches it, one that sinks passes it
_CREEP = 1e-3  # m/s: on the leash the commanded speed fades out, and below this it counts as zero

VISIBLE = {
    "injected": "the moment of the injection",
    "beat": "no times: the physics ends with the process that is broken",
    "frame": "the last frame that came in time",
    "repeat": "the first frame that shows the old picture",
    "command": "the policy's last command",
    "lead": "the commanded position leads the measured one by the leash (98 % of it, where the arm is held)",
    "recorder": "the recorder's first word of it on /diagnostics",
}
"""From when on somebody could notice a fault."""


@dataclass(frozen=True)
class Run:
    """ms, mm, s; None where there is no such thing. wrong: what went against the promise, empty if nothing did."""

    visible_to_zero_ms: float | None
    fault_to_zero_ms: float | None
    travel_mm: float
    reason: str
    recovery: str
    recovery_s: float | None
    wrong: str

    def to_dict(self) -> dict:
        return asdict(self)


def once(fault: Fault, scene: Scene, rng: random.Random) -> Run:
    """Injects the fault once. Raises BenchError when the stack cannot be brought to move before."""
    _to_full_speed(fault, scene)
    time.sleep(rng.uniform(0.0, scene.rig.period))  # the fault comes at any moment of a control period
    observer, began = scene.bench.observer, time.monotonic()
    fault.inject(scene)
    creep = _CREEP if fault.visible.startswith("lead") else 0.0
    ends = fault.visible == "beat"  # the arm's node itself: only then may it fall silent
    # A busy computer brings it to rest for a moment by itself: that is not yet the answer to a fault that nobody could see.
    shown = lambda: _visible(fault.visible, observer, scene, began, None) is not None  # noqa: E731
    observer.wait(lambda: _at_rest(observer, began, creep, ends) and shown(), _GIVE_UP_S)
    time.sleep(_HOLD_S)
    speeds, ended = observer.speeds(), time.monotonic()
    zero = _silent(speeds, began, ended) if ends else _zero(speeds, began, fault.lasting, creep)
    visible = _visible(fault.visible, observer, scene, began, zero)
    travel = _travel(observer, began, ended if fault.lasting else zero)
    reason = _reason(observer, began)
    wrong = []
    if not ends and (gap := _gap(speeds, began, ended)) > _SILENT_S:
        wrong.append(f"nothing was heard of the arm for {1e3 * gap:.0f} ms")
    if zero is None:
        wrong.append("it did not stop")
    elif visible is None:
        wrong.append("the fault was never visible")
    elif zero - visible > LIMIT_S:
        wrong.append(f"rest {1e3 * (zero - visible):.0f} ms after the fault was visible")
    recovery, seconds, more = _recover(fault, scene)
    # A process that is gone is at rest by construction: a figure would claim what was not measured.
    times = (None, None) if ends else (_ms(visible, zero, least=0.0), _ms(began, zero))
    return Run(
        *times, travel_mm=round(1e3 * travel, 1), reason=reason,
        recovery=recovery, recovery_s=seconds and round(seconds, 2), wrong="; ".join(filter(None, [*wrong, more])),
    )  # fmt: skip


def _to_full_speed(fault: Fault, scene: Scene) -> None:
    bench = scene.bench
    fault.prepare(scene)
    for part in FAST:
        if bench.gate()[0] == "stopped":
            bench.reset()
        bench.home()
        bench.observer.clear()
        if bench.moving(5.0, part * scene.rig.limits.linear_speed) and bench.observer.wait(
            lambda: _heard(fault, bench.observer), 1.0
        ):
            return
    raise BenchError(f"the arm does not get moving, or is not heard: {bench.state()}")


def _heard(fault: Fault, observer: Observer) -> bool:
    """Whether this program hears what the fault will be seen by: a node that was just started may be found by the policy first."""
    kind, _, role = fault.visible.partition(":")
    if kind in ("frame", "repeat"):
        return bool(_fresh(observer, role))
    return kind != "command" or bool(observer.commands())


def _fresh(observer: Observer, role: str) -> list[float]:
    """When the frames were exposed that came in time."""
    return [frame.at for frame in observer.frames(role) if frame.came - frame.at <= _FRESH_S]


def _at_rest(observer: Observer, began: float, creep: float, ends: bool) -> bool:
    """At rest since the fault; where it ends the arm's node: nothing is heard of it any more."""
    speeds = observer.speeds()
    last = speeds[-1] if speeds else None
    if ends:
        return not last or time.monotonic() - last.at > _SILENT_S
    return bool(last) and last.at > began and not _moves(last, creep)


def _moves(speed: Speed, creep: float) -> bool:
    return speed.moves and (speed.linear > creep or not creep)


def _gap(speeds: list[Speed], began: float, ended: float) -> float:
    """The longest time in which nothing was heard of the arm."""
    times = [began, *(speed.at for speed in speeds if began < speed.at < ended), ended]
    return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


def _silent(speeds: list[Speed], began: float, ended: float) -> float | None:
    """The last beat of an arm's node that is gone, and with it its physics; None if it is still heard."""
    last = max((speed.at for speed in speeds if speed.at > began), default=began)
    return last if ended - last > _SILENT_S else None


def _zero(speeds: list[Speed], began: float, lasting: bool, creep: float) -> float | None:
    """When the commanded velocity became zero and stayed so (lasting) or was zero for the first time; None if never."""
    after = [speed for speed in speeds if speed.at > began]
    if not lasting:
        return next((speed.at for speed in after if not _moves(speed, creep)), None)
    moving = [speed.at for speed in after if _moves(speed, creep)]
    return next((speed.at for speed in after if not moving or speed.at > moving[-1]), None)


def _visible(what: str, observer: Observer, scene: Scene, began: float, zero: float | None) -> float | None:
    kind, _, role = what.partition(":")
    until = math.inf if zero is None else zero
    if kind in ("injected", "beat"):
        return began
    if kind == "frame":
        return max((at for at in _fresh(observer, role) if at <= until), default=None)
    if kind == "repeat":
        return min((frame.at for frame in observer.frames(role) if frame.at > began), default=None)
    if kind == "command":
        return max((at for at in observer.commands() if at <= until), default=None)
    if kind == "lead":
        taut = _TAUT[role] * scene.rig.limits.leash
        return next((at for at, lead in observer.lead() if at > began and lead > taut), None)
    return min(
        (said.at for said in observer.said() if said.name == "recorder: episode" and said.level == "ERROR"),
        default=None,
    )


def _travel(observer: Observer, began: float, ended: float | None) -> float:
    """m along the measured path."""
    path = [
        position.xyz
        for position in observer.measured()
        if position.at > began and (ended is None or position.at <= ended)
    ]
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) if len(path) > 1 else 0.0


def _reason(observer: Observer, began: float) -> str:
    """What /diagnostics called an error since the fault, the newest of each subject; the arm's gate by its code, warnings too."""
    told: dict[str, str] = {}
    for said in observer.said():
        if said.at <= began:
            continue
        if said.name == "arm: gate" and said.level != "OK":
            told["gate"] = f"gate {said.reason}"
        elif said.level in ("ERROR", "STALE") and said.name != "arm: gate":
            told[said.name] = f"{said.name.partition(':')[0]}: {said.message}"
    order = sorted(told, key=lambda name: ("gate" != name, "policy" not in name))
    return "; ".join(told[name] for name in order)


def _recover(fault: Fault, scene: Scene) -> tuple[str, float | None, str]:
    """Ends the fault; returns what it took to move again, how many seconds, and what was wrong on the way."""
    bench, observer = scene.bench, scene.bench.observer
    latched = bench.gate()[0] == "stopped"
    cleared = time.monotonic()
    fault.clear(scene)
    again = f"{fault.restarts} restarted" if fault.restarts else ""
    if not (fault.rearm or latched):
        if bench.moving(_BACK_S):
            return again or "by itself", time.monotonic() - cleared, ""
        if bench.gate()[0] != "stopped":
            return "none", None, f"it did not move again: {bench.state()}"
    # Somebody commands it, and it must not care.
    told = observer.wait(
        lambda: (
            sum(at > cleared for at in observer.commands()) >= _COMMANDS
            and any(one.at > cleared for one in observer.speeds())
        ),
        _BACK_S,
    )
    if not told:
        return "none", None, f"nothing commanded it again within {_BACK_S:.0f} s: {bench.state()}"
    # SIGSTOP may come between the gate's decision and the motors: that one beat, 2 mm at most, is completed after SIGCONT.
    interrupted = 1 if fault.visible == "beat" else 0
    moved = sum(speed.moves for speed in observer.speeds() if speed.at > cleared) > interrupted
    wrong = "it moved before it was armed again" if moved else ""
    try:
        bench.reset()
    except BenchError as error:
        return "none", None, f"not armed again: {error}"
    if not bench.moving(_BACK_S):
        return "none", None, f"it did not move after arm/reset: {bench.state()}"
    return " and ".join(filter(None, (again, "arm/reset"))), time.monotonic() - cleared, wrong


def _ms(begin: float | None, end: float | None, least: float = -math.inf) -> float | None:
    return None if begin is None or end is None else max(round(1e3 * (end - begin), 1), least)
