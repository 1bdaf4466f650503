"""Any lens model as ROS's plumb_bob. ROS-free."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_GRID = 15  # points per side, for the fit


def fit_plumb_bob(
    matrix: np.ndarray, width: int, height: int, ray: Callable[[float, float], tuple[float, float]]
) -> tuple[tuple[float, ...], float]:
    """The plumb_bob coefficients (k1, k2, t1, t2, k3) nearest to a lens, and the largest error in pixels on a
    grid over the image.

    matrix f64[3, 3] in pixels; ray(u, v): the undistorted viewing ray of a pixel, as x/z and y/z. plumb_bob
    (OpenCV's five coefficients) distorts a ray and is linear in its coefficients: fitting a model that has an
    inverse is linear least squares: x' = x (1 + k1 r2 + k2 r4 + k3 r6) + 2 t1 x y + t2 (r2 + 2 x2),   y' = y
    (...) + t1 (r2 + 2 y2) + 2 t2 x y
    """
    focal, centre = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    pixels = np.array(
        [(u, v) for v in np.linspace(0, height - 1, _GRID) for u in np.linspace(0, width - 1, _GRID)]
    )
    x, y = np.array([ray(u, v) for u, v in pixels]).T
    r2 = x * x + y * y
    horizontal = np.stack([x * r2, x * r2**2, 2 * x * y, r2 + 2 * x * x, x * r2**3], 1)
    vertical = np.stack([y * r2, y * r2**2, r2 + 2 * y * y, 2 * x * y, y * r2**3], 1)
    moved = (pixels - centre) / focal - np.stack([x, y], 1)
    system = np.concatenate([focal[0] * horizontal, focal[1] * vertical])
    wanted = np.concatenate([focal[0] * moved[:, 0], focal[1] * moved[:, 1]])
    coefficients = np.linalg.lstsq(system, wanted, rcond=None)[0]
    error = (system @ coefficients - wanted).reshape(2, -1)
    return tuple(float(value) for value in coefficients), float(np.hypot(*error).max())
