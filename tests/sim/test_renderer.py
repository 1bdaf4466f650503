"""The cameras: published intrinsics that fit the pixels, and images that depend on the state alone."""

import hashlib
import math
import subprocess
import sys
import threading

import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.sim import Renderer, Twin
from gr1_core.sim.state import StateView

SIZES = {role: (camera.width, camera.height) for role, camera in Rig.load("kinova_gen2").cameras.items()}


@pytest.fixture(scope="module")
def twin():
    return Twin()


@pytest.fixture(scope="module")
def renderers():
    made = {role: Renderer(role, *size) for role, size in SIZES.items()}
    yield made
    for renderer in made.values():
        renderer.close()


@pytest.mark.parametrize("role", SIZES)
def test_an_image_has_the_rigs_size_and_depends_on_the_state_alone(twin, renderers, role):
    twin.reset("put_eggplant_on_plate", 3)
    state = twin.state()
    first = renderers[role].render(state)
    width, height = SIZES[role]
    assert first.shape == (height, width, 3) and first.dtype == np.uint8
    twin.reset("close_drawer", 4)
    assert (renderers[role].render(twin.state()) != first).mean() > 0.01
    np.testing.assert_array_equal(renderers[role].render(state), first)
    assert first.std() > 20, "a image of nothing"


def test_two_processes_render_the_same_pixels(twin, renderers):
    code = """
import hashlib
from gr1_core.sim import Renderer, Twin
twin = Twin()
twin.reset("pick_bell_pepper", 11)
with Renderer("static", 640, 360) as renderer:
    print(hashlib.sha256(renderer.render(twin.state()).tobytes()).hexdigest())
"""
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    twin.reset("pick_bell_pepper", 11)
    assert hashlib.sha256(renderers["static"].render(twin.state()).tobytes()).hexdigest() == elsewhere


def test_intrinsics_are_the_published_fields_of_view(renderers):
    static, wrist = renderers["static"].intrinsics, renderers["wrist"].intrinsics
    # Azure Kinect, 720p: 90 x 59 degrees. D435 colour at 640x480: focal length 617 pixels, so 308.6 at half
    # the size.
    assert 2 * math.degrees(math.atan(320 / static[0, 0])) == pytest.approx(90, abs=0.5)
    assert 2 * math.degrees(math.atan(180 / static[1, 1])) == pytest.approx(59, abs=0.01)
    assert wrist[0, 0] == wrist[1, 1] == pytest.approx(308.6, abs=0.1)
    np.testing.assert_array_equal(static[:2, 2], [319.5, 179.5])
    np.testing.assert_array_equal(wrist[2], [0, 0, 1])


@pytest.mark.parametrize("role", SIZES)
def test_a_point_projects_onto_its_object(twin, renderers, role):
    """The red pepper is the only saturated red in the scene: its pixels lie around its projected centre."""
    twin.reset("pick_bell_pepper", 2)
    if role == "wrist":
        position = StateView(twin.state()).position("bell_pepper")
        for _ in range(250):
            reach = position + [0.0, 0.02, 0.20] - twin.commanded.position
            twin.tick(reach / max(1.0, np.linalg.norm(reach) / 0.15), np.zeros(3))
    state = twin.state()
    pose = renderers[role].pose(state)
    in_camera = pose.rotation.inv().apply(StateView(state).position("bell_pepper") - pose.position)
    u, v, w = renderers[role].intrinsics @ in_camera
    image = renderers[role].render(state).astype(int)
    red = (image[..., 0] > 90) & (image[..., 0] > 2.5 * image[..., 1]) & (image[..., 0] > 2.5 * image[..., 2])
    rows, columns = np.nonzero(red)
    size = renderers[role].intrinsics[0, 0] * 0.07 / w
    assert red.sum() > 0.2 * size**2, "the pepper cannot be seen"
    assert abs(columns.mean() - u / w) < 0.3 * size and abs(rows.mean() - v / w) < 0.3 * size


def test_wrong_arguments_are_refused(twin, renderers):
    with pytest.raises(ValueError, match="no camera 'side': roles are static, wrist"):
        Renderer("side", 64, 64)
    with pytest.raises(ValueError, match="0x64"):
        Renderer("static", 0, 64)
    with pytest.raises(ValueError, match="shape \\[3\\]"):
        renderers["static"].render(np.zeros(3))
    closed = Renderer("wrist", 32, 24)
    closed.close()
    closed.close()
    with pytest.raises(RuntimeError, match="closed"):
        closed.render(twin.state())


def test_a_renderer_belongs_to_its_thread(twin, renderers):
    caught = []

    def render():
        try:
            renderers["static"].render(twin.state())
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert caught and "thread that created it" in caught[0]
