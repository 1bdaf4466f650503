"""What every field of a rig file means: the file that `gr1 rig new` writes, and what `gr1 rig check` says."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping

import yaml

from gr1_core import strict_yaml
from gr1_core.rig import ROLES, Rig

FIELDS = {
    "name": "for messages only",
    "control_hz": "Hz; steps of the policy a second. At another rate translation_scale and rotation_scale "
    "change with it (one unit is one control period's motion), the cameras must be at least as fast, and a "
    "model trained at one rate does not fit another",
    "cameras.*.width": "pixels; what the camera node publishes and what is recorded",
    "cameras.*.height": "pixels",
    "cameras.*.crop": "what the model sees: square (the largest centred square), none (all), or the box "
    "[left, top, width, height] in pixels. It is scaled to the model's square: another shape is distorted",
    "cameras.*.max_age": "s; an older frame stops the arm: about three periods of the camera. {left}",
    "cameras.*.mount": "where the camera is, for viewers: {{on: base or hand, position: [x, y, z] in m, "
    "quaternion: [x, y, z, w]}} of its optical frame; null: not known (default)",
    "state.rotation": "Euler angles about the fixed axes x, y, z; there is no other",
    "state.reference": "quaternion [x, y, z, w] of length 1: the hand's orientation whose angles are zero. "
    "Choose the usual one (hand down), so that the angles stay far from +-pi",
    "state.max_age": "s; an older pose stops the arm. {left}",
    "action.translation_scale": "m; one unit of the model's action in one control period. Divide it by the "
    "period: {unit_speed}. At another control_hz keep that speed: scale = speed / control_hz",
    "action.rotation_scale": "rad; likewise: {unit_turn}",
    "action.rotation": "rotation_vector: in the base frame; euler_difference: added to the pose's Euler "
    "angles (CALVIN)",
    "limits.linear_speed": "m/s; of the point between the fingertips. At rest within 0.25 s of an event only "
    "as far as the arm can brake (docs/explanation/safety.md)",
    "limits.angular_speed": "rad/s; of the hand",
    "limits.linear_acceleration": "m/s2; when it speeds up or turns",
    "limits.angular_acceleration": "rad/s2",
    "limits.stop_time": "s; from full speed to a commanded velocity of zero",
    "limits.workspace_min": "m, base frame; lowest corner of the box for the point between the fingertips: "
    "measure it",
    "limits.workspace_max": "m, base frame; highest corner: measure it",
    "limits.max_following_error": "m; between commanded and measured position, more stops the arm",
    "limits.max_following_angle": "rad; between commanded and measured orientation",
    "limits.joint_margin": "rad; that each joint keeps from the end of its range",
    "limits.force": "N; on the hand, stops an arm that reports forces",
    "limits.max_tilt": "rad; between the hand's approach axis and straight down; null: not limited (default)",
}
"""Each field's unit and meaning. {left}, {unit_speed}, {unit_turn}: figures of the rig."""


def like(
    base: Rig,
    name: str,
    control_hz: float | None = None,
    cameras: Mapping[str, Mapping[str, object]] | None = None,
) -> Rig:
    """A rig like `base`, with the same speed of one action unit at another control rate, and with the given
    fields of its cameras.
    """
    hz = control_hz or base.control_hz
    share = base.control_hz / hz
    action = dataclasses.replace(
        base.action,
        translation_scale=float(f"{base.action.translation_scale * share:.6g}"),
        rotation_scale=float(f"{base.action.rotation_scale * share:.6g}"),
    )
    made = {
        role: dataclasses.replace(camera, **(cameras or {}).get(role, {}))
        for role, camera in base.cameras.items()
    }
    changed = dataclasses.replace(base, name=name, control_hz=hz, action=action, cameras=made)
    return Rig.from_dict(changed.to_dict(), "the new rig")


def text(rig: Rig, base: str) -> str:
    """The rig as a YAML file: each field's unit and meaning above it, `base`'s value behind a changed one."""
    flat, usual = strict_yaml.flatten(rig.to_dict()), strict_yaml.flatten(Rig.load(base).to_dict())
    figures, explained = _figures(rig), set()
    lines = [
        f"# Rig '{rig.name}', made like the built-in rig {base}. SI units; poses in the arm's base frame (x",
        "# forward, y left, z up). A field is needed where no default is named. Check it after each change:",
        "#     gr1 rig check FILE",
        "",
    ]
    before: list[str] = []
    for key, value in flat.items():
        if value is None and key.endswith(("limits.max_tilt", ".mount")):
            continue
        parts = key.split(".")
        for depth, part in enumerate(parts[:-1]):
            if parts[: depth + 1] != before[: depth + 1]:
                lines += [""] * (depth == 0) + [f"{'  ' * depth}{part}:"]
        before = parts[:-1]
        indent = "  " * (len(parts) - 1)
        field = ".".join("*" if number == 1 and part in ROLES else part for number, part in enumerate(parts))
        if field in FIELDS and field not in explained:
            explained.add(field)
            lines += [f"{indent}# {line}" for line in _wrapped(FIELDS[field].format(**figures))]
        written = yaml.safe_dump(value, default_flow_style=True).replace("\n...", "").strip()
        note = f"  # {base}: {usual[key]}" if key in usual and usual[key] != value and key != "name" else ""
        lines.append(f"{indent}{parts[-1]}: {written}{note}")
    return "\n".join(lines) + "\n"


def consequences(rig: Rig) -> list[str]:
    """What follows from the fields, one statement a line."""
    figures = _figures(rig)
    speed = rig.action.translation_scale / rig.period
    lines = [
        f"control period {1e3 * rig.period:.4g} ms; a command expires after {1.5e3 * rig.period:.4g} ms",
        f"one action unit: {figures['unit_speed']}, {figures['unit_turn']}",
    ]
    if speed > rig.limits.linear_speed + 1e-9:
        lines.append(
            f"one unit is faster than limits.linear_speed {rig.limits.linear_speed:g} m/s, which cuts it off"
        )
    for role, camera in rig.cameras.items():
        width, height = _view(rig, role)
        distorted = "" if width == height else ", distorted: the model sees it as a square"
        lines.append(
            f"{role} camera {camera.width}x{camera.height}: the model sees {width}x{height}{distorted}"
        )
    return lines


def _view(rig: Rig, role: str) -> tuple[int, int]:
    """Width and height in pixels of what the model sees of a camera."""
    camera = rig.cameras[role]
    if camera.crop == "none":
        return camera.width, camera.height
    if camera.crop == "square":
        return (min(camera.width, camera.height),) * 2
    return camera.crop[2], camera.crop[3]


def _figures(rig: Rig) -> dict[str, str]:
    return {
        "left": f"With stop_time at most {rig.longest_age():.3g} s",
        "unit_speed": f"{rig.action.translation_scale / rig.period:.4g} m/s",
        "unit_turn": f"{rig.action.rotation_scale / rig.period:.4g} rad/s",
    }


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100)
