"""Renders a video of a hand frame by frame, without physics."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.sim.hands import body, environment
from gr1_core.sim.hands.environment import IMAGE_SIZE
from gr1_core.sim.hands.scene import Video
from gr1_core.sim.hands.script import HandPose, SceneState
from gr1_core.sim.objects.catalogue import SLOTS
from gr1_core.sim.renderer import make_gl_context

FPS = 6  # twice the rate of clips: a clip may begin anywhere and finds frames a third of a second apart
_CURLS = np.linspace(0.55, 0.0, 23)  # from a pinch to open
_FINGERTIPS = 0.017  # m: thickness of thumb and fingertip together


def render_video(video: Video) -> Iterator[np.ndarray]:
    """Yields every frame of a video, u8[IMAGE_SIZE, IMAGE_SIZE, 3] RGB, at FPS. Renders in the calling
    thread, which keeps its GL context.

    Raises RuntimeError without off-screen OpenGL.
    """
    import mujoco

    _gl().make_current()
    model = mujoco.MjModel.from_xml_string(video.xml, environment.files())
    data, scene = mujoco.MjData(model), mujoco.MjvScene(model, maxgeom=300)
    option, perturb, camera = mujoco.MjvOption(), mujoco.MjvPerturb(), mujoco.MjvCamera()
    option.geomgroup[:], option.sitegroup[:] = [1, 1, 1, 0, 0, 0], 0
    camera.type, camera.distance = mujoco.mjtCamera.mjCAMERA_FREE, video.camera.distance
    context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    window, image = (
        mujoco.MjrRect(0, 0, IMAGE_SIZE, IMAGE_SIZE),
        np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8),
    )
    try:
        for number, state in enumerate(video.script.frames(FPS)):
            _load_state(model, data, video, state)
            camera.lookat[:], camera.azimuth, camera.elevation = video.camera.at(number / FPS)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            mujoco.mjv_updateScene(model, data, option, perturb, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
            scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = video.shadows
            scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            mujoco.mjr_render(window, scene, context)
            mujoco.mjr_readPixels(image, None, window, context)
            yield image[::-1].copy()
    finally:
        context.free()


def _load_state(model, data, video: Video, state: SceneState) -> None:
    """Sets MuJoCo's coordinates to a scene state."""
    palm, curl = palm_pose(state.hand, video.hand.scale, video.hand.right)
    hand = model.body("hand").mocapid[0]
    data.mocap_pos[hand], data.mocap_quat[hand] = palm[0], palm[1].as_quat(scalar_first=True)
    first = model.jnt_qposadr[model.body("hand_index").jntadr[0]]
    data.qpos[first : first + 16] = body.joint_angles(curl, state.hand.yaw)
    for slot in SLOTS:
        if slot in video.script.items:
            x, y, z, yaw = state.poses[slot]
            start = model.joint(slot).qposadr[0]
            data.qpos[start : start + 7] = [x, y, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    if video.script.drawer_position is not None:
        data.mocap_pos[model.body("drawer").mocapid[0]] = video.script.drawer_position - np.array(
            [state.drawer, 0.0, 0.0]
        )


def palm_pose(hand: HandPose, scale: float, right: bool) -> tuple[tuple[np.ndarray, Rotation], float]:
    """Returns (position, rotation) of the palm and the curl of a hand of that size whose fingertips are as
    `hand` says.
    """
    openings, middles = _measure_grips()
    opening = hand.opening / scale
    curl = float(np.interp(opening, openings, _CURLS))
    middle = np.array([np.interp(opening, openings, values) for values in middles.T])
    turned = Rotation.from_euler("ZY", [hand.yaw, hand.pitch])
    return (hand.point - turned.apply(middle * scale * [1.0, 1.0 if right else -1.0, 1.0]), turned), curl


@cache
def _measure_grips() -> tuple[np.ndarray, np.ndarray]:
    """For a right hand of scale 1 and each of _CURLS: gap between thumb and fingertips, and its middle in the
    palm's frame.
    """
    import mujoco

    hand = body.HandAppearance(True, 1.0, (0, 0, 0), (0, 0, 0), (0, 0, 0), 0.05)
    head = '<compiler angle="radian"/><default><default class="seen"/></default>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco>{head}<worldbody>{body.mjcf(hand)}</worldbody></mujoco>")
    data, openings, middles = mujoco.MjData(model), [], []
    for curl in _CURLS:
        data.qpos[:] = body.joint_angles(curl)
        mujoco.mj_kinematics(model, data)
        fingers = (data.site("tip_index").xpos + data.site("tip_middle").xpos) / 2
        openings.append(np.linalg.norm(fingers - data.site("tip_thumb").xpos) - _FINGERTIPS)
        middles.append((fingers + data.site("tip_thumb").xpos) / 2)
    return np.array(openings), np.array(middles)


@cache
def _gl():
    return make_gl_context(IMAGE_SIZE, IMAGE_SIZE)
