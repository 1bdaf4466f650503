"""MJCF of the Kinova Gen2 with 7 joints, a spherical wrist and three fingers (model j2s7s300), from the
vendor's published kinematics.

Frames are the vendor's: the world is the arm's base, z up, x forward; each joint turns about its own z. The
site `grip` is the end effector: the point between the fingertips, z along the approach, x from the two
fingers towards the thumb. Metres, radians.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from gr1_core.kinematics import GEN2_GRIP, GEN2_JOINTS, HALF, PI
from gr1_core.sim import cameras
from gr1_core.sim.objects import shapes

MASSES = (0.75, 0.85, 0.85, 0.68, 0.46, 0.46, 0.60)  # kg of each link
SPEED_LIMIT = np.radians([joint.speed for joint in GEN2_JOINTS])  # rad/s
GAINS = (
    (1500, 80, 40),
    (1500, 80, 80),
    (1500, 80, 40),
    (1500, 80, 40),
    (500, 25, 20),
    (500, 25, 20),
    (500, 25, 20),
)  # kp, kv, Nm

# Pose of each finger's proximal joint on link 7: xyz and quaternion wxyz. The tip's joint is 44 mm along the
# finger.
FINGERS = {
    "thumb": ((0.00279, 0.03126, -0.11467), (0.379408, -0.662973, -0.245899, 0.596699)),
    "index": ((0.02226, -0.02707, -0.11482), (0.659653, -0.37146, 0.601679, -0.254671)),
    "middle": ((-0.02226, -0.02707, -0.11482), (0.601679, -0.254671, 0.659653, -0.37146)),
}
FINGER_OPEN, FINGER_CLOSED = 0.45, 1.25  # rad

# The wrist camera is beside the gripper, level with the wrist, tilted towards the fingertips (frame of the
# grip site).
WRIST_CAMERA_POSITION = (0.0, -0.100, -0.135)
WRIST_CAMERA_TILT = math.radians(27.0)


def _xyz(values) -> str:
    return " ".join(f"{value:.12g}" for value in values)


def _geom(mesh: str, material: str, **where) -> str:
    extra = "".join(f' {key}="{value}"' for key, value in where.items())
    return f'<geom class="visual" type="mesh" mesh="{mesh}" material="{material}"{extra}/>'


@functools.cache
def assets(detail: float = 1.0) -> str:
    """Meshes and materials of the arm's shell. detail: factor on the number of facets."""
    parts = {
        "pedestal": shapes.rounded_profile(0.066, 0.0, 0.030, 0.006, 0.058),
        "column": shapes.rounded_profile(0.045, 0.0, 0.1275, 0.004),
        "shoulder": shapes.rounded_profile(0.0455, -0.118, -0.002, 0.030, 0.0415),
        "upper": shapes.smooth_profile(
            [(1e-4, 0.020), (0.034, 0.022), (0.0395, 0.050), (0.0410, 0.120), (0.0405, 0.196), (1e-4, 0.201)],
            12,
        ),
        "hub": shapes.rounded_profile(0.0430, -0.048, 0.048, 0.014),
        "forearm": shapes.smooth_profile(
            [(1e-4, 0.010), (0.031, 0.016), (0.0370, 0.060), (0.0355, 0.140), (0.0330, 0.198), (1e-4, 0.203)],
            12,
        ),
        "wrist_hub": shapes.rounded_profile(0.0350, -0.040, 0.040, 0.012),
        "wrist": shapes.smooth_profile(
            [(1e-4, 0.010), (0.026, 0.014), (0.0320, 0.040), (0.0330, 0.095), (1e-4, 0.098)], 10
        ),
        "ring": shapes.rounded_profile(0.0422, -0.0055, 0.0055, 0.0015),
        "small_ring": shapes.rounded_profile(0.0350, -0.0050, 0.0050, 0.0015),
        "cap": shapes.rounded_profile(0.0245, -0.0030, 0.0030, 0.0020),
        "palm": shapes.smooth_profile(
            [
                (1e-4, 0.000),
                (0.033, 0.002),
                (0.035, 0.020),
                (0.043, 0.062),
                (0.046, 0.092),
                (0.043, 0.110),
                (0.020, 0.117),
                (1e-4, 0.118),
            ],
            16,
        ),
        "knuckle": shapes.rounded_profile(0.0105, -0.013, 0.013, 0.003),
        "proximal": shapes.smooth_profile(
            [
                (1e-4, -0.004),
                (0.0085, -0.002),
                (0.0100, 0.010),
                (0.0088, 0.030),
                (0.0078, 0.044),
                (1e-4, 0.047),
            ],
            9,
        ),
        "distal": shapes.smooth_profile(
            [
                (1e-4, -0.004),
                (0.0072, -0.002),
                (0.0078, 0.014),
                (0.0072, 0.034),
                (0.0050, 0.046),
                (1e-4, 0.050),
            ],
            9,
        ),
    }
    sides = {"knuckle": 12, "proximal": 12, "distal": 12, "cap": 20}
    return (
        "\n".join(
            shapes.mesh_xml(
                f"arm_{name}", shapes.revolve(profile, max(10, round(sides.get(name, 28) * detail)))
            )
            for name, profile in parts.items()
        )
        + """
<material name="carbon" rgba="0.15 0.155 0.17 1" specular="0.65" shininess="0.5"/>
<material name="graphite" rgba="0.26 0.27 0.29 1" specular="0.45" shininess="0.4"/>
<material name="aluminium" rgba="0.74 0.76 0.79 1" specular="0.7" shininess="0.75"/>
<material name="finger" rgba="0.40 0.42 0.45 1" specular="0.5" shininess="0.5"/>
<material name="rubber" rgba="0.115 0.115 0.12 1" specular="0.25" shininess="0.2"/>
<material name="lens" rgba="0.03 0.04 0.07 1" specular="0.9" shininess="0.9"/>"""
    )


# Visual geoms of each link, in the link's frame. Tubes are modelled along +z and turned into their direction.
_DOWN = f"{PI:.6f} 0 0"  # onto -z
_BACK = f"{HALF:.6f} 0 0"  # onto -y
_FORTH = f"{-HALF:.6f} 0 0"  # onto +y
_SHELL = (
    _geom("arm_shoulder", "carbon") + _geom("arm_ring", "aluminium", pos="0 0 -0.012"),
    _geom("arm_hub", "carbon")
    + _geom("arm_cap", "aluminium", pos="0 0 0.048")
    + _geom("arm_cap", "aluminium", pos="0 0 -0.048")
    + _geom("arm_upper", "carbon", euler=_BACK),
    _geom("arm_ring", "aluminium") + _geom("arm_upper", "carbon", pos="0 0 -0.205"),
    _geom("arm_hub", "carbon")
    + _geom("arm_cap", "aluminium", pos="0 0 0.048")
    + _geom("arm_cap", "aluminium", pos="0 0 -0.048")
    + _geom("arm_forearm", "carbon", euler=_FORTH, pos="0 0 -0.0057"),
    _geom("arm_small_ring", "aluminium") + _geom("arm_wrist", "carbon", pos="0 0 -0.10375"),
    _geom("arm_wrist_hub", "carbon")
    + _geom("arm_cap", "aluminium", pos="0 0 0.040")
    + _geom("arm_cap", "aluminium", pos="0 0 -0.040")
    + _geom("arm_wrist", "carbon", euler=_FORTH),
    _geom("arm_small_ring", "aluminium", pos="0 0 -0.004")
    + _geom("arm_palm", "graphite", euler=_DOWN, pos="0 0 -0.004"),
)


def _finger(name: str) -> str:
    position, quaternion = FINGERS[name]
    along = f'euler="0 {HALF:.6f} 0"'
    return f"""
<body name="{name}" pos="{_xyz(position)}" quat="{_xyz(quaternion)}" gravcomp="1">
  <joint name="{name}" class="finger" range="0 1.51"/>
  {_geom("arm_knuckle", "aluminium")}
  <geom class="visual" type="mesh" mesh="arm_proximal" material="finger" {along}/>
  <geom class="pad" type="capsule" size="0.0085" fromto="0.006 0 0 0.040 0 0" mass="0.02"/>
  <body name="{name}_tip" pos="0.044 -0.003 0" gravcomp="1">
    <joint name="{name}_tip" class="fingertip"/>
    <geom class="visual" type="mesh" mesh="arm_distal" material="rubber" {along}/>
    <geom class="pad" type="capsule" size="0.0075" fromto="0.002 0 0 0.041 0 0" mass="0.012"/>
  </body>
</body>"""


def _wrist_camera() -> str:
    """A D435 on a bracket. In the grip frame: at -y of the gripper, looking along +z, tilted towards +y."""
    tilt = WRIST_CAMERA_TILT
    forward = np.array([0.0, math.sin(tilt), math.cos(tilt)])
    right = np.array([-1.0, 0.0, 0.0])
    up = np.cross(right, forward)  # MuJoCo's cameras look along -z with y up
    x, y, z = WRIST_CAMERA_POSITION
    body = f'xyaxes="{_xyz(right)} {_xyz(up)}"'
    return f"""
<camera name="wrist" pos="{_xyz((x, y, z))}" {body} fovy="{math.degrees(cameras.VERTICAL_FOV["wrist"]):.6g}"/>
<body name="wrist_camera" pos="{_xyz((x, y, z))}" {body} gravcomp="1">
  <geom class="visual" type="box" size="0.045 0.0125 0.0115" pos="0 0 0.0135" material="aluminium"
    mass="0.07"/>
  <geom class="visual" type="box" size="0.042 0.0095 0.0015" pos="0 0 0.0018" material="lens"/>
  <geom class="visual" type="box" size="0.010 0.020 0.008" pos="0 0.028 0.020" material="graphite"/>
</body>"""


def body() -> str:
    """The kinematic tree of the arm, rooted in the world."""
    hand = f"""
<geom class="pad" type="cylinder" size="0.043 0.045" pos="0 0 -0.067" mass="0.4"/>
<body name="hand" pos="0 0 {-GEN2_GRIP}" euler="{PI:.12g} 0 {HALF:.12g}" gravcomp="1">
  <site name="grip" size="0.004" group="4"/>
  {_wrist_camera()}
</body>
{"".join(_finger(name) for name in FINGERS)}"""
    tree = hand
    for index in reversed(range(7)):
        (xyz, rpy, limits, _), mass, shell = GEN2_JOINTS[index], MASSES[index], _SHELL[index]
        reach = (
            f'range="{math.radians(limits[0])} {math.radians(limits[1])}" limited="true"'
            if limits
            else 'limited="false"'
        )
        tree = f"""
<body name="link{index + 1}" pos="{_xyz(xyz)}" euler="{_xyz(rpy)}" gravcomp="1">
  <joint name="joint{index + 1}" class="arm" {reach}/>
  <geom class="ballast" type="sphere" size="0.04" mass="{mass}"/>
  {shell}
  {tree}
</body>"""
    return _geom("arm_pedestal", "aluminium") + _geom("arm_column", "carbon", pos="0 0 0.028") + tree


def actuators() -> str:
    """Position actuators of the joints and fingers."""
    arm = [
        f'<position name="joint{i + 1}" joint="joint{i + 1}" kp="{kp}" kv="{kv}" '
        f'forcerange="-{torque} {torque}"/>'
        for i, (kp, kv, torque) in enumerate(GAINS)
    ]
    hand = [
        f'<position name="{name}" joint="{name}" kp="4" kv="0.15" forcerange="-1 1"/>' for name in FINGERS
    ]
    return "".join(arm + hand)


DEFAULTS = """
<default class="arm"><joint damping="2" armature="0.1"/></default>
<default class="finger"><joint damping="0.05" armature="0.002"/></default>
<default class="fingertip"><joint damping="0.02" armature="0.0005" stiffness="0.8" springref="0.25"
  range="-0.3 1.0"/></default>
<default class="pad"><geom contype="2" conaffinity="1" condim="6" friction="1.5 0.02 0.004"
  group="3" solref="0.008 1"/></default>
<default class="ballast"><geom contype="0" conaffinity="0" group="3"/></default>
<default class="visual"><geom contype="0" conaffinity="0" group="1" mass="0"/></default>"""
