"""Where a camera is on the arm, from a recording in which it sees a ChArUco board at several poses.

    python -m gr1_core.hand_eye BAG --role wrist --intrinsics FX FY CX CY

wrist: the camera is on the hand, the board lies still. static: the camera stands still, the board is in the
hand. Guide: docs/how-to/calibrate_camera_mounts.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from gr1_core.pose import Pose

SQUARES, SQUARE_M, MARKER_M = (7, 5), 0.030, 0.022
FEWEST_POSES, FEWEST_CORNERS = 6, 6
_TURN_M = 0.1
"""m that an error of one radian counts."""
_STILL_M, _APART_M, _APART_RAD = 5e-4, 0.02, 0.1


class HandEyeError(ValueError):
    """A recording from which no camera can be calibrated; the message says what to record."""


@dataclass(frozen=True)
class Calibration:
    """camera: pose of the optical frame on the hand or on the base. residual: RMS of the board's place, m."""

    camera: Pose
    residual: float
    poses: int


def solve(hands: Sequence[Pose], boards: Sequence[Pose], on_hand: bool = True) -> Calibration:
    """hands: of the hand in the base frame. boards: of the board in the camera's frame at the same moments.

    on_hand: the camera is on the hand, the board still; else the camera is still, the board in the hand.
    Raises HandEyeError for too few or too similar poses.
    """
    if len(hands) < FEWEST_POSES:
        raise HandEyeError(f"the board was seen at {len(hands)} poses, at least {FEWEST_POSES} are needed")
    places, turns = _stack(hands)
    if not on_hand:
        turns = turns.inv()
        places = turns.apply(-places)
    axes = (turns[1:] * turns[0].inv()).as_rotvec()
    spread = np.linalg.svd(axes, compute_uv=False)
    if spread[1] < 0.2:
        raise HandEyeError(
            "the hand was turned about one axis only, from which no place of the camera follows: tilt it to "
            "several sides"
        )
    seen_places, seen_turns = _stack(boards)

    def errors(guess: np.ndarray) -> np.ndarray:
        camera_turn, board_turn = Rotation.from_rotvec(guess[3:6]), Rotation.from_rotvec(guess[9:12])
        found = turns * camera_turn
        off = places + turns.apply(guess[:3]) + found.apply(seen_places) - guess[6:9]
        turned = (board_turn.inv() * found * seen_turns).as_rotvec()
        return np.concatenate([off.ravel(), _TURN_M * turned.ravel()])

    best = min(
        (least_squares(errors, start) for start in _starts(places, turns, seen_places, seen_turns)),
        key=lambda result: result.cost,
    )
    off = errors(best.x)[: 3 * len(hands)].reshape(-1, 3)
    camera = Pose(best.x[:3], Rotation.from_rotvec(best.x[3:6]).as_quat())
    return Calibration(camera, float(np.sqrt((off**2).sum(1).mean())), len(hands))


def _starts(places, turns, seen_places, seen_turns):
    """Guesses: the camera turned to each of 24 orientations; the board where the first pose then sees it."""
    for turn in Rotation.create_group("O"):
        found = turns[0] * turn
        board = (found * seen_turns[0]).as_rotvec()
        place = places[0] + found.apply(seen_places[0])
        yield np.concatenate([np.zeros(3), turn.as_rotvec(), place, board])


def _stack(poses: Sequence[Pose]) -> tuple[np.ndarray, Rotation]:
    return (
        np.array([pose.position for pose in poses]),
        Rotation.from_quat([pose.quaternion for pose in poses]),
    )


def board():
    """The ChArUco board of the guide, OpenCV's."""
    import cv2

    markers = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    return cv2.aruco.CharucoBoard(SQUARES, SQUARE_M, MARKER_M, markers)


def see_board(image: np.ndarray, intrinsics: Sequence[float]) -> Pose | None:
    """image: u8[h, w, 3] RGB. intrinsics: fx, fy, cx, cy in pixels -> the board in the camera's frame."""
    import cv2

    made = board()
    corners, ids, _, _ = cv2.aruco.CharucoDetector(made).detectBoard(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    if ids is None or len(ids) < FEWEST_CORNERS:
        return None
    points, pixels = made.matchImagePoints(corners, ids)
    fx, fy, cx, cy = intrinsics
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    found, turn, place = cv2.solvePnP(points, pixels, matrix, np.zeros(5))
    return Pose(place.ravel(), Rotation.from_rotvec(turn.ravel()).as_quat()) if found else None


def resting_poses(bag, role: str, intrinsics: Sequence[float]) -> tuple[list[Pose], list[Pose]]:
    """Hands and boards of a bag's moments of rest that are apart from each other."""
    from gr1_core.data.steps import read_steps

    hands, boards, before = [], [], None
    reference = Rotation.from_quat(bag.rig.state.reference)
    for step in read_steps(bag):
        place = step.state[:3].astype(np.float64)
        turn = Rotation.from_euler("xyz", step.state[3:6]) * reference
        resting = before is not None and np.linalg.norm(place - before) < _STILL_M
        before = place
        if not resting or not _is_new(place, turn, hands):
            continue
        frame = step.wrist if role == "wrist" else step.static
        if (seen := see_board(frame.image(), intrinsics)) is not None:
            hands.append(Pose(place, turn.as_quat()))
            boards.append(seen)
    return hands, boards


def _is_new(place: np.ndarray, turn: Rotation, hands: list[Pose]) -> bool:
    return all(
        np.linalg.norm(place - one.position) > _APART_M
        or (turn * one.rotation.inv()).magnitude() > _APART_RAD
        for one in hands
    )


def main(argv: list[str] | None = None) -> int:
    from gr1_core.data.bag import Bag, BagError

    parser = argparse.ArgumentParser(prog="python -m gr1_core.hand_eye", description=__doc__.splitlines()[0])
    parser.add_argument("bag", help="recording of resting poses before the board")
    parser.add_argument(
        "--role", choices=("wrist", "static"), default="wrist", help="camera (default: wrist)"
    )
    parser.add_argument(
        "--intrinsics", nargs=4, type=float, required=True, metavar=("FX", "FY", "CX", "CY"),
        help="of the recorded images, pixels: `k` of the camera's camera_info",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    try:
        poses = resting_poses(Bag(arguments.bag), arguments.role, arguments.intrinsics)
        found = solve(*poses, on_hand=arguments.role == "wrist")
    except (HandEyeError, BagError, ValueError) as error:
        print(f"hand_eye: {error}", file=sys.stderr)
        return 1
    on = "hand" if arguments.role == "wrist" else "base"
    position, quaternion = (np.round(part, 5).tolist() for part in found.camera)
    print(
        f"{found.poses} poses, residual {1e3 * found.residual:.1f} mm; in the rig, cameras.{arguments.role}:"
    )
    print(f"mount: {{on: {on}, position: {position}, quaternion: {quaternion}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
