"""`gr1 convert bags`: the dataset holds what was recorded, bit for bit; what does not fit is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.commands._convert import KEPT_LITTLE
from gr1_core.data import schemas
from gr1_core.data.bag import Bag, relabel_bag
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.dataset import Dataset
from gr1_core.rig import RigError
from tests.data.bag_fixture import Recording, demonstration
from tests.data.synthetic import files, tiny_rig


def converted(bags: Path, out: Path, **options) -> Dataset:
    convert(BagSource(bags, **options), out, workers=1, progress=False)
    return Dataset(out)


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_bit_exact_for_100_frames(tmp_path, kind):
    """Pixels of the dataset = pixels of the newest message at each command; state = rig.state_vector of its
    messages.
    """
    demonstration(1, 100, kind).save(tmp_path / "bags/a")
    data = converted(tmp_path / "bags", tmp_path / "set")
    assert data.length == 100
    rig, newest, row = tiny_rig(), {}, 0
    for message in Bag(tmp_path / "bags/a").messages():
        content = schemas.deserialize(message.type, message.data)
        if message.topic != "/command/policy/twist":
            newest[message.topic.removesuffix("/compressed")] = content
            continue
        for role in ("static", "wrist"):
            recorded = newest[f"/camera/{role}/image_raw"]
            if kind == "jpeg":
                assert bytes(data.encoded(role, row)) == bytes(recorded.data)
                pixels = images.decode(recorded.data)
            else:
                pixels = recorded.data.reshape(recorded.height, recorded.width, 3)
            assert np.array_equal(data.image(role, row), pixels)
        pose, gripper = newest["/arm/pose"].pose, newest["/arm/gripper"]
        position, turn = pose.position, pose.orientation
        state = rig.state_vector(
            (position.x, position.y, position.z), (turn.x, turn.y, turn.z, turn.w), gripper.position[1]
        )
        assert data.state[row].tobytes() == state.tobytes()
        row += 1
    assert row == 100


@pytest.mark.parametrize(
    "kind, option, png, same",
    [
        ("jpeg", "keep", False, True),
        ("jpeg", "jpeg", False, True),
        ("jpeg", "png", True, True),
        ("raw", "keep", True, True),
        ("raw", "jpeg", False, False),
    ],
)
def test_images_are_encoded_as_requested(tmp_path, kind, option, png, same):
    demonstration(1, 5, kind).save(tmp_path / "bags/a")
    data = converted(tmp_path / "bags", tmp_path / "set", images=option)
    plain = converted(tmp_path / "bags", tmp_path / "plain")
    assert bytes(data.encoded("wrist", 2)).startswith(b"\x89PNG" if png else b"\xff\xd8")
    assert np.array_equal(data.image("wrist", 2), plain.image("wrist", 2)) == same


def test_only_successes_are_converted_unless_other_outcomes_are_given(tmp_path):
    for index, outcome in enumerate(("success", "failure", "discarded", "unfinished")):
        demonstration(index, 5).save(
            tmp_path / "bags" / outcome, outcome=outcome, instruction=f"do {outcome}"
        )
    assert converted(tmp_path / "bags", tmp_path / "a").tasks == ["do success"]
    assert converted(tmp_path / "bags", tmp_path / "b", outcomes=("success", "failure")).tasks == [
        "do failure",
        "do success",
    ]
    left_out = json.loads((tmp_path / "a/meta/gr1.json").read_text())["left_out"]
    assert [entry["name"] for entry in left_out] == ["discarded", "failure", "unfinished"]


def test_a_relabelled_bag_is_converted_again(tmp_path):
    for name in ("a", "b"):
        demonstration(1, 5).save(tmp_path / "bags" / name)
    convert(BagSource(tmp_path / "bags"), tmp_path / "set", workers=1, shard=(0, 1), progress=False)
    relabel_bag(tmp_path / "bags/b", instruction="open the drawer")
    done = convert(BagSource(tmp_path / "bags"), tmp_path / "set", workers=1, shard=(0, 1), progress=False)
    assert (done.made, done.kept) == (1, 1)
    assert converted(tmp_path / "bags", tmp_path / "set").tasks == ["lift the cup", "open the drawer"]


def test_a_bag_without_a_camera_and_a_damaged_one_are_named_and_skipped(tmp_path, capsys):
    bags = tmp_path / "bags"
    demonstration(0, 20).save(bags / "good")
    demonstration(1, 5, without="wrist").save(bags / "no-wrist")
    demonstration(2, 20).save(bags / "torn")
    mcap = bags / "torn/torn_0.mcap"
    data = bytearray(mcap.read_bytes())
    data[len(data) // 2] ^= 0xFF
    mcap.write_bytes(data)
    demonstration(3, 5).save(bags / "empty-metadata")
    (bags / "empty-metadata/metadata.yaml").write_text("rosbag2_bagfile_information: {}\n")
    words = ["convert", "bags", str(bags), "--out", str(tmp_path / "set"), "--workers", "1"]
    assert main(words) == KEPT_LITTLE
    printed = capsys.readouterr()
    assert "1 episode, 20 frames" in printed.out and "skipped: 3" in printed.out
    page = (tmp_path / "set/report/index.html").read_text()
    for name, defect in (("no-wrist", "wrist"), ("torn", "damaged"), ("empty-metadata", "metadata.yaml")):
        assert name in page and defect in page and name in printed.err


def test_the_location_of_the_bags_changes_no_byte(tmp_path):
    for place in ("here", "there/deeper"):
        demonstration(0, 5).save(tmp_path / place / "bags/good", started="2024-01-01T00:00:00+00:00")
        demonstration(1, 5, without="static").save(tmp_path / place / "bags/blind")
        converted(tmp_path / place / "bags", tmp_path / place / "set")
    assert files(tmp_path / "here/set") == files(tmp_path / "there/deeper/set")


def test_two_rigs_in_one_folder_are_refused_and_both_are_named(tmp_path):
    slow = dataclasses.replace(tiny_rig(), name="other_arm", control_hz=5.0)
    demonstration(0, 5).save(tmp_path / "a")
    demonstration(1, 5).save(tmp_path / "b", rig=slow)
    with pytest.raises(
        RigError, match="other_arm.* of bag b .*kinova_gen2.*control_hz is 5.0 there, 10.0 here.*bag a"
    ):
        BagSource(tmp_path)


def test_a_failure_with_another_rig_does_not_matter_when_only_successes_are_taken(tmp_path):
    demonstration(0, 5).save(tmp_path / "bags/a")
    demonstration(1, 5).save(
        tmp_path / "bags/b", rig=dataclasses.replace(tiny_rig(), control_hz=5.0), outcome="failure"
    )
    assert converted(tmp_path / "bags", tmp_path / "set").length == 5


def test_a_rig_can_be_given_and_must_agree(tmp_path):
    demonstration(0, 5).save(tmp_path / "bags/a")
    patient = tiny_rig()
    patient = dataclasses.replace(patient, state=dataclasses.replace(patient.state, max_age=0.5))
    assert converted(tmp_path / "bags", tmp_path / "set", rig=patient).rig.state.max_age == 0.5
    with pytest.raises(RigError, match="rotation_scale"):
        BagSource(
            tmp_path / "bags",
            rig=dataclasses.replace(patient, action=dataclasses.replace(patient.action, rotation_scale=1.0)),
        )


def test_a_camera_of_another_size_than_the_rigs_is_named_and_skipped(tmp_path):
    demonstration(0, 5).save(tmp_path / "bags/a")
    wide = Recording(demonstration(1, 5).messages)
    for _, topic, message in wide.messages:
        if "wrist" in topic:
            message.data = np.frombuffer(images.encode_jpeg(np.zeros((24, 64, 3), np.uint8)), np.uint8)
    wide.save(tmp_path / "bags/wide")
    done = convert(BagSource(tmp_path / "bags"), tmp_path / "set", workers=1, progress=False)
    assert done.skipped == [("wide", "frame 0 of camera 'wrist': 64x24 pixels, expected 32x24")]


def test_bags_of_the_same_name_in_two_folders_are_two_episodes(tmp_path):
    for index, day in enumerate(("monday", "tuesday")):
        demonstration(index, 5).save(tmp_path / "bags" / day / "episode-1")
    converted(tmp_path / "bags", tmp_path / "set")
    lines = (tmp_path / "set/meta/sources.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["monday_episode-1", "tuesday_episode-1"]


def test_a_folder_of_any_name_is_an_episode_of_that_name(tmp_path):
    demonstration(0, 5).save(tmp_path / "bags/Schublade öffnen: 1. Versuch")
    converted(tmp_path / "bags", tmp_path / "set")
    assert (
        json.loads((tmp_path / "set/meta/sources.jsonl").read_text())["name"]
        == "Schublade öffnen: 1. Versuch"
    )


def test_a_recording_that_was_cut_off_is_named_with_its_remedy(tmp_path):
    for name in ("good", "killed"):
        demonstration(0, 5).save(tmp_path / "bags" / name)
    (tmp_path / "bags/killed/metadata.yaml").unlink()
    done = convert(BagSource(tmp_path / "bags"), tmp_path / "set", workers=1, progress=False)
    assert done.episodes == 1 and done.skipped[0][0] == "killed" and "gr1 bags recover" in done.skipped[0][1]


def test_cuts_are_listed_with_the_episode_and_in_the_report(tmp_path):
    made = demonstration(0, 40)
    made.messages = [
        message for message in made.messages if not ("static" in message[1] and 1000 <= message[0] < 1600)
    ]
    made.save(tmp_path / "bags/a")
    converted(tmp_path / "bags", tmp_path / "set")
    line = json.loads((tmp_path / "set/meta/sources.jsonl").read_text())
    assert line["recorded_steps"] == 40 and any("camera/static" in problem for problem in line["problems"])
    assert "with problems in the recording" in (tmp_path / "set/report/index.html").read_text()


def test_teleoperated_frames_are_listed_with_the_episode(tmp_path):
    demonstration(0, 20).save(tmp_path / "bags/alone")
    taken_over = demonstration(1, 20)
    for at in range(505, 1000, 100):
        taken_over.twist(at, (0.1, 0, 0), source="teleop")
    taken_over.save(tmp_path / "bags/taken_over")
    converted(tmp_path / "bags", tmp_path / "set")
    alone, taken = (
        json.loads(line) for line in (tmp_path / "set/meta/sources.jsonl").read_text().splitlines()
    )
    assert "teleoperated" not in alone and taken["teleoperated"] == [[5, 10]]


@pytest.mark.parametrize(
    "arguments, refusal",
    [
        (["--outcomes", "sucess"], "'sucess' is not one of success"),
        (["--outcomes", "failure"], "no bag has the outcome failure"),
        (["--rig", "no_such_arm"], "no rig 'no_such_arm'"),
    ],
)
def test_a_wrong_option_is_an_error_of_one_line(tmp_path, capsys, arguments, refusal):
    demonstration(0, 5).save(tmp_path / "bags/a")
    assert main(["convert", "bags", str(tmp_path / "bags"), "--out", str(tmp_path / "set"), *arguments]) in (
        1,
        2,
    )
    error = capsys.readouterr().err
    assert refusal in error and error.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_a_folder_without_bags_is_refused_with_the_commands_that_record_some(tmp_path, capsys):
    assert main(["convert", "bags", str(tmp_path), "--out", str(tmp_path.with_name("set"))]) == 1
    assert "gr1 collect sim" in capsys.readouterr().err


def test_shards_on_the_command_line(tmp_path, capsys):
    for index in range(3):
        demonstration(index, 5).save(tmp_path / f"bags/{index}")
    out = tmp_path / "set"
    for share in ("1/2", "2/2"):
        assert (
            main(
                [
                    "convert",
                    "bags",
                    str(tmp_path / "bags"),
                    "--out",
                    str(out),
                    "--workers",
                    "1",
                    "--shard",
                    share,
                ]
            )
            == 0
        )
    assert f"gr1 convert merge {out}" in capsys.readouterr().out
    assert main(["convert", "merge", str(out)]) == 0
    assert "3 episodes, 15 frames" in capsys.readouterr().out
    assert main(["convert", "bags", str(tmp_path / "bags"), "--out", str(out), "--shard", "3/2"]) == 2
