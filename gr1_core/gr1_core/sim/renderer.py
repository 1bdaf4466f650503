"""Pictures of a simulator state from one of the cameras, through EGL or OSMesa, without a window.

The arithmetic of a picture on a processor without GPU is dominated by shading, so what is switched off for a live stream is
measured in docs/explanation/simulation.md; `quality="film"` and `"fine"` switch it on for documents.
"""

from __future__ import annotations

import os
import threading

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.sim import cameras, scene
from gr1_core.sim.appearance import STANDARD as STANDARD_LOOK
from gr1_core.sim.appearance import Dresser, Look, Offset
from gr1_core.sim.objects.catalogue import STANDARD, Props
from gr1_core.sim.poses import Pose
from gr1_core.sim.state import View

QUALITY = {  # arguments of scene.mjcf
    "live": {"shadow_size": 512, "samples": 0, "detail": 0.65},
    "film": {"shadow_size": 2048, "samples": 4, "detail": 1.2},
    "fine": {"shadow_size": 2048, "samples": 4, "detail": 1.6},
}
# A film's or a fine picture is the mean of this many, the key light each time elsewhere on a disc of this radius (slope of its edge).
SOFT_SHADOWS = {"live": (1, 0.0), "film": (4, 0.035), "fine": (24, 0.055)}


def _context(width: int, height: int):
    """An off-screen GL context: EGL unless MUJOCO_GL says osmesa or glfw."""
    # Mesa's software rasteriser starts a thread per core, which costs more than it gains beside the arm's loop.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    backend = os.environ.get("MUJOCO_GL", "egl").lower() or "egl"
    os.environ.setdefault("PYOPENGL_PLATFORM", "osmesa" if backend == "osmesa" else "egl")
    try:
        if backend == "osmesa":
            from mujoco.osmesa import GLContext
        elif backend == "glfw":
            from mujoco.glfw import GLContext
        else:
            from mujoco.egl import GLContext
        return GLContext(width, height)
    except Exception as error:
        raise RuntimeError(
            f"no off-screen OpenGL through '{backend}': {error}. On Debian or Ubuntu: apt-get install libegl1 libgl1-mesa-dri libopengl0; "
            "or install libosmesa6 and set MUJOCO_GL=osmesa"
        ) from error


class Renderer:
    """Draws states. It belongs to the thread that made it; use it as a context manager or call close().

    role: "static" or "wrist" ("overview": a view of the whole rig, for documents). width, height in pixels. quality: "live", or with
    soft shadows and smooth edges "film" and "fine". props: what lies on the table, as the Twin whose states are drawn has it.
    """

    def __init__(self, role: str, width: int, height: int, quality: str = "live", props: Props = STANDARD):
        import mujoco

        if role not in cameras.VERTICAL_FOV:
            raise ValueError(f"no camera '{role}': roles are {', '.join(cameras.VERTICAL_FOV)}")
        if width < 1 or height < 1:
            raise ValueError(f"image size {width}x{height}: both must be at least one pixel")
        self.role, self.width, self.height = role, int(width), int(height)
        self._mujoco, self._thread = mujoco, threading.get_ident()
        self._gl = _context(self.width, self.height)
        self._gl.make_current()
        self.model = scene.build(props, width=self.width, height=self.height, **QUALITY[quality])
        self._data = mujoco.MjData(self.model)
        self._scene = mujoco.MjvScene(self.model, maxgeom=400)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [1, 1, 1, 0, 0, 0]
        self._option.sitegroup[:] = 0
        self._perturb = mujoco.MjvPerturb()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = self.model.camera(role).id
        self._drawing = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._drawing)
        self._window = mujoco.MjrRect(0, 0, self.width, self.height)
        self._soft = SOFT_SHADOWS[quality]
        self._dresser, self._look = Dresser(self.model), STANDARD_LOOK
        self._cabinet = self.model.body("cabinet").id

    @property
    def intrinsics(self) -> np.ndarray:
        """3x3 camera matrix in pixels for this size."""
        matrix = cameras.intrinsics(self.role, self.width, self.height)
        if self._offset.fov != 1.0:
            half = 0.5 * cameras.VERTICAL_FOV[self.role]
            matrix[[0, 1], [0, 1]] *= np.tan(half) / np.tan(half * self._offset.fov)
        return matrix

    def look(self, look: Look) -> None:
        """Draws from now on with this look; look.STANDARD is the scene as it is."""
        self._check()
        if look == self._look:
            return
        self._look = look
        self._dresser.apply(look)
        self._gl.make_current()
        self._mujoco.mjr_uploadTexture(self.model, self._drawing, self._dresser.sky)

    def pose(self, state) -> Pose:
        """Where the camera is for a state: its optical frame (z forwards, x right, y down) in the arm's base frame."""
        self._place(state)
        camera = self._camera.fixedcamid
        turned = self._data.cam_xmat[camera].reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
        return Pose(self._data.cam_xpos[camera].copy(), Rotation.from_matrix(turned).as_quat())

    def render(self, state) -> np.ndarray:
        """State vector (Twin.state()) -> u8[height, width, 3] RGB, a new array."""
        self._check()
        mujoco = self._mujoco
        self._place(state)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self.model,
            self._data,
            self._option,
            self._perturb,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._look.shadows
        return self._draw()[::-1].copy()

    def _check(self) -> None:
        if self._gl is None:
            raise RuntimeError("this Renderer is closed: make a new one")
        if threading.get_ident() != self._thread:
            raise RuntimeError("a Renderer draws only in the thread that made it: make one there")

    @property
    def _offset(self) -> Offset:
        return {"static": self._look.static, "wrist": self._look.wrist}.get(self.role, Offset())

    def _place(self, state) -> None:
        view = View(state)
        self.model.body_pos[self._cabinet, :2] = view.cabinet
        self._data.qpos[:] = view.qpos
        self._mujoco.mj_kinematics(self.model, self._data)
        self._mujoco.mj_camlight(self.model, self._data)

    def _draw(self) -> np.ndarray:
        count, radius = self._soft
        image, total = np.empty((self.height, self.width, 3), np.uint8), None
        key = next(light for light in self._scene.lights if light.castshadow)
        towards = np.array(key.dir, np.float64)
        for index in range(count):
            # A sunflower's spiral covers the disc evenly; with one picture it is the centre.
            turn, far = index * np.pi * (3 - 5**0.5), radius * np.sqrt(index / count)
            moved = towards + far * np.array([np.cos(turn), np.sin(turn), 0.0])
            key.dir[:] = moved / np.linalg.norm(moved)
            self._mujoco.mjr_render(self._window, self._scene, self._drawing)
            self._mujoco.mjr_readPixels(image, None, self._window, self._drawing)
            if count == 1:
                return image
            total = image.astype(np.float32) if total is None else total + image
        return (total / count + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Frees the GL context; harmless when called again."""
        if self._gl is not None:
            self._drawing.free()
            self._gl.free()
            self._gl = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_) -> None:
        self.close()
