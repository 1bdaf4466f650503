"""The rig: units, conventions, refusals."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from gr1_core import rig_guide
from gr1_core.cli import main
from gr1_core.renamed import RIG_KEYS
from gr1_core.rig import Rig, RigError, built_in

KINOVA, CALVIN = Rig.load("kinova_gen2"), Rig.load("calvin")


@pytest.mark.parametrize("name", built_in())
def test_a_rig_survives_its_file(tmp_path, name):
    Rig.load(name).save(tmp_path / "rig.yaml")
    assert Rig.load(tmp_path / "rig.yaml") == Rig.load(name)
    assert pickle.loads(pickle.dumps(Rig.load(name))) == Rig.load(name)


def test_one_unit_of_kinovas_action_is_the_vendors_speed():
    linear, angular = KINOVA.twist([1, 0, 0, 0, 0, 1], KINOVA.arm_state([0.4, 0, 0.2], [1, 0, 0, 0]))
    assert np.allclose(linear, [0.2, 0, 0]) and np.allclose(angular, [0, 0, 1.0])


def test_calvins_relative_action_adds_euler_angles():
    arm = np.array([0.1, -0.2, 0.5, 3.0, -0.1, 1.4])
    delta = np.array([0.5, -1.0, 0.2, 0.7, -0.3, 0.9])
    linear, angular = CALVIN.twist(delta, arm)
    assert np.allclose(linear * CALVIN.period, delta[:3] * 0.02)
    after = Rotation.from_rotvec(angular * CALVIN.period) * Rotation.from_euler("xyz", arm[3:])
    expected = Rotation.from_euler("xyz", arm[3:] + delta[3:] * 0.05)
    assert (after * expected.inv()).magnitude() < 1e-12


def test_the_hand_pointing_down_is_far_from_the_angles_edge():
    assert np.allclose(KINOVA.arm_state([1, 2, 3], [1, 0, 0, 0]), [1, 2, 3, 0, 0, 0])
    turned = Rotation.from_euler("z", 0.3) * Rotation.from_quat([1, 0, 0, 0])
    assert np.allclose(KINOVA.arm_state([0, 0, 0], turned.as_quat())[3:], [0, 0, 0.3])


def test_the_view_is_the_centred_square_and_shares_the_pixels():
    image = np.arange(360 * 640 * 3, dtype=np.uint32).astype(np.uint8).reshape(360, 640, 3)
    view = KINOVA.cameras["static"].view(image)
    assert (
        view.shape == (360, 360, 3)
        and np.shares_memory(view, image)
        and np.array_equal(view, image[:, 140:500])
    )


def test_a_rig_that_means_something_else_is_refused_and_the_difference_named():
    with pytest.raises(
        RigError, match="of policy does not fit .* action.translation_scale is 0.05 there, 0.02 here"
    ):
        KINOVA.require_same(
            dataclasses.replace(KINOVA, action=dataclasses.replace(KINOVA.action, translation_scale=0.05)),
            "policy",
        )
    # Limits and ages belong to the place, not to the model.
    KINOVA.require_same(
        dataclasses.replace(KINOVA, limits=dataclasses.replace(KINOVA.limits, linear_speed=0.1))
    )


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda r: r.update(control_hz=0), "control_hz is 0, expected a finite number above 0"),
        (lambda r: r.update(control_hertz=10), "control_hertz is unknown, did you mean 'control_hz'"),
        (lambda r: r.pop("action"), "missing action"),
        (lambda r: r["cameras"].pop("static"), "missing cameras.static"),
        (
            lambda r: r["cameras"]["wrist"].update(crop="middle"),
            "crop is 'middle', expected 4 whole numbers in brackets or square or none",
        ),
        (lambda r: r["cameras"]["wrist"].update(width=3.5), "width is 3.5, expected a whole number above 0"),
        (lambda r: r["limits"].update(force=float("nan")), "force is nan, expected a finite number above 0"),
        (
            lambda r: r["limits"].update(workspace_min=[0, 0]),
            r"workspace_min is \[0, 0\], expected 3 finite numbers",
        ),
        (lambda r: r["limits"].update(workspace_min=[9, 9, 9]), "below workspace_max"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, change, said):
    raw = KINOVA.to_dict()
    change(raw)
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(RigError, match=said):
        Rig.load(tmp_path / "rig.yaml")


@pytest.mark.parametrize("old", RIG_KEYS)
def test_a_key_of_an_older_file_is_refused_with_its_new_name(old):
    raw = KINOVA.to_dict()
    part, name = old.split(".")
    raw[part][name] = 0.1
    with pytest.raises(RigError, match=f"{old} is now called {RIG_KEYS[old]}"):
        Rig.from_dict(raw)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RigError, match="calvin, kinova_gen2"):
        Rig.load("kuka")


@pytest.mark.parametrize("name", ["kinova_gen2", "calvin"])
def test_an_action_made_of_a_twist_is_the_one_that_gave_the_twist(name):
    rig, rng = Rig.load(name), np.random.default_rng(0)
    for _ in range(50):
        arm, delta = rng.uniform(-1.2, 1.2, 6), rng.uniform(-1, 1, 6)
        np.testing.assert_allclose(rig.delta(*rig.twist(delta, arm), arm), delta, atol=1e-12)


def test_the_state_vector_is_pose_and_the_grippers_last_command():
    rig = Rig.load("kinova_gen2")
    pose = (0.4, -0.1, 0.2), (1.0, 0.0, 0.0, 0.0)
    assert rig.state_vector(*pose, 0.0).dtype == np.float32
    assert rig.state_vector(*pose, 0.0).tolist() == [*np.float32(rig.arm_state(*pose)), 1.0]
    assert rig.state_vector(*pose, 1.0)[6] == -1.0


def test_obstacles_and_parts_have_names_of_their_own_and_belong_to_the_place():
    raw = KINOVA.to_dict()
    raw["obstacles"] = {"crate": {"min": [0.5, 0.2, 0.0], "max": [0.7, 0.5, 0.3]}}
    raw["body"] = {"lamp": {"joint": 4, "start": [0, 0, 0], "end": [0, 0.1, 0], "radius": 0.03}}
    rig = Rig.from_dict(raw)
    assert rig.obstacles["crate"].max == (0.7, 0.5, 0.3) and rig.body["lamp"].joint == 4
    assert Rig.from_dict(rig.to_dict()) == rig
    rig.require_same(KINOVA)
    raw["obstacles"]["crate"]["max"] = [0.7, 0.1, 0.3]
    with pytest.raises(RigError, match=r"obstacles\.crate\.min must be below its max"):
        Rig.from_dict(raw)
    raw["obstacles"] = ["crate"]
    with pytest.raises(RigError, match="obstacles is .*, expected names, each with keys and values"):
        Rig.from_dict(raw)


def changed(**fields):
    """kinova_gen2's rig as a dictionary, with `static` fields of its camera and fields of its state."""
    raw = Rig.load("kinova_gen2").to_dict()
    raw["cameras"]["static"] |= fields.get("static", {})
    raw["state"] |= fields.get("state", {})
    return raw


def test_a_crop_box_is_the_part_that_the_model_sees():
    rig = Rig.from_dict(changed(static={"crop": [200, 10, 300, 320]}))
    frame = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    assert np.array_equal(rig.cameras["static"].view(frame), frame[10:330, 200:500])
    assert Rig.from_dict(rig.to_dict()) == rig


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"static": {"crop": [200, 0, 500, 360]}}, "is not inside 640x360"),
        ({"static": {"crop": [0, 0, 0, 360]}}, "is not inside 640x360"),
        ({"static": {"crop": [0, 0, 360]}}, "expected 4 whole numbers in brackets or square or none"),
        ({"static": {"crop": [0.5, 0, 360, 360]}}, "expected 4 whole numbers in brackets or square or none"),
        ({"state": {"reference": [1, 1, 0, 0]}}, "of length 1.414: it must be 1"),
    ],
)
def test_a_box_outside_the_frame_and_a_quaternion_that_is_none_are_refused(fields, said):
    with pytest.raises(RigError, match=re.escape(said)):
        Rig.from_dict(changed(**fields))


def test_ages_that_break_the_stop_budget_are_named_with_what_remains():
    assert Rig.load("kinova_gen2").stop_problems() == []
    late = Rig.from_dict(changed(static={"max_age": 0.3}, state={"max_age": 0.191}))
    said = late.stop_problems()
    assert len(said) == 2 and "cameras.static.max_age 0.3 s" in said[0] and "state.max_age" in said[1]
    assert "at most 0.19 s" in said[0]
    slow = dataclasses.replace(late, control_hz=5.0).stop_problems()
    assert "1.5 control periods (control_hz 5) 0.3 s" in slow[-1]


def test_a_new_rig_explains_every_field_and_keeps_the_speed_of_a_unit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    sizes = "--static 1280x720 --static-crop 280,0,720,720 --wrist 424x240"
    assert main(f"rig new lab.yaml --control-hz 15 {sizes}".split()) == 0
    rig, usual = Rig.load("lab.yaml"), Rig.load("kinova_gen2")
    assert (rig.name, rig.control_hz, rig.cameras["static"].crop) == ("lab", 15.0, (280, 0, 720, 720))
    speeds = [one.action.translation_scale * one.control_hz for one in (rig, usual)]
    assert speeds[0] == pytest.approx(speeds[1], 1e-4) and rig.limits == usual.limits
    text = (tmp_path / "lab.yaml").read_text()
    said = " ".join(text.replace("#", " ").split())
    for field, meaning in rig_guide.FIELDS.items():
        assert (
            field in ("limits.max_tilt", "cameras.*.mount")
            or " ".join(meaning.split("{")[0].split()[:4]) in said
        )
    assert main(["rig", "check", "lab.yaml"]) == 0
    assert "one action unit: 0.2 m/s" in capsys.readouterr().out
    assert main(["rig", "new", "lab.yaml"]) == 2 and "is there already" in capsys.readouterr().err
    (tmp_path / "lab.yaml").write_text(text.replace("max_age: 0.15", "max_age: 0.2", 1))
    assert main(["rig", "check", "lab.yaml"]) == 2
    assert "cameras.static.max_age 0.2 s" in capsys.readouterr().err
