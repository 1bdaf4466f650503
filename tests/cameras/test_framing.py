"""From a camera's image and lens to the rig's."""

import cv2
import numpy as np
import pytest

from gr1_robot.cameras.framing import Framing, choose_size
from gr1_robot.cameras.lens_model import fit_plumb_bob

D435 = [(320, 180), (320, 240), (424, 240), (640, 360), (640, 480), (848, 480), (1280, 720), (1920, 1080)]
MATRIX = np.array([[900.0, 0, 644.0], [0, 905.0, 355.0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ((640, 360), (640, 360)),
        ((320, 240), (320, 240)),
        ((600, 450), (640, 480)),
        ((200, 200), (320, 240)),
        ((500, 281), (640, 360)),
        ((960, 540), (1280, 720)),
        ((1920, 1200), None),
    ],
)
def test_the_smallest_size_that_covers_the_rigs_is_chosen(wanted, chosen):
    assert choose_size(D435, *wanted) == chosen


def test_the_native_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    framing = Framing((640, 360), (640, 360))
    assert framing.image(image) is image and framing.intrinsics(MATRIX) is MATRIX and str(framing) == ""


@pytest.mark.parametrize("wanted", [(640, 360), (640, 480), (84, 84), (333, 201)])
def test_a_point_of_the_scene_lands_where_the_new_lens_says(wanted):
    framing = Framing((1280, 720), wanted)
    rays = np.array([[x, y, 1.0] for x, y in ((-0.2, 0.05), (0.2, 0.25))])
    for ray in rays:
        u, v = (MATRIX @ ray)[:2]
        y, x = np.mgrid[:720, :1280]
        blob = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 6.0**2))
        image = framing.image(np.repeat(blob[..., None], 3, 2).astype(np.uint8)).astype(float)[..., 0]
        assert image.shape == wanted[::-1]
        rows, columns = np.mgrid[: wanted[1], : wanted[0]]
        centre = [(image * axis).sum() / image.sum() for axis in (columns, rows)]
        assert (framing.intrinsics(MATRIX) @ ray)[:2] == pytest.approx(centre, abs=0.1)


def test_a_lens_of_this_very_model_is_found_exactly():
    true = (0.1, -0.05, 0.001, -0.002, 0.01)

    def ray(u, v):
        """By iteration, until it is exact: x = x' less the distortion at x."""
        seen = np.array([(u - MATRIX[0, 2]) / MATRIX[0, 0], (v - MATRIX[1, 2]) / MATRIX[1, 1]])
        x, y = seen
        for _ in range(100):
            distorted = cv2.projectPoints(
                np.array([[x, y, 1.0]]), np.zeros(3), np.zeros(3), np.eye(3), np.array(true)
            )[0][0, 0]
            x, y = (x, y) + seen - distorted
        return x, y

    found, error = fit_plumb_bob(MATRIX, 1280, 720, ray)
    assert found == pytest.approx(true, abs=1e-5) and error < 1e-4


def test_an_inverse_model_is_met_within_a_fraction_of_a_pixel():
    k1, k2, t1, t2, k3 = -0.055, 0.066, 0.0005, -0.0008, -0.021  # as a D455 reports

    def ray(u, v):
        """Inverse Brown-Conrady: the polynomial takes the distortion away instead of making it."""
        x, y = (u - MATRIX[0, 2]) / MATRIX[0, 0], (v - MATRIX[1, 2]) / MATRIX[1, 1]
        r2 = x * x + y * y
        f = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        return x * f + 2 * t1 * x * y + t2 * (r2 + 2 * x * x), y * f + 2 * t2 * x * y + t1 * (r2 + 2 * y * y)

    found, error = fit_plumb_bob(MATRIX, 1280, 720, ray)
    pixels = np.array([[u, v] for u in np.linspace(0, 1279, 20) for v in np.linspace(0, 719, 20)])
    rays = np.array([(*ray(*pixel), 1.0) for pixel in pixels])
    seen = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), MATRIX, np.array(found))[0][:, 0]
    worst = np.linalg.norm(seen - pixels, axis=1).max()
    undistorted = (rays @ MATRIX.T)[:, :2]
    assert worst < 0.1 < 5 < np.linalg.norm(undistorted - pixels, axis=1).max() and error == pytest.approx(
        worst, abs=0.05
    )
