"""One injection: from full speed to rest, and back to motion. Times in s on the steady clock."""

from __future__ import annotations

import math
import random
import time
from dataclasses import asdict, dataclass

import numpy as np

from gr1_fault_injection.catalogue import Fault
from gr1_fault_injection.observer import Observer, Speed
from gr1_fault_injection.scene import Scene
from gr1_fault_injection.stack_under_test import StackError

LIMIT_S = 0.25
FAST = (0.95, 0.95, 0.5, 0.5, 0.5)
"""Share of the rig's speed limit that the arm must have before the injection, per attempt. A busy computer
may not reach it.
"""
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
}  # of max_following_error: an arm that is held approaches it, one that sinks passes it
_CREEP = 1e-3  # m/s: at max_following_error the commanded speed fades out, and below this it counts as zero

VISIBLE = {
    "injected": "the injection",
    "beat": "no times: the physics or the node's messages end with the process that is broken",
    "log": "the end of the node, as its motion process notices it",
    "sent": "the lost operator's last command",
    "frame": "the last frame that arrived in time",
    "repeat": "the first frame that shows the old image",
    "command": "the policy's last command",
    "lead": (
        "the commanded position leads the measured one by max_following_error (98 % of it, where the "
        "arm is held)"
    ),
    "recorder": "the recorder's first ERROR on /diagnostics",
}
"""From when on a fault can be noticed."""


@dataclass(frozen=True)
class Run:
    """ms, mm, s; None where it does not apply. wrong: how the run broke the promise, empty if it did not."""

    visible_to_zero_ms: float | None
    fault_to_zero_ms: float | None
    travel_mm: float
    reason: str
    recovery: str
    recovery_s: float | None
    wrong: str

    def to_dict(self) -> dict:
        return asdict(self)


def inject_once(fault: Fault, scene: Scene, rng: random.Random) -> Run:
    """Injects the fault once. Raises StackError when the stack cannot be brought to move before."""
    _to_full_speed(fault, scene)
    time.sleep(rng.uniform(0.0, scene.rig.period))  # the fault comes at a random time of a control period
    observer, began = scene.stack.observer, time.monotonic()
    fault.inject(scene)
    creep = _CREEP if fault.visible.startswith("lead") else 0.0
    ends = fault.visible in ("beat", "log")  # the arm's own processes: only then may its messages end
    # A busy computer stops the arm for a moment by itself; a rest before the fault is visible is no reaction
    # to it.
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
        wrong.append(f"no message of the arm for {1e3 * gap:.0f} ms")
    if zero is None:
        wrong.append("it did not stop")
    elif visible is None:
        wrong.append("the fault was never visible")
    elif zero - visible > LIMIT_S:
        wrong.append(f"rest {1e3 * (zero - visible):.0f} ms after the fault was visible")
    # The messages end with the process: a time of rest would claim what was not measured. The motion process
    # of a killed node measures its own.
    times = (None, None) if ends else (_ms(visible, zero, least=0.0), _ms(began, zero))
    if fault.visible == "log":
        observer.wait(lambda: scene.stack.rest_in_log() is not None, _GIVE_UP_S)
        rest = scene.stack.rest_in_log()
        times = rest, rest
        if rest is None or rest > 1e3 * LIMIT_S:
            wrong.append(f"the motion process commanded motion for {rest} ms")
    recovery, seconds, more = _recover(fault, scene)
    return Run(
        *times, travel_mm=round(1e3 * travel, 1), reason=reason,
        recovery=recovery,
        recovery_s=seconds and round(seconds, 2),
        wrong="; ".join(filter(None, [*wrong, more])),
    )  # fmt: skip


def _to_full_speed(fault: Fault, scene: Scene) -> None:
    stack = scene.stack
    fault.prepare(scene)
    for part in FAST:
        if stack.gate()[0] == "stopped":
            stack.reset()
        stack.home()
        stack.observer.clear()
        if stack.moving(5.0, part * scene.rig.limits.linear_speed) and stack.observer.wait(
            lambda: _receives(fault, stack.observer), 1.0
        ):
            return
    raise StackError(f"the arm does not get moving, or its messages do not arrive: {stack.state()}")


def _receives(fault: Fault, observer: Observer) -> bool:
    """Whether this program receives the messages that show the fault; discovery of a restarted node takes
    time.
    """
    kind, _, role = fault.visible.partition(":")
    if kind in ("frame", "repeat"):
        return bool(_fresh(observer, role))
    return kind != "command" or bool(observer.commands())


def _fresh(observer: Observer, role: str) -> list[float]:
    """Exposure times of the frames that arrived in time."""
    return [frame.at for frame in observer.frames(role) if frame.arrived - frame.at <= _FRESH_S]


def _at_rest(observer: Observer, began: float, creep: float, ends: bool) -> bool:
    """At rest since the fault; where it ends the arm node: no more messages of it."""
    speeds = observer.speeds()
    last = speeds[-1] if speeds else None
    if ends:
        return not last or time.monotonic() - last.at > _SILENT_S
    return bool(last) and last.at > began and not _moves(last, creep)


def _moves(speed: Speed, creep: float) -> bool:
    return speed.moves and (speed.linear > creep or not creep)


def _gap(speeds: list[Speed], began: float, ended: float) -> float:
    """The longest time without a message of the arm."""
    times = [began, *(speed.at for speed in speeds if began < speed.at < ended), ended]
    return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


def _silent(speeds: list[Speed], began: float, ended: float) -> float | None:
    """The last message of an arm node that is gone, and its physics with it; None if messages still come."""
    last = max((speed.at for speed in speeds if speed.at > began), default=began)
    return last if ended - last > _SILENT_S else None


def _zero(speeds: list[Speed], began: float, lasting: bool, creep: float) -> float | None:
    """When the commanded velocity became zero and stayed so (lasting) or was zero for the first time; None
    if never.
    """
    after = [speed for speed in speeds if speed.at > began]
    if not lasting:
        return next((speed.at for speed in after if not _moves(speed, creep)), None)
    moving = [speed.at for speed in after if _moves(speed, creep)]
    return next((speed.at for speed in after if not moving or speed.at > moving[-1]), None)


def _visible(what: str, observer: Observer, scene: Scene, began: float, zero: float | None) -> float | None:
    kind, _, role = what.partition(":")
    until = math.inf if zero is None else zero
    if kind in ("injected", "beat", "log"):
        return began
    if kind == "sent":
        return scene.last_sent
    if kind == "frame":
        return max((at for at in _fresh(observer, role) if at <= until), default=None)
    if kind == "repeat":
        return min((frame.at for frame in observer.frames(role) if frame.at > began), default=None)
    if kind == "command":
        return max((at for at in observer.commands() if at <= until), default=None)
    if kind == "lead":
        taut = _TAUT[role] * scene.rig.limits.max_following_error
        return next((at for at, lead in observer.lead() if at > began and lead > taut), None)
    return min(
        (
            status.at
            for status in observer.statuses()
            if status.name == "recorder: episode" and status.level == "ERROR"
        ),
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
    """The errors on /diagnostics since the fault, the newest of each subject; the gate by its reason code,
    warnings too.
    """
    errors: dict[str, str] = {}
    for status in observer.statuses():
        if status.at <= began:
            continue
        if status.name == "arm: gate" and status.level != "OK":
            errors["gate"] = f"gate {status.reason}"
        elif status.level in ("ERROR", "STALE") and status.name != "arm: gate":
            errors[status.name] = f"{status.name.partition(':')[0]}: {status.message}"
    order = sorted(errors, key=lambda name: ("gate" != name, "policy" not in name))
    return "; ".join(errors[name] for name in order)


def _recover(fault: Fault, scene: Scene) -> tuple[str, float | None, str]:
    """Ends the fault; returns what made the arm move again, after how many seconds, and what was wrong on
    the way.
    """
    stack, observer = scene.stack, scene.stack.observer
    latched = stack.gate()[0] == "stopped"
    cleared = time.monotonic()
    fault.clear(scene)
    again = f"{fault.restarts} restarted" if fault.restarts else ""
    if not (fault.rearm or latched):
        if stack.moving(_BACK_S):
            return again or "by itself", time.monotonic() - cleared, ""
        if stack.gate()[0] != "stopped":
            return "none", None, f"it did not move again: {stack.state()}"
    # It is commanded, and must not move.
    commanded = observer.wait(
        lambda: (
            sum(at > cleared for at in observer.commands()) >= _COMMANDS
            and any(one.at > cleared for one in observer.speeds())
        ),
        _BACK_S,
    )
    if not commanded:
        return "none", None, f"nothing commanded it again within {_BACK_S:.0f} s: {stack.state()}"
    # SIGSTOP may come between the gate's decision and the motors: that one beat, 2 mm at most, is completed
    # after SIGCONT.
    interrupted = 1 if fault.visible == "beat" else 0
    moved = sum(speed.moves for speed in observer.speeds() if speed.at > cleared) > interrupted
    wrong = "it moved before it was armed again" if moved else ""
    try:
        stack.reset()
    except StackError as error:
        return "none", None, f"not armed again: {error}"
    if not stack.moving(_BACK_S):
        return "none", None, f"it did not move after arm/reset: {stack.state()}"
    return " and ".join(filter(None, (again, "arm/reset"))), time.monotonic() - cleared, wrong


def _ms(begin: float | None, end: float | None, least: float = -math.inf) -> float | None:
    return None if begin is None or end is None else max(round(1e3 * (end - begin), 1), least)
