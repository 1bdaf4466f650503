"""MJCF of the scene: table, drawer, plate, objects, lights and the static camera around the arm of kinova.py.

The table surface is z = 0 of the arm's base frame; the arm stands on it. Metres, kilograms, newtons.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from gr1_core.sim import cameras, kinova
from gr1_core.sim.objects import bodies, shapes
from gr1_core.sim.objects.catalogue import SLOTS, STANDARD_OBJECTS, ObjectSet

PLATE_FLOOR = 0.0055  # height of the inside of the plate
PLATE_RADIUS = 0.095

# The cabinet opens towards -x; its frame is the middle of its front at z = 0. The drawer slides by 0 (closed)
# to
# DRAWER_TRAVEL towards -x.
DRAWER_TRAVEL = 0.16
BAR_OFFSET, BAR_HEIGHT = 0.052, 0.062  # of the handle's bar: in front of the cabinet, above the table

STATIC_EYE = np.array([0.36, -0.74, 0.60])
STATIC_TARGET = np.array([0.415, 0.0, 0.06])
OVERVIEW_EYE = np.array([1.02, -1.34, 0.82])  # only for images in documents: the rig has no camera here
OVERVIEW_TARGET = np.array([0.30, 0.0, 0.235])


def _camera(name: str, eye: np.ndarray, target: np.ndarray, fov: float) -> str:
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    axes = " ".join(f"{value:.9g}" for value in (*right, *np.cross(right, forward)))
    place = f'pos="{eye[0]} {eye[1]} {eye[2]}" xyaxes="{axes}"'
    return f'<camera name="{name}" {place} fovy="{math.degrees(fov):.6g}"/>'


def _wood_texture() -> bytes:
    """Wood texture of the table top: planks with a slow grain. PNG, 512x512."""
    import cv2

    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:512, 0:512] / 512.0
    plank = np.floor(y * 6).astype(int)
    shift = rng.uniform(0, 10, 6)[plank]
    tone = rng.uniform(-0.022, 0.022, 6)[plank]
    slow = cv2.resize(rng.normal(0, 1, (40, 6)), (512, 512), interpolation=cv2.INTER_CUBIC)
    grain = (
        np.sin((y * 34 + shift + 0.55 * slow) * 2 * np.pi) * 0.5
        + np.sin((y * 91 + 3 * shift + 1.1 * slow) * 2 * np.pi) * 0.3
    )
    fibre = cv2.resize(rng.normal(0, 1, (512, 24)), (512, 512), interpolation=cv2.INTER_LINEAR)
    shade = 1.0 + tone + 0.022 * grain + 0.012 * fibre
    seam = np.abs(((y * 6 + 0.5) % 1.0) - 0.5) < 0.008
    shade = np.where(seam, shade * 0.86, shade)
    colour = np.clip(shade[..., None] * np.array([0.80, 0.665, 0.505]) * 255, 0, 255).astype(np.uint8)
    return cv2.imencode(".png", colour[..., ::-1])[1].tobytes()


@functools.cache
def files() -> dict[str, bytes]:
    """Contents of the files that the MJCF names."""
    return {"wood.png": _wood_texture()}


def _assets(objects: ObjectSet, detail: float) -> str:
    return (
        bodies.object_assets(objects, detail)
        + _plate_mesh(detail)
        + bodies.distractor_assets(objects, detail)
        + """
<texture name="sky" type="skybox" builtin="gradient" rgb1="0.97 0.97 0.96" rgb2="0.60 0.62 0.65"
  width="64" height="384"/>
<texture name="wood" type="2d" file="wood.png"/>
<material name="wood" texture="wood" texrepeat="1 1" specular="0.18" shininess="0.25"/>
<material name="edge" rgba="0.58 0.45 0.32 1" specular="0.1"/>
<material name="cabinet" rgba="0.90 0.895 0.875 1" specular="0.2" shininess="0.3"/>
<material name="front" rgba="0.20 0.52 0.60 1" specular="0.25" shininess="0.4"/>
<material name="inside" rgba="0.77 0.66 0.52 1" specular="0.1"/>
<material name="steel" rgba="0.80 0.81 0.83 1" specular="0.9" shininess="0.8"/>
<material name="china" rgba="0.93 0.93 0.91 1" specular="0.35" shininess="0.7"/>
"""
        + kinova.assets(detail)
    )


@functools.cache
def _plate_mesh(detail: float) -> str:
    return "".join(
        shapes.mesh_xml(f"plate_{part}", surface) for part, surface in shapes.plate(detail).items()
    )


def _plate() -> str:
    """The collision rim is a ring of slanted boxes, which keeps objects on the plate."""
    count = 16
    rim = "".join(
        '<geom class="solid" type="box" size="0.0165 0.0155 0.0025" '
        f'pos="{0.078 * math.cos(a):.5f} {0.078 * math.sin(a):.5f} 0.0078" '
        f'euler="0 0 {a:.5f}" />'
        for a in (np.arange(count) * 2 * math.pi / count)
    )
    return f"""
<body name="plate" pos="0 0 -1">
  <freejoint name="plate"/>
  <inertial pos="0 0 0.006" mass="0.5" diaginertia="0.0012 0.0012 0.0024"/>
  <geom class="solid" type="cylinder" size="0.062 {PLATE_FLOOR / 2}" pos="0 0 {PLATE_FLOOR / 2}"/>
  {rim}
  <geom class="visual" type="mesh" mesh="plate_body" material="china"/>
</body>"""


def _drawer() -> str:
    depth, half, height = 0.19, 0.10, 0.115  # of the cabinet

    def box(material: str, size: str, pos: str, kind: str = "solid") -> str:
        return f'<geom class="{kind}" type="box" material="{material}" size="{size}" pos="{pos}" group="1"/>'

    def bar(y: float) -> str:
        return f"{-BAR_OFFSET} {y} {BAR_HEIGHT}"

    middle = depth / 2
    return f"""
<body name="cabinet" pos="0.60 0.27 0">
  {box("cabinet", f"{middle} 0.006 {height / 2 - 0.006}", f"{middle} {half - 0.006} {height / 2 - 0.006}")}
  {box("cabinet", f"{middle} 0.006 {height / 2 - 0.006}", f"{middle} {0.006 - half} {height / 2 - 0.006}")}
  {box("cabinet", f"0.006 {half - 0.012} {height / 2 - 0.006}", f"{depth - 0.006} 0 {height / 2 - 0.006}")}
  {box("edge", f"{middle + 0.004} {half + 0.004} 0.006", f"{middle} 0 {height - 0.006}")}
  <body name="drawer" pos="0 0 0">
    <joint name="drawer" type="slide" axis="-1 0 0" range="0 {DRAWER_TRAVEL}" damping="4"
      frictionloss="0.8" armature="0.05"/>
    <inertial pos="0.06 0 0.05" mass="0.4" diaginertia="0.001 0.001 0.001"/>
    {box("front", "0.007 0.086 0.046", "-0.002 0 0.053")}
    {box("inside", "0.080 0.004 0.030", "0.083 0.080 0.042", "visual")}
    {box("inside", "0.080 0.004 0.030", "0.083 -0.080 0.042", "visual")}
    {box("inside", "0.080 0.080 0.004", "0.083 0 0.014", "visual")}
    {box("inside", "0.004 0.080 0.030", "0.159 0 0.042", "visual")}
    <geom class="solid" type="capsule" material="steel" size="0.006"
      fromto="{bar(-0.058)} {bar(0.058)}" group="1"
      condim="4" friction="1.2 0.02 0.002"/>
    <geom class="visual" type="cylinder" material="steel" size="0.0045"
      fromto="{bar(-0.05)} 0 -0.05 {BAR_HEIGHT}"/>
    <geom class="visual" type="cylinder" material="steel" size="0.0045"
      fromto="{bar(0.05)} 0 0.05 {BAR_HEIGHT}"/>
  </body>
</body>"""


def mjcf(
    objects: ObjectSet = STANDARD_OBJECTS,
    shadow_size: int = 1024,
    samples: int = 0,
    detail: float = 0.65,
    width: int = 640,
    height: int = 480,
) -> str:
    """The whole scene with these objects.

    The other arguments decide the cost of an image: side of the shadow map, samples per pixel, detail of
    round shapes (1: smooth at close range), size of the buffer in pixels.
    """
    legs = "".join(
        f'<geom class="visual" type="box" size="0.03 0.03 0.33" pos="{0.40 + x} {y} -0.40" material="edge"/>'
        for x in (-0.46, 0.46)
        for y in (-0.43, 0.43)
    )
    return f"""
<mujoco model="kinova_gen2_tabletop">
<compiler angle="radian" eulerseq="XYZ" autolimits="true"/>
<option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="10" noslip_iterations="4"/>
<visual>
  <global offwidth="{width}" offheight="{height}"/>
  <quality shadowsize="{shadow_size}" offsamples="{samples}"
    numslices="{round(28 * detail)}" numstacks="{round(14 * detail)}" numquads="1"/>
  <headlight ambient="0.38 0.38 0.39" diffuse="0.06 0.06 0.06" specular="0 0 0"/>
  <map znear="0.01" zfar="8" shadowclip="0.70"/>
</visual>
<default>
  {kinova.DEFAULTS}
  <default class="fruit"><geom contype="1" conaffinity="3" condim="6"
    friction="1.0 0.01 0.004" group="3" mass="0"/></default>
  <default class="solid"><geom contype="1" conaffinity="3" condim="4"
    friction="0.8 0.01 0.002" group="3" mass="0"/></default>
</default>
<asset>{_assets(objects, detail)}</asset>
<worldbody>
  <light name="key" directional="true" pos="0.1 -0.9 1.6" dir="0.28 0.52 -1" castshadow="true"
    diffuse="0.60 0.58 0.54" specular="0.35 0.35 0.33"/>
  <light name="fill" directional="true" pos="1.2 0.6 1.2" dir="-0.8 -0.15 -0.7" castshadow="false"
    diffuse="0.14 0.15 0.17" specular="0.1 0.1 0.1"/>
  {_camera("static", STATIC_EYE, STATIC_TARGET, cameras.VERTICAL_FOV["static"])}
  {_camera("overview", OVERVIEW_EYE, OVERVIEW_TARGET, cameras.VERTICAL_FOV["overview"])}
  <geom name="table" class="solid" type="box" size="0.53 0.50 0.018" pos="0.40 0 -0.018" material="wood"
    group="1"/>
  <geom class="visual" type="box" size="0.50 0.47 0.02" pos="0.40 0 -0.056" material="edge"/>
  {legs}
  {kinova.body()}
  {_drawer()}
  {_plate()}
  {"".join(bodies.object_body(slot, objects[slot]) for slot in SLOTS)}
  {"".join(bodies.distractor_body(number, item) for number, item in enumerate(objects.distractors))}
</worldbody>
<actuator>{kinova.actuators()}</actuator>
</mujoco>"""


def build(objects: ObjectSet = STANDARD_OBJECTS, **quality):
    """Compiles the scene to a mujoco.MjModel; see `mjcf` for the arguments."""
    import mujoco

    return mujoco.MjModel.from_xml_string(mjcf(objects, **quality), files())
