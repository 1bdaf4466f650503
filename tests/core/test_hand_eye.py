"""Where a camera is on the arm, from poses of the hand and of a board."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core import hand_eye
from gr1_core.pose import Pose

CAMERA = Pose(np.array([0.03, -0.07, -0.05]), Rotation.from_euler("xyz", [0.2, -0.3, 1.4]).as_quat())
INTRINSICS = (600.0, 600.0, 320.0, 240.0)


def compose(one: Pose, other: Pose) -> Pose:
    return Pose(one.position + one.rotation.apply(other.position), (one.rotation * other.rotation).as_quat())


def inverse(pose: Pose) -> Pose:
    turn = pose.rotation.inv()
    return Pose(turn.apply(-pose.position), turn.as_quat())


def hands(count: int, seed: int = 0) -> list[Pose]:
    random = np.random.default_rng(seed)
    return [
        Pose(
            random.uniform([0.3, -0.2, 0.2], [0.6, 0.2, 0.4]),
            (Rotation.from_euler("x", np.pi) * Rotation.from_rotvec(random.uniform(-0.5, 0.5, 3))).as_quat(),
        )
        for _ in range(count)
    ]


def test_a_camera_on_the_hand_is_found():
    board = Pose(np.array([0.5, 0.0, 0.01]), Rotation.from_euler("z", 0.4).as_quat())
    moved = hands(12)
    seen = [compose(inverse(compose(hand, CAMERA)), board) for hand in moved]
    found = hand_eye.solve(moved, seen)
    np.testing.assert_allclose(found.camera.position, CAMERA.position, atol=1e-6)
    assert (found.camera.rotation * CAMERA.rotation.inv()).magnitude() < 1e-6 and found.residual < 1e-6


def test_a_standing_camera_is_found():
    camera = Pose(np.array([1.0, 0.1, 0.7]), Rotation.from_euler("xyz", [-2.2, 0.1, 1.5]).as_quat())
    on_hand = Pose(np.array([0.0, 0.02, 0.06]), Rotation.from_euler("x", 0.3).as_quat())
    moved = hands(12, seed=1)
    seen = [compose(inverse(camera), compose(hand, on_hand)) for hand in moved]
    found = hand_eye.solve(moved, seen, on_hand=False)
    np.testing.assert_allclose(found.camera.position, camera.position, atol=1e-6)
    assert (found.camera.rotation * camera.rotation.inv()).magnitude() < 1e-6


def test_too_few_and_too_similar_poses_are_refused():
    board = Pose(np.array([0.5, 0.0, 0.01]))
    moved = hands(5)
    with pytest.raises(hand_eye.HandEyeError, match="seen at 5 poses, at least 6"):
        hand_eye.solve(moved, [board] * 5)
    flat = [
        Pose(hand.position, Rotation.from_euler("z", 0.2 * i).as_quat()) for i, hand in enumerate(hands(8))
    ]
    with pytest.raises(hand_eye.HandEyeError, match="about one axis only"):
        hand_eye.solve(flat, [board] * 8)


def test_the_boards_pose_is_seen_in_an_image():
    """The board's own image, warped as a camera would see it."""
    scale = 4000.0  # pixels of the board's image for a metre
    size = tuple(int(scale * hand_eye.SQUARE_M * count) for count in hand_eye.SQUARES)
    flat = hand_eye.board().generateImage(size, marginSize=0)
    turn, place = Rotation.from_euler("xyz", [0.3, -0.2, 0.1]), np.array([-0.1, -0.06, 0.4])
    matrix = np.array([[600, 0, 320], [0, 600, 240], [0, 0, 1.0]])
    onto = matrix @ np.column_stack([turn.as_matrix()[:, :2] / scale, place])
    image = cv2.warpPerspective(flat, onto, (640, 480), borderValue=128)
    seen = hand_eye.see_board(np.repeat(image[..., None], 3, -1), INTRINSICS)
    np.testing.assert_allclose(seen.position, place, atol=1e-3)
    assert np.degrees((seen.rotation * turn.inv()).magnitude()) < 0.5
    assert hand_eye.see_board(np.full((480, 640, 3), 128, np.uint8), INTRINSICS) is None
