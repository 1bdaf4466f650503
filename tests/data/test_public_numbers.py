"""LeRobotDatasets whose numbers are of other kinds: types, parametrisations of rotations, frames of
motions.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core.rig import Rig

from .public_lerobot import make


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float64"])
def test_a_gripper_of_any_number_type(tmp_path, read_lerobot, dtype):
    root = make(
        tmp_path / "set",
        columns=lambda c, e: c | {"grip": (np.array(c["observation.state"])[:, 7] > 0.5).astype(dtype)},
        features={"grip": {"dtype": dtype, "shape": [1], "names": None}},
    )
    (first, _), lost = read_lerobot(root, {"state.gripper": {"feature": "grip", "open_above": 0.5}})
    assert not lost and first.state[:, 6].tolist() == [1.0] * 6 + [-1.0] * 6


TURNS = Rotation.from_euler("xyz", np.random.default_rng(1).uniform(-1, 1, (12, 3)))
FORMS = {
    "quaternion_xyzw": TURNS.as_quat(),
    "quaternion_wxyz": np.roll(TURNS.as_quat(), 1, axis=1),
    "rotation_vector": TURNS.as_rotvec(),
    "axis_angle": np.column_stack([TURNS.as_rotvec() / TURNS.magnitude()[:, None], TURNS.magnitude()]),
    "matrix": TURNS.as_matrix().reshape(12, 9),
    "rotation_6d_columns": TURNS.as_matrix()[:, :, :2].transpose(0, 2, 1).reshape(12, 6),
    "rotation_6d_rows": TURNS.as_matrix()[:, :2].reshape(12, 6),
    "euler_xyz": TURNS.as_euler("xyz"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", ["state", "delta"])
def test_rotations_in_all_forms(tmp_path, read_lerobot, form, part):
    values = FORMS[form]
    root = make(
        tmp_path / "set",
        lengths=(12,),
        columns=lambda c, e: c | {"turn": list(values.astype(np.float32))},
        features={"turn": {"dtype": "float32", "shape": [values.shape[1]], "names": None}},
    )
    turn = {"feature": "turn", "as": form}
    delta = {"kind": "delta", "position": {"feature": "action", "take": [0, 1, 2]}, "rotation": turn}
    delta["gripper"] = {"feature": "action", "take": [7], "open_above": 0.5}
    (episode,), lost = read_lerobot(root, {"state.rotation": turn} if part == "state" else {"action": delta})
    assert not lost
    rig = Rig.load("kinova_gen2")
    if part == "state":
        right = [rig.arm_state(np.zeros(3), turn.as_quat())[3:] for turn in TURNS]
        np.testing.assert_allclose(episode.state[:, 3:6], right, atol=1e-5)
    else:
        np.testing.assert_allclose(
            episode.action[:, 3:6] * rig.action.rotation_scale, TURNS.as_rotvec(), atol=1e-5
        )


@pytest.mark.parametrize(
    "form, values", [("quaternion_wxyz", [0.1, 0, 0, 0]), ("matrix", [2, 0, 0, 0, 2, 0, 0, 0, 2])]
)
def test_numbers_that_are_no_rotation_are_named(tmp_path, read_lerobot, form, values):
    root = make(
        tmp_path / "set",
        columns=lambda c, e: c | {"turn": [np.array(values, np.float32)] * len(c["action"])},
        features={"turn": {"dtype": "float32", "shape": [len(values)], "names": None}},
    )
    episodes, lost = read_lerobot(root, {"state.rotation": {"feature": "turn", "as": form}})
    assert not episodes and "turn: at frame 0" in lost[0].reason


def test_motions_in_the_hands_frame(tmp_path, read_lerobot):
    """The same motions, given in the frame of the hand: 180 degrees about x, and further turned."""
    turns = Rotation.from_euler("xyz", np.random.default_rng(2).uniform(-1, 1, (12, 3)))
    move, twist = np.full((12, 3), [0.001, 0.002, 0.003]), np.full((12, 3), [0.01, 0.02, 0.03])
    in_hand = np.column_stack([turns.inv().apply(move), turns.inv().apply(twist)])

    def with_motion(values):
        def change(columns, episode):
            return columns | {"turn": list(turns.as_quat()), "motion": list(values)}

        return change

    features = {"turn": {"dtype": "float64", "shape": [4], "names": None}}
    features |= {"motion": {"dtype": "float64", "shape": [6], "names": None}}
    action = {"kind": "delta", "position": {"feature": "motion", "take": [0, 1, 2]}}
    action |= {"rotation": {"feature": "motion", "take": [3, 4, 5], "as": "rotation_vector"}}
    action |= {"gripper": {"feature": "action", "take": [7], "open_above": 0.5}}
    changes = {"state.rotation": {"feature": "turn", "as": "quaternion_xyzw"}}
    found = []
    for name, values, frame in (
        ("base", np.column_stack([move, twist]), {}),
        ("hand", in_hand, {"frame": "hand"}),
    ):
        root = make(tmp_path / name, lengths=(12,), columns=with_motion(values), features=features)
        (episode,), _ = read_lerobot(root, changes | {"action": action | frame})
        found.append(episode.action)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
