"""The pictures of a video of someone's hand, drawn frame by frame without physics."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.sim.hands import body, environment
from gr1_core.sim.hands.environment import SIDE
from gr1_core.sim.hands.scene import Video
from gr1_core.sim.hands.script import Hand, Moment
from gr1_core.sim.objects.catalogue import SLOTS
from gr1_core.sim.renderer import _context

FPS = 6  # twice what clips have: a clip may begin anywhere and still finds frames a third of a second apart
_CURLS = np.linspace(0.55, 0.0, 23)  # from a pinch to open
_PADS = 0.017  # m: thickness of thumb and fingertip together


def pictures(video: Video) -> Iterator[np.ndarray]:
    """Every frame of a video, u8[SIDE, SIDE, 3] RGB, FPS of them a second; drawn in the calling thread, which keeps its GL context."""
    import mujoco

    _gl().make_current()
    model = mujoco.MjModel.from_xml_string(video.xml, environment.files())
    data, scene = mujoco.MjData(model), mujoco.MjvScene(model, maxgeom=300)
    option, perturb, camera = mujoco.MjvOption(), mujoco.MjvPerturb(), mujoco.MjvCamera()
    option.geomgroup[:], option.sitegroup[:] = [1, 1, 1, 0, 0, 0], 0
    camera.type, camera.distance = mujoco.mjtCamera.mjCAMERA_FREE, video.camera.distance
    drawing = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, drawing)
    window, image = mujoco.MjrRect(0, 0, SIDE, SIDE), np.empty((SIDE, SIDE, 3), np.uint8)
    try:
        for number, moment in enumerate(video.script.frames(FPS)):
            _place(model, data, video, moment)
            camera.lookat[:], camera.azimuth, camera.elevation = video.camera.at(number / FPS)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            mujoco.mjv_updateScene(model, data, option, perturb, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
            scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = video.shadows
            scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            mujoco.mjr_render(window, scene, drawing)
            mujoco.mjr_readPixels(image, None, window, drawing)
            yield image[::-1].copy()
    finally:
        drawing.free()


def _place(model, data, video: Video, moment: Moment) -> None:
    """The moment in MuJoCo's coordinates."""
    palm, curl = palm_of(moment.hand, video.someone.scale, video.someone.right)
    hand = model.body("hand").mocapid[0]
    data.mocap_pos[hand], data.mocap_quat[hand] = palm[0], palm[1].as_quat(scalar_first=True)
    first = model.jnt_qposadr[model.body("hand_index").jntadr[0]]
    data.qpos[first : first + 16] = body.posture(curl, moment.hand.yaw)
    for slot in SLOTS:
        if slot in video.script.items:
            x, y, z, yaw = moment.places[slot]
            start = model.joint(slot).qposadr[0]
            data.qpos[start : start + 7] = [x, y, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    if video.script.drawer_at is not None:
        data.mocap_pos[model.body("drawer").mocapid[0]] = video.script.drawer_at - np.array(
            [moment.drawer, 0.0, 0.0]
        )


def palm_of(hand: Hand, scale: float, right: bool) -> tuple[tuple[np.ndarray, Rotation], float]:
    """Palm (position, rotation) and curl of a hand of that size whose fingertips are as far apart and where `hand` says."""
    openings, middles = _grips()
    opening = hand.opening / scale
    curl = float(np.interp(opening, openings, _CURLS))
    middle = np.array([np.interp(opening, openings, column) for column in middles.T])
    turned = Rotation.from_euler("ZY", [hand.yaw, hand.pitch])
    return (hand.point - turned.apply(middle * scale * [1.0, 1.0 if right else -1.0, 1.0]), turned), curl


@cache
def _grips() -> tuple[np.ndarray, np.ndarray]:
    """Of a right hand of scale 1, for each of _CURLS: the gap between thumb and fingertips, and the middle between, from its palm."""
    import mujoco

    someone = body.Looks(True, 1.0, (0, 0, 0), (0, 0, 0), (0, 0, 0), 0.05)
    head = '<compiler angle="radian"/><default><default class="seen"/></default>'
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco>{head}<worldbody>{body.mjcf(someone)}</worldbody></mujoco>"
    )
    data, openings, middles = mujoco.MjData(model), [], []
    for curl in _CURLS:
        data.qpos[:] = body.posture(curl)
        mujoco.mj_kinematics(model, data)
        fingers = (data.site("tip_index").xpos + data.site("tip_middle").xpos) / 2
        openings.append(np.linalg.norm(fingers - data.site("tip_thumb").xpos) - _PADS)
        middles.append((fingers + data.site("tip_thumb").xpos) / 2)
    return np.array(openings), np.array(middles)


@cache
def _gl():
    return _context(SIDE, SIDE)
