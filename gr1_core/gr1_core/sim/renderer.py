"""Renders a simulator state from one of the cameras through EGL or OSMesa, without a window.

Without a GPU, shading dominates the time of an image. docs/explanation/simulation.md has the measured cost of
each effect that the quality "live" leaves out. The qualities "video" and "fine" are for documents.
"""

from __future__ import annotations

import os
import threading

import numpy as np

from gr1_core.pose import Pose
from gr1_core.sim import cameras, scene
from gr1_core.sim.appearance import STANDARD_APPEARANCE, Appearance, CameraOffset, DomainRandomizer
from gr1_core.sim.objects.catalogue import STANDARD_OBJECTS, ObjectSet
from gr1_core.sim.state import StateView

QUALITY = {  # arguments of scene.mjcf
    "live": {"shadow_size": 512, "samples": 0, "detail": 0.65},
    "video": {"shadow_size": 2048, "samples": 4, "detail": 1.2},
    "fine": {"shadow_size": 2048, "samples": 4, "detail": 1.6},
}
# Images averaged, with the key light at as many positions on a disc; radius of the disc as a slope
SOFT_SHADOWS = {"live": (1, 0.0), "video": (4, 0.035), "fine": (24, 0.055)}


def make_gl_context(width: int, height: int):
    """Creates an off-screen GL context: EGL, or what MUJOCO_GL names (osmesa, glfw). Raises RuntimeError
    without one.
    """
    # Mesa's software rasteriser starts a thread per core, which slows down the arm's loop beside it.
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
            f"no off-screen OpenGL through '{backend}': {error}. "
            "On Debian or Ubuntu: apt-get install libegl1 libgl1-mesa-dri libopengl0; "
            "or install libosmesa6 and set MUJOCO_GL=osmesa"
        ) from error


class Renderer:
    """Renders states with one camera. It works only in the thread that created it. A context manager.

    role: "static", "wrist", or "overview" (the whole rig, for documents). width, height: pixels. quality:
    "live", "video" or "fine"; the last two have soft shadows and smooth edges. objects: those of the Twin
    whose states are rendered. Raises ValueError for an unknown role or size, RuntimeError without off-screen
    OpenGL.
    """

    def __init__(
        self, role: str, width: int, height: int, quality: str = "live", objects: ObjectSet = STANDARD_OBJECTS
    ):
        import mujoco

        if role not in cameras.VERTICAL_FOV:
            raise ValueError(f"no camera '{role}': roles are {', '.join(cameras.VERTICAL_FOV)}")
        if width < 1 or height < 1:
            raise ValueError(f"image size {width}x{height}: both must be at least one pixel")
        self.role, self.width, self.height = role, int(width), int(height)
        self._mujoco, self._thread = mujoco, threading.get_ident()
        self._gl = make_gl_context(self.width, self.height)
        self._gl.make_current()
        self.model = scene.build(objects, width=self.width, height=self.height, **QUALITY[quality])
        self._data = mujoco.MjData(self.model)
        self._scene = mujoco.MjvScene(self.model, maxgeom=400)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [1, 1, 1, 0, 0, 0]
        self._option.sitegroup[:] = 0
        self._perturb = mujoco.MjvPerturb()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = self.model.camera(role).id
        self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._window = mujoco.MjrRect(0, 0, self.width, self.height)
        self._soft = SOFT_SHADOWS[quality]
        self._randomizer, self._appearance = DomainRandomizer(self.model), STANDARD_APPEARANCE
        self._cabinet = self.model.body("cabinet").id

    @property
    def intrinsics(self) -> np.ndarray:
        """Camera matrix f64[3, 3] in pixels for this image size and appearance."""
        matrix = cameras.intrinsics(self.role, self.width, self.height)
        if self._offset.fov != 1.0:
            half = 0.5 * cameras.VERTICAL_FOV[self.role]
            matrix[[0, 1], [0, 1]] *= np.tan(half) / np.tan(half * self._offset.fov)
        return matrix

    def set_appearance(self, appearance: Appearance) -> None:
        """Renders with this appearance from now on; STANDARD_APPEARANCE restores the scene."""
        self._require_usable()
        if appearance == self._appearance:
            return
        self._appearance = appearance
        self._randomizer.apply(appearance)
        self._gl.make_current()
        self._mujoco.mjr_uploadTexture(self.model, self._context, self._randomizer.sky)

    def pose(self, state) -> Pose:
        """Pose of the camera's optical frame (z forwards, x right, y down) in the base frame of the arm for a
        state.
        """
        from scipy.spatial.transform import Rotation

        self._load_state(state)
        camera = self._camera.fixedcamid
        turned = self._data.cam_xmat[camera].reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
        return Pose(self._data.cam_xpos[camera].copy(), Rotation.from_matrix(turned).as_quat())

    def render(self, state) -> np.ndarray:
        """Renders a state vector (Twin.state()) -> u8[height, width, 3] RGB, a new array.

        Raises RuntimeError when closed and in another thread, ValueError for a wrong state.
        """
        self._require_usable()
        mujoco = self._mujoco
        self._load_state(state)
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
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._appearance.shadows
        return self._draw_scene()[::-1].copy()

    def _require_usable(self) -> None:
        if self._gl is None:
            raise RuntimeError("this Renderer is closed: create a new one")
        if threading.get_ident() != self._thread:
            raise RuntimeError("a Renderer works only in the thread that created it: create one there")

    @property
    def _offset(self) -> CameraOffset:
        return {"static": self._appearance.static, "wrist": self._appearance.wrist}.get(
            self.role, CameraOffset()
        )

    def _load_state(self, state) -> None:
        view = StateView(state)
        self.model.body_pos[self._cabinet, :2] = view.cabinet
        self._data.qpos[:] = view.qpos
        self._mujoco.mj_kinematics(self.model, self._data)
        self._mujoco.mj_camlight(self.model, self._data)

    def _draw_scene(self) -> np.ndarray:
        count, radius = self._soft
        image, total = np.empty((self.height, self.width, 3), np.uint8), None
        key = next(light for light in self._scene.lights if light.castshadow)
        direction = np.array(key.dir, np.float64)
        for index in range(count):
            # A sunflower spiral covers the disc evenly; a single image uses its centre.
            angle, distance = index * np.pi * (3 - 5**0.5), radius * np.sqrt(index / count)
            moved = direction + distance * np.array([np.cos(angle), np.sin(angle), 0.0])
            key.dir[:] = moved / np.linalg.norm(moved)
            self._mujoco.mjr_render(self._window, self._scene, self._context)
            self._mujoco.mjr_readPixels(image, None, self._window, self._context)
            if count == 1:
                return image
            total = image.astype(np.float32) if total is None else total + image
        return (total / count + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Frees the GL context. May be called again."""
        if self._gl is not None:
            self._context.free()
            self._gl.free()
            self._gl = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_) -> None:
        self.close()
