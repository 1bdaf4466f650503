"""The steps in which nothing moves: devices, rates, stamps, images, the pose and the wrench."""

from __future__ import annotations

import time

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from gr1_check.report import FAIL, OK, WARN, graded, worst
from gr1_common.conventions import TICK
from gr1_core import kinematics
from gr1_core.rig import ROLES

OUTSIDE_M = 0.3
"""m outside the workspace: an arm's home may lie outside it, but beyond this its pose must be wrong."""
RATES_S, GLANCE_S = 5.0, 1.0
ARRIVE_S, GIVE_UP_S = 20.0, 4.0
"""s that a device may take to deliver; s to wait for one whose node reports an ERROR."""
ARM_HZ = 1.0 / TICK
_FLAT, _DARK, _BRIGHT = 2.0, 15.0, 240.0
_FUTURE_S = 0.005
_CHAINS = {"sim": kinematics.GEN2, "kinova_gen2": kinematics.GEN2, "kinova_gen3": kinematics.gen3()}


def devices(check) -> None:
    check.rig_nodes.until_up(check.client)
    delivers = {"arm": lambda: check.client.pose.rows and check.client.twist.rows}
    delivers |= {f"camera_{role}": lambda role=role: check.client.cameras[role].rows for role in ROLES}
    began = time.monotonic()

    def settled(name: str) -> bool:
        in_error = any(status.level == "ERROR" for status in check.client.statuses(name).values())
        return delivers[name]() or (in_error and time.monotonic() - began > GIVE_UP_S)

    check.client.wait(lambda: all(settled(name) for name in delivers), ARRIVE_S)
    check.absent |= {name for name, delivering in delivers.items() if not delivering()}
    # A status from before a device was open says nothing; a second later each node has published again.
    now = time.monotonic()
    check.client.wait(
        lambda: all(
            min((one.at for one in check.client.statuses(name).values()), default=0.0) > now
            for name in delivers
        ),
        1.5,
    )
    for name in delivers:
        device = check.client.value(name, "device")
        if name not in check.absent:
            check.add(name, OK, device or "runs; its status names no device", device=device)
            continue
        said = check.client.statuses(name)
        why = (
            "; ".join(
                f"{subject}: {status.message}" for subject, status in said.items() if status.level != "OK"
            )
            or "no status"
        )
        check.add(name, FAIL, why, f"power, cable, address or serial number (--hardware); read {name}.log")


def rates(check) -> None:
    since = check.sampled_since(RATES_S)
    for role in check.roles():
        expected = float(check.client.value(f"camera_{role}", "expected_hz") or check.rig.control_hz)
        hz, gap = _rate(check.client.cameras[role].since(since))
        # The policy needs a new frame for every control step; a faster camera only makes frames fresher.
        level = FAIL if hz < check.rig.control_hz else graded(-hz, -0.9 * expected)
        text = f"{hz:.1f} of {expected:.0f} Hz, longest gap {1e3 * gap:.0f} ms"
        remedy = (
            "lower the resolution or rate, use another USB port (USB 3, its own controller), free the "
            "processor"
        )
        check.add(
            f"camera_{role}", level, text, remedy, hz=hz, expected_hz=expected, longest_gap_ms=1e3 * gap
        )
    if "arm" in check.absent:
        return
    hz, gap = _rate(check.client.pose.since(since))
    level = graded(-hz, -0.9 * ARM_HZ, -0.5 * ARM_HZ)
    text = (
        f"{hz:.1f} of {ARM_HZ:.0f} Hz, longest gap {1e3 * gap:.0f} ms, scheduling "
        f"{check.client.value('arm', 'scheduling')}"
    )
    check.add(
        "arm",
        level,
        text,
        "free the processor; allow real-time scheduling (docs/explanation/safety.md)",
        hz=hz,
        longest_gap_ms=1e3 * gap,
    )


def stamps(check) -> None:
    since = check.sampled_since(RATES_S)
    streams = {
        f"camera_{role}": (check.client.cameras[role], camera.max_age)
        for role, camera in check.rig.cameras.items()
    }
    streams["arm"] = (check.client.pose, check.rig.state.max_age)
    for name, (trace, max_age) in streams.items():
        if name in check.absent:
            continue
        rows = trace.since(since)
        if len(rows) < 2:
            check.add(name, FAIL, "no messages", "see the step rates")
            continue
        # The age at sending comes from the node's diagnostics; the time until arrival includes this
        # computer's load.
        keys = ("state_age_ms",) if name == "arm" else ("latency_p50_ms", "latency_p99_ms")
        own = [float(check.client.value(name, key) or "nan") for key in keys]
        latency = rows[:, 1] - rows[:, 0]
        p50, p99 = np.quantile(latency, (0.5, 0.99))
        back, ahead = int((np.diff(rows[:, 0]) <= 0).sum()), float(-latency.min())
        level = worst(graded(1e-3 * own[0], max_age, max_age), graded(p99, max_age))
        text = (
            f"{'/'.join(f'{age:.0f}' for age in own)} ms old when sent, received here after "
            f"{1e3 * p50:.0f}/{1e3 * p99:.0f} ms (p50/p99)"
        )
        remedy = (
            f"what is older than {1e3 * max_age:.0f} ms stops the policy: free the processor, shorten the "
            "exposure"
        )
        if back:
            level, text, remedy = (
                FAIL,
                f"{text}; {back} stamps do not come after the one before",
                "the driver stamps wrongly: see its log",
            )
        if ahead > _FUTURE_S:
            level, text, remedy = (
                FAIL,
                f"{text}; stamped {1e3 * ahead:.0f} ms in the future",
                "the clocks differ: synchronise them (chrony)",
            )
        clock = {key: check.client.value(name, key) for key in ("offset_ms", "drift_ppm")}
        text += f"; its clock drifts {clock['drift_ppm']} ppm" if clock["drift_ppm"] else ""
        check.add(
            name,
            level,
            text,
            remedy,
            sent_ms=own,
            heard_p50_ms=1e3 * p50,
            heard_p99_ms=1e3 * p99,
            backwards=back,
            **clock,
        )
    if check.absent:
        return
    static, wrist = (check.client.cameras[role].since(since)[:, 0] for role in ROLES)
    if not len(static) or not len(wrist):
        return
    skew = np.abs(static[:, None] - wrist[None, :]).min(axis=1)
    p50, most = float(np.median(skew)), float(skew.max())
    level = worst(graded(p50, check.rig.period, check.rig.period), graded(most, check.rig.period))
    text = f"nearest frames of the two cameras {1e3 * p50:.0f} ms apart (p50), {1e3 * most:.0f} ms (max)"
    check.add(
        "skew", level, text, "give both cameras the same rate", skew_p50_ms=1e3 * p50, skew_max_ms=1e3 * most
    )


def images(check) -> None:
    shown = []
    for role in check.roles():
        name, camera = f"camera_{role}", check.rig.cameras[role]
        frames = check.client.images(role, 2, check.patience)
        if len(frames) < 2:
            check.add(name, FAIL, f"{len(frames)} of 2 frames came", "see the step rates")
            continue
        frame = frames[0]
        height, width = frame.shape[:2]
        brightness, contrast = float(frame.mean()), float(frame.std())
        level, remedy, why = OK, "", ""
        if (width, height) != (camera.width, camera.height):
            level, remedy = (
                FAIL,
                f"the rig says {camera.width}x{camera.height}: change the camera's mode or the rig's YAML",
            )
        elif contrast < _FLAT:
            level, remedy, why = FAIL, "take the lens cap off; look at the exposure", ", one flat colour"
        elif not check.simulated(role) and np.array_equal(*frames):
            level, remedy, why = (
                FAIL,
                "a real sensor has noise: the driver repeats a frame",
                ", two frames are the same in every pixel",
            )
        elif not _DARK < brightness < _BRIGHT:
            level, remedy, why = (
                WARN,
                "more or less light, or another exposure",
                ", too dark" if brightness <= _DARK else ", too bright",
            )
        file = f"{role}.png"
        Image.fromarray(frame).save(check.folder / file)
        text = f"{width}x{height}, brightness {brightness:.0f}, contrast {contrast:.0f}{why}: {file}"
        check.add(name, level, text, remedy, brightness=brightness, contrast=contrast, file=file)
        shown.append((role, frame))
    if len(shown) < len(ROLES):
        return
    sheet = check.folder / "cameras.png"
    _sheet(shown).save(sheet)
    agreed = check.prompt.ask(
        f"Look at {sheet}: is the left image the static camera's view of the table, the right one the "
        "wrist's?"
    )
    text = {
        True: "the operator sees table and wrist",
        False: "the operator says they are not the right images",
        None: "no question was asked",
    }
    check.add(
        "seen",
        FAIL if agreed is False else OK,
        text[agreed],
        "exchange the cameras' serial numbers in --hardware, or turn them round",
    )


def pose(check) -> None:
    began = time.time()
    rows = {
        name: getattr(check.client, name).since(check.sampled_since(GLANCE_S))
        for name in ("pose", "commanded", "joints")
    }
    if any(len(row) < 2 for row in rows.values()):
        silent = ", ".join(name for name, row in rows.items() if len(row) < 2)
        check.add(
            "arm", FAIL, f"no samples of {silent} in the last {time.time() - began:.0f} s", "read arm.log"
        )
        return
    measured, commanded = rows["pose"][-1, 2:], rows["commanded"][-1, 2:]
    position, limits = measured[:3], check.rig.limits
    outside = float(np.linalg.norm(position - np.clip(position, limits.workspace_min, limits.workspace_max)))
    where = "x {:.3f} y {:.3f} z {:.3f} m".format(*position)
    finite = bool(np.isfinite(rows["pose"][:, 2:]).all() and np.isfinite(rows["joints"][:, 2:]).all())
    check.add(
        "finite",
        OK if finite else FAIL,
        "all poses and joint angles are numbers" if finite else "nan among them",
        "read arm.log",
    )
    box = f"workspace {list(limits.workspace_min)} .. {list(limits.workspace_max)}"
    text = f"fingertips at {where}, {f'{1e3 * outside:.0f} mm OUTSIDE' if outside else 'inside'} the {box}"
    remedy = (
        "arm/home leads it in before anything else moves; far outside: lead it in by hand, or correct "
        "the rig's workspace"
    )
    check.add("workspace", graded(outside, 0.0, OUTSIDE_M), text, remedy, position=position.round(4).tolist())
    lead = float(np.linalg.norm(commanded[:3] - position))
    text = (
        f"commanded and measured pose {1e3 * lead:.1f} mm apart (max_following_error "
        f"{1e3 * limits.max_following_error:.0f} mm)"
    )
    check.add(
        "commanded",
        graded(lead, limits.max_following_error / 2, limits.max_following_error),
        text,
        "something holds the arm, or it needs homing",
        lead_mm=1e3 * lead,
    )
    if (chain := _CHAINS.get(check.chosen["robot"])) is None:
        text = "the pose is computed from the joints and the URDF: there is no other one to compare it with"
        return check.add("kinematics", OK, text)
    joints = rows["joints"][-1, 2:]
    if len(joints) != len(chain.limits):
        return check.add(
            "kinematics",
            FAIL,
            f"{len(joints)} joints, expected {len(chain.limits)}",
            "another arm than --robot says?",
        )
    matched = rows["pose"][np.abs(rows["pose"][:, 0] - rows["joints"][-1, 0]).argmin()]
    tip, turn = chain.forward(joints)
    off = 1e3 * float(np.linalg.norm(tip - matched[2:5]))
    angle = float(np.degrees((Rotation.from_quat(turn) * Rotation.from_quat(matched[5:9]).inv()).magnitude()))
    text = (
        f"forward kinematics of {len(joints)} joints and the reported pose differ by {off:.1f} mm, "
        f"{angle:.1f} deg"
    )
    remedy = "wrong tool frame, joint offsets or units: see docs/how-to/hardware_acceptance.md"
    check.add(
        "kinematics",
        worst(graded(off, 10, 30), graded(angle, 3, 10)),
        text,
        remedy,
        off_mm=off,
        off_deg=angle,
    )


def wrench(check) -> None:
    rows = check.client.wrench.since(check.sampled_since(GLANCE_S))
    rows = rows[np.isfinite(rows[:, 2:5]).all(axis=1)]
    if not len(rows):
        return check.add("arm", OK, "this arm reports no force: the force limit does not act")
    force = np.linalg.norm(rows[:, 2:5], axis=1)
    mean, most, limit = float(force.mean()), float(force.max()), check.rig.limits.force
    text = f"at rest {mean:.1f} N, at most {most:.1f} N; the gate stops at {limit:.0f} N"
    remedy = "calibrate the arm's torque sensors, or raise limits.force in the rig's YAML"
    check.add("arm", graded(most, limit / 2, limit), text, remedy, mean_n=mean, max_n=most)


def _rate(rows: np.ndarray) -> tuple[float, float]:
    """Hz and the longest gap in s, from the senders' stamps."""
    gaps = np.diff(np.sort(rows[:, 0]))
    return (
        (float(1.0 / gaps.mean()), float(gaps.max()))
        if len(gaps) and gaps.mean() > 0
        else (0.0, float("inf"))
    )


def _sheet(shown: list[tuple[str, np.ndarray]]) -> Image.Image:
    height = max(frame.shape[0] for _, frame in shown)
    tiles = [Image.fromarray(frame) for _, frame in shown]
    tiles = [tile.resize((round(tile.width * height / tile.height), height)) for tile in tiles]
    sheet = Image.new("RGB", (sum(tile.width for tile in tiles), height + 20))
    draw, left = ImageDraw.Draw(sheet), 0
    for (role, _), tile in zip(shown, tiles):
        sheet.paste(tile, (left, 20))
        draw.text((left + 6, 4), f"{role} camera", fill="white")
        left += tile.width
    return sheet
