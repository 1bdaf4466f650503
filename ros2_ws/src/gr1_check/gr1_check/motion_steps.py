"""The steps in which the arm moves, each announced and confirmed: arming, stop, axes, gripper, home."""

from __future__ import annotations

import time

import numpy as np

from gr1_check import response
from gr1_check.report import FAIL, LEFT_OUT, OK, WARN, graded, worst
from gr1_core.plural import plural
from gr1_robot.arm.controller import HOMING_MESSAGES

PROMISE_S = 0.25
"""s until the commanded velocity is exactly zero (docs/explanation/safety.md)."""
DISTANCE_M, SPEED = 0.01, 0.02
ANGLE_RAD, TURN_SPEED = 0.1, 0.2
_STOP_SPEED, _STOP_AFTER_S, _ENOUGH = 0.03, 0.6, 5
_ROOM_M = 0.005
_HOME_S, _HOMING_S = 30.0, 90.0
_AXES = [
    (f"{sign}{name}", vector)
    for name, row in zip("xyz", np.eye(3))
    for sign, vector in (("+", row), ("-", -row))
]
_LOOSE = "see docs/how-to/hardware_acceptance.md, 'It moves, but not as asked'"


def arming(check) -> None:
    if needs_homing(check):
        _first_homing(check)
    gate = check.client.gate()
    if check.report.failed:
        return
    if gate.get("state") == "stopped":
        why = gate.get("reason")
        asked = (
            f"The arm is stopped ({why}). It is released now; that moves nothing. Is everybody clear, and "
            "a hand on the arm's own stop?"
        )
        if not check.prompt.confirm(asked):
            return check.add(
                "arm", FAIL, f"not released: stopped ({why})", "run the check again when it is safe"
            )
        _release(check)
    else:
        check.add("arm", OK, "armed: it may move (the simulated arm starts so)")
    if not check.report.failed and not _inside(check):
        _go_home(
            check,
            "into workspace",
            "The arm stands outside its workspace: arm/home leads it in, in a straight line. Is the way "
            "free?",
        )
        if not check.report.failed and not _inside(check):
            check.add(
                "workspace",
                FAIL,
                "still outside after arm/home",
                "the rig's workspace must hold the arm's home: correct it",
            )


def stop(check) -> None:
    direction = max((vector for _, vector in _AXES), key=check.motion.distance_to_wall)
    way = (
        f"{1e3 * _STOP_SPEED * _STOP_AFTER_S:.0f} mm along {_axis_name(direction)} at "
        f"{100 * _STOP_SPEED:.0f} cm/s"
    )
    asked = (
        f"The arm moves {way}, then arm/stop is called. Keep a hand on the arm's own stop: this one is "
        "software."
    )
    if not check.prompt.confirm(asked):
        return check.add(
            "stop",
            FAIL,
            "left out by the operator: nothing else may move before the stop has been seen to work",
            "run it again",
        )
    recording = check.motion.move(_STOP_SPEED * direction, np.zeros(3), _STOP_AFTER_S, ending="stop")
    if not recording.twist[:, 1:].any():
        return check.add(
            "stop",
            FAIL,
            f"the arm did not move before the stop: {_gate(check)}",
            "see docs/explanation/safety.md, reason codes",
        )
    seconds = response.rest_after(recording, recording.ended)
    way = 1e3 * response.travelled_after(recording, recording.ended)
    text = (
        f"commanded velocity zero {1e3 * seconds:.0f} ms after arm/stop was called; {way:.1f} mm "
        "travelled since"
    )
    remedy = "do not use this computer for the arm: it is too busy, or its network too slow"
    check.add(
        "stop", graded(seconds, PROMISE_S, PROMISE_S), text, remedy, zero_ms=1e3 * seconds, travelled_mm=way
    )

    def refused() -> int:
        return int(check.client.gate().get("stopped", 0))

    before = refused()
    asked = check.motion.keep_commanding(_STOP_SPEED * direction, 0.5)
    # The node publishes its own count once a second.
    check.client.wait(lambda: refused() - before > _ENOUGH, 2.5)
    moved = asked.twist[asked.twist[:, 0] > asked.sent, 1:].any()
    text = f"{plural(refused() - before, 'command')} refused while stopped" + (
        ", but the gate let motion through" if moved else ""
    )
    check.add("refusal", FAIL if moved or refused() == before else OK, text, "do not use this arm: report it")
    if not check.prompt.confirm("The arm is released again (arm/reset); that moves nothing."):
        return check.add("release", FAIL, "not released", "run the check again")
    _release(check, "release")


def moves(check) -> None:
    what = (
        f"The arm moves {100 * DISTANCE_M:.0f} cm at {100 * SPEED:.0f} cm/s along +x, -x, +y, -y, +z, "
        "-z of its base (x forward, z up)."
    )
    if not check.prompt.confirm(what):
        return check.leave_out("left out by the operator")
    for name, direction in _AXES:
        if check.motion.distance_to_wall(direction) < DISTANCE_M + _ROOM_M:
            check.add(
                name, WARN, "too near the wall of the workspace: left out", "call arm/home before the check"
            )
            continue
        recording = check.motion.move(SPEED * direction, np.zeros(3), DISTANCE_M / SPEED)
        _add_response(check, name, response.translation(recording, direction), "mm", recording)
        if check.report.failed:
            return


def turns(check) -> None:
    angle = np.degrees(ANGLE_RAD)
    what = (
        f"The hand turns {angle:.1f} deg about +x, -x, +y, -y, +z, -z of the base, at "
        f"{np.degrees(TURN_SPEED):.0f} deg/s, in place."
    )
    if not check.prompt.confirm(what):
        return check.leave_out("left out by the operator")
    for name, axis in _AXES:
        recording = check.motion.move(np.zeros(3), TURN_SPEED * axis, ANGLE_RAD / TURN_SPEED)
        _add_response(check, f"about {name}", response.rotation(recording, axis), "deg", recording)
        if check.report.failed:
            return


def expiry(check) -> None:
    direction = max((vector for _, vector in _AXES), key=check.motion.distance_to_wall)
    what = (
        f"The arm moves {1e3 * SPEED * _STOP_AFTER_S:.0f} mm along {_axis_name(direction)}; then no "
        "more commands are sent."
    )
    if not check.prompt.confirm(what):
        return check.leave_out("left out by the operator")
    recording = check.motion.move(SPEED * direction, np.zeros(3), _STOP_AFTER_S, ending="silence")
    seconds = response.rest_after(recording, recording.ended)
    way = 1e3 * response.travelled_after(recording, recording.ended)
    text = (
        f"commanded velocity zero {1e3 * seconds:.0f} ms after the last command; {way:.1f} mm travelled since"
    )
    level = graded(seconds, PROMISE_S, PROMISE_S) if recording.twist[:, 1:].any() else FAIL
    check.add(
        "silence",
        level,
        text,
        "do not use this computer for the arm: it is too busy",
        zero_ms=1e3 * seconds,
        travelled_mm=way,
    )


def gripper(check) -> None:
    if not check.prompt.confirm(
        "The hand closes, then opens. Is nothing between the fingers, and no finger of yours?"
    ):
        return check.leave_out("left out by the operator")
    ends = []
    for name, closure in (("close", 1.0), ("open", 0.0)):
        track = check.motion.move_gripper(closure)
        began, seconds = track[0, 1], _time_to_end(track)
        ends.append(track[-1, 1])
        travel = abs(track[-1, 1] - began)
        level = FAIL if np.isnan(travel) else graded(abs(track[-1, 1] - closure), 0.15, 0.7)
        text = f"from {began:.2f} to {track[-1, 1]:.2f} in {seconds:.1f} s (0 open, 1 closed)"
        check.add(
            name,
            level,
            text,
            "something between the fingers; or the backend's finger scale",
            end=track[-1, 1],
            seconds=seconds,
        )
    text = f"{abs(ends[0] - ends[1]):.2f} of the hand's way was travelled"
    check.add(
        "range",
        FAIL if not abs(ends[0] - ends[1]) > 0.3 else OK,
        text,
        "the hand does not follow its commands: see arm.log",
    )


def home(check) -> None:
    _go_home(
        check,
        "home",
        "The arm goes home (arm/home), in a straight line at half of its speed limit. Is the way free?",
    )


def needs_homing(check) -> bool:
    return check.client.value("arm", "homing") == HOMING_MESSAGES["needed"]


def _first_homing(check) -> None:
    asked = (
        "The arm must be homed by its own controller first. It moves far, on a path of its own. Is the "
        "way free, and a hand on its stop?"
    )
    if not check.prompt.confirm(asked):
        return check.add(
            "homing",
            FAIL,
            "left out by the operator, but this arm takes no commands before",
            "run the check again",
        )
    ok, said, _ = check.client.call_service("home")
    done = ok and check.client.wait(lambda: not check.client.value("arm", "homing"), _HOMING_S)
    if not done:
        return check.add(
            "homing", FAIL, f"not homed: {said}", "read arm.log; home it with the vendor's tools"
        )
    check.motion.until_still()
    where = "x {:.3f} y {:.3f} z {:.3f} m".format(*check.client.pose.newest[:3])
    check.add(
        "homing",
        OK,
        f"homed, fingertips at {where}, {'inside' if _inside(check) else 'outside'} the workspace",
    )


def _go_home(check, subject: str, asked: str) -> None:
    if not check.prompt.confirm(asked):
        return check.add(subject, LEFT_OUT, "left out by the operator")
    check.motion.until_still()  # a teleoperation command that is still valid has priority over the way home
    start, began = check.client.pose.newest[:3], time.time()
    ok, said, called = check.client.call_service("home")
    if not ok:
        return check.add(subject, FAIL, said, "see docs/explanation/safety.md")
    check.client.wait(lambda: check.client.twist.since(called)[:, 2:].any(), 1.0)
    arrived = check.motion.until_still(patience=_HOME_S)
    way = 1e3 * float(np.linalg.norm(check.client.pose.newest[:3] - start))
    stopped = check.client.gate().get("state") == "stopped"
    text = f"{way:.0f} mm in {time.time() - began:.1f} s" + (", it was there already" if way < 2 else "")
    text += ("" if arrived else ", still moving") + (f": {_gate(check)}" if stopped else "")
    check.add(
        subject,
        FAIL if stopped or not arrived else OK,
        text,
        "see docs/explanation/safety.md, reason codes",
        distance_mm=way,
    )


def _inside(check) -> bool:
    return min(check.motion.distance_to_wall(direction) for _, direction in _AXES) >= 0


def _release(check, subject: str = "arm") -> None:
    ok, said, called = check.client.call_service("reset")
    if not ok:
        return check.add(
            subject, FAIL, f"arm/reset refused: {said}", "mend what it names; docs/how-to/connect_an_arm.md"
        )
    check.client.wait(lambda: check.client.gate().get("state") != "stopped", check.patience)
    check.client.collect(0.5)
    twist, pose = check.client.twist.since(called), check.client.pose.since(called)
    drift = 1e3 * float(np.linalg.norm(pose[-1, 2:5] - pose[0, 2:5])) if len(pose) else np.nan
    quiet = not twist[:, 2:].any() and drift < 2.0
    text = (
        f"released, and nothing moved by it ({drift:.1f} mm)"
        if quiet
        else f"it moved by itself after the release ({drift:.1f} mm)"
    )
    check.add(
        subject,
        OK if quiet else FAIL,
        text,
        "use the arm's own stop; find out which node commands it",
        drift_mm=drift,
    )


def _add_response(check, name: str, found: response.Response, unit: str, recording) -> None:
    if not found.commanded > 0 or not recording.twist[:, 1:].any():
        return check.add(
            name,
            FAIL,
            f"nothing was commanded: {_gate(check)}",
            "see docs/explanation/safety.md, reason codes",
            **found.figures(),
        )
    if check.client.gate().get("state") == "stopped":
        return check.add(
            name,
            FAIL,
            f"stopped on the way, after {found.measured:.1f} {unit}: {_gate(check)}",
            "see docs/explanation/safety.md",
            **found.figures(),
        )
    share = found.measured / found.commanded
    far = worst(graded(abs(share - 1.0), 0.3, 0.6), graded(found.direction_error_deg, 10.0, 25.0))
    times = worst(
        graded(found.rest_ms, 1e3 * PROMISE_S, 1e3 * PROMISE_S),
        *(WARN for late in (found.gate_ms > 100, found.motion_ms > 300) if late),
    )
    drift = f", fingertips drifted {found.drift_mm:.1f} mm" if unit == "deg" else ""
    aside = f"{found.direction_error_deg:.1f} deg off, across {found.across:.1f} {unit}{drift}"
    times_ms = (
        f"gate {found.gate_ms:.0f}, moves {found.motion_ms:.0f}, rest {found.rest_ms:.0f}, settled "
        f"{found.settle_ms:.0f} ms"
    )
    text = f"{found.measured:.1f} of {found.commanded:.1f} {unit}, {aside}; {times_ms}"
    level = worst(far, times, graded(found.drift_mm, 5.0, 15.0), graded(found.settle_ms, 1500.0))
    check.add(name, level, text, _LOOSE, **found.figures())


def _time_to_end(track: np.ndarray) -> float:
    """s until nine tenths of the travel."""
    way = track[-1, 1] - track[0, 1]
    there = np.flatnonzero(np.abs(track[:, 1] - track[0, 1]) >= 0.9 * abs(way))
    return float(track[there[0], 0] - track[0, 0]) if len(there) else float("nan")


def _gate(check) -> str:
    gate = check.client.gate()
    return f"the gate is {gate.get('state', 'silent')} ({gate.get('reason', 'no reason given')})"


def _axis_name(direction: np.ndarray) -> str:
    return next(name for name, vector in _AXES if np.array_equal(vector, direction))
