"""MJCF of a person's hand: palm, four fingers and a thumb of capsules, a forearm in a sleeve. It resembles no
robot gripper.

The frame of the hand is its palm: x along the straight fingers, z out of the back of the hand, the palm
facing -z. Metres, radians. The hand is a mocap body; `joint_angles` maps a curl of 0 (open) to 1 (fist) to
its joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

SKIN_COLOURS = (
    (0.96, 0.80, 0.69),
    (0.90, 0.70, 0.56),
    (0.80, 0.58, 0.43),
    (0.66, 0.45, 0.32),
    (0.47, 0.31, 0.22),
    (0.30, 0.20, 0.15),
)
GLOVE_COLOURS = (
    (0.22, 0.42, 0.78),
    (0.93, 0.80, 0.25),
    (0.12, 0.12, 0.13),
    (0.90, 0.91, 0.92),
    (0.85, 0.42, 0.55),
    (0.25, 0.55, 0.42),
)
GLOVE_SHARE = 0.25  # share of hands in gloves

_BONE_LENGTHS = (0.043, 0.027, 0.021)  # of a middle finger
_FINGER_SCALES = (0.95, 1.05, 0.98, 0.78)  # of index, middle, ring and little finger, relative to it
_KNUCKLE_OFFSETS = (0.030, 0.010, -0.010, -0.029)  # of their knuckles, towards the thumb
_KNUCKLE = 0.043
_OPEN = np.array([0.16, 0.20, 0.12] * 4 + [0.0, 0.05, 0.05])
# The thumb's first value is the fraction of its motion from abducted to opposed
_FIST = np.array([1.25, 1.65, 0.95] * 4 + [1.0, 0.55, 0.60])
# Directions of the right thumb
_ABDUCTED, _OPPOSED = np.array([0.55, 0.62, -0.56]), np.array([0.44, -0.20, -0.88])


@dataclass(frozen=True)
class HandAppearance:
    """Appearance of one hand. right: right or left hand. scale: 1 is 0.19 m from wrist to fingertip.

    Colours are RGB in 0..1. bare: length in metres of the forearm between hand and sleeve.
    """

    right: bool
    scale: float
    hand: tuple[float, float, float]
    arm: tuple[float, float, float]
    sleeve: tuple[float, float, float]
    bare: float


def sample_hand_appearance(rng: np.random.Generator) -> HandAppearance:
    """Samples a hand: skin from light to dark or a glove, a sleeve of any colour, long or rolled up."""
    skin = SKIN_COLOURS[int(rng.integers(len(SKIN_COLOURS)))]
    hand = GLOVE_COLOURS[int(rng.integers(len(GLOVE_COLOURS)))] if rng.random() < GLOVE_SHARE else skin
    bare = float(rng.choice([0.03, 0.07, 0.16]))
    return HandAppearance(
        bool(rng.random() < 0.7),
        float(rng.uniform(0.86, 1.12)),
        hand,
        skin,
        tuple(rng.uniform(0.05, 0.95, 3).tolist()),
        bare,
    )


def joint_angles(curl: float, yaw: float = 0.0) -> np.ndarray:
    """Joint angles f64[16] of a curl: three per finger from index to little, three of the thumb, one of the
    wrist.

    curl: 0 (open) .. 1 (fist). yaw: of the hand in rad; the wrist compensates most of it, because the elbow
    stays at the person's side.
    """
    angles = _OPEN + np.clip(curl, 0.0, 1.0) * (_FIST - _OPEN)
    # The thumb meets the fingers halfway and stays there.
    angles[12] = min(1.0, 2 * curl) * _thumb_motion(1.0)[2]
    return np.append(angles, -0.65 * yaw)


def mjcf(appearance: HandAppearance) -> str:
    """The body "hand" (mocap) with its 16 hinges and the sites "tip_index", "tip_middle" and "tip_thumb"."""
    size, side = appearance.scale, 1.0 if appearance.right else -1.0
    colours = {
        name: " ".join(f"{value:.3f}" for value in getattr(appearance, name))
        for name in ("hand", "arm", "sleeve")
    }

    def capsule(start, end, radius: float, part: str = "hand") -> str:
        line = " ".join(f"{value * size:.5f}" for value in (*start, *end))
        rgba = f"{colours[part]} 1"
        return f'<geom class="seen" type="capsule" size="{radius * size:.5f}" fromto="{line}" rgba="{rgba}"/>'

    def chain(name: str, bones, radius: float, axes: list[str]) -> str:
        """Nested bodies along x, each with a hinge; the last one ends in the tip."""
        text = f'<site name="tip_{name}" pos="{bones[-1] * size:.5f} 0 0" size="0.002" group="5"/>'
        for index in reversed(range(len(bones))):
            inside = (
                f'<joint type="hinge" axis="{axes[index]}"/>'
                + capsule((0, 0, 0), (bones[index], 0, 0), radius - 0.0006 * index)
                + text
            )
            text = f'<body pos="{bones[index - 1] * size:.5f} 0 0">{inside}</body>' if index else inside
        return text

    fingers = palm = ""
    for name, length, sideways in zip(
        ("index", "middle", "ring", "little"), _FINGER_SCALES, _KNUCKLE_OFFSETS
    ):
        y = side * sideways
        palm += capsule((-0.045, 0.7 * y, 0), (_KNUCKLE - 0.004, y, 0), 0.0125)
        bones = [bone * length for bone in _BONE_LENGTHS]
        place = f'pos="{_KNUCKLE * size:.5f} {y * size:.5f} 0"'
        finger = chain(name, bones, 0.0088, ["0 1 0"] * 3)
        fingers += f'<body name="hand_{name}" {place}>{finger}</body>'
    frame, axis, _ = _thumb_motion(side)
    opposing, bending = (
        " ".join(f"{value:.5f}" for value in frame.inv().apply(towards))
        for towards in (axis, [0.0, -1.0, 0.0])
    )
    hinges = [opposing, bending, bending]
    x, y, z, w = frame.as_quat()
    base = " ".join(f"{value * size:.5f}" for value in (-0.010, side * 0.034, -0.010))
    thumb = chain("thumb", (0.036, 0.031, 0.025), 0.0102, hinges)
    thumb = f'<body pos="{base}" quat="{w:.6f} {x:.6f} {y:.6f} {z:.6f}">{thumb}</body>'
    heel = capsule((-0.035, side * 0.020, -0.008), (-0.005, side * 0.030, -0.010), 0.0150)
    arm = capsule((0, 0, 0), (-0.04 - appearance.bare, 0, 0.004), 0.0245, "arm") + capsule(
        (-0.01 - appearance.bare, 0, 0.004), (-0.7, 0, 0.03), 0.035, "sleeve"
    )
    wrist = (
        f'<body name="hand_arm" pos="{-0.045 * size:.5f} 0 0"><joint type="hinge" axis="0 0 1"/>{arm}</body>'
    )
    return f'<body name="hand" mocap="true">{palm}{heel}{fingers}{thumb}{wrist}</body>'


def _thumb_motion(side: float) -> tuple[Rotation, np.ndarray, float]:
    """Returns the thumb's rest frame (x along it), and the axis and angle of its motion from abducted to
    opposed, in the hand's frame.
    """
    mirror = np.array([1.0, side, 1.0])
    apart, opposed = (mirror * towards / np.linalg.norm(towards) for towards in (_ABDUCTED, _OPPOSED))
    normal = np.cross(apart, opposed)
    axes = np.stack(
        [apart, normal / np.linalg.norm(normal), np.cross(apart, normal / np.linalg.norm(normal))], axis=1
    )
    return Rotation.from_matrix(axes), axes[:, 1], float(np.arccos(apart @ opposed))
