"""One odd bag among good ones: links, types, labels, clocks. It is named; it costs one episode."""

import os
import shutil
import struct

import numpy as np
import pytest
import yaml

from gr1_core import cli
from gr1_core.data import schemas
from gr1_core.data.bag import Bag, find_bags
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.steps import StepsError, select_steps
from gr1_core.data.verification import verify_bag
from tests.data.bag_fixture import START

from .foreign_bags import ROOT, label, messages, ours, retype, rewrite

__all__ = ["ours"]


# Links


def test_links_to_bags_folders_and_files_are_followed(ours, tmp_path):
    (tmp_path / "root" / "more").mkdir(parents=True)
    (tmp_path / "root" / "linked").symlink_to(ours, target_is_directory=True)
    assert find_bags(tmp_path / "root") == [tmp_path / "root" / "linked"]
    day = tmp_path / "root" / "day"
    day.symlink_to(ours.parent, target_is_directory=True)
    assert len(find_bags(tmp_path / "root")) == 1, "one bag behind two links is one bag"
    (tmp_path / "root" / "more" / "up").symlink_to(tmp_path / "root", target_is_directory=True)
    assert len(find_bags(tmp_path / "root")) == 1, "a link to a folder above ends"
    files = tmp_path / "files"
    files.mkdir()
    for path in ours.iterdir():
        (files / path.name).symlink_to(path)
    assert messages(files) == messages(ours) and verify_bag(files) == []
    assert cli.main(["bags", "relabel", str(files), "--note", "seen"]) == 0
    assert (files / "metadata.yaml").is_symlink() and Bag(ours).labels["note"] == "seen"
    cli.main(["bags", "relabel", str(ours), "--note", ""])


def test_a_link_that_leads_nowhere_is_named(ours, tmp_path, capsys):
    (tmp_path / "root").mkdir()
    shutil.copytree(ours, tmp_path / "root" / "good")
    (tmp_path / "root" / "gone").symlink_to(tmp_path / "unmounted", target_is_directory=True)
    half = tmp_path / "root" / "half"
    half.mkdir()
    (half / "metadata.yaml").symlink_to(ours / "metadata.yaml")
    (half / "ours_0.mcap").symlink_to(tmp_path / "away.mcap")
    assert cli.main(["bags", "verify", str(tmp_path / "root")]) == 1
    out = capsys.readouterr().out
    assert f"gone: unreadable: no bag at {tmp_path}/root/gone: it is a link to {tmp_path}/unmounted" in out
    assert f"ours_0.mcap is a link to {tmp_path}/away.mcap, which does not exist" in out
    assert cli.main(["bags", "list", str(tmp_path / "root"), "--json"]) == 0
    assert "which does not exist" in capsys.readouterr().out
    assert converted(tmp_path / "root")[0] == ["good"]


# One odd bag among good ones


def converted(root):
    """(names of the episodes, {name: why it was skipped}) of a folder of bags."""
    source, names, skipped = BagSource(root), [], {}
    for unit in source.units():
        try:
            names += [episode.name for episode in source.read(unit)]
        except SourceError as error:
            skipped[unit.key] = str(error)
    return names, skipped


TYPES = {
    "twist": ("/twist", "geometry_msgs/msg/Twist", lambda m: {"linear": m.twist.linear}),
    "pose": ("arm/pose", "geometry_msgs/msg/Pose", lambda m: {"position": m.pose.position}),
    "gripper": ("arm/gripper", "std_msgs/msg/Float32", lambda m: {"data": 0.0}),
    "command": ("policy/gripper", "std_msgs/msg/Float64MultiArray", lambda m: {"data": [m.data]}),
    "camera": ("static/image_raw/compressed", "sensor_msgs/msg/Image", lambda m: {"header": m.header}),
    "closure": ("policy/gripper", "std_msgs/msg/Float64", lambda m: {"data": m.data}),
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_bag_with_another_type_on_a_topic_of_ours_is_skipped_by_name(ours, tmp_path, kind):
    suffix, type, make = TYPES[kind]
    shutil.copytree(ours, tmp_path / "good")
    odd = rewrite(ours, tmp_path / "odd", change=retype(suffix, type, make))
    names, skipped = converted(tmp_path)
    assert names == ["good"] and list(skipped) == ["odd"]
    assert suffix in skipped["odd"] and f"is {type}, expected " in skipped["odd"]
    assert any(line.startswith("type: ") and f"is {type}, expected " in line for line in verify_bag(odd))


def doubled(topic, type, *rest):
    return [(topic, type, *rest), *([(f"/right{topic}", type, *rest)] if topic == "/arm/pose" else [])]


def other_rig(folder):
    information = yaml.safe_load((folder / "metadata.yaml").read_text())
    rig = yaml.safe_load(information[ROOT]["custom_data"]["rig"])
    rig["action"]["rotation_scale"] = 3.0
    information[ROOT]["custom_data"]["rig"] = yaml.safe_dump(rig)
    (folder / "metadata.yaml").write_text(yaml.safe_dump(information))


ODD = {
    "rig is no YAML": (label("rig", "a: [}"), "rig"),
    "rig is another": (other_rig, "rotation_scale"),
    "rig is a number": (label("rig", "3"), "rig"),
    "streams are no JSON": (label("topics", "{"), "topics"),
    "streams are a list": (label("topics", "[1]"), "topics"),
    "no instruction": (label("instruction", ""), "instruction"),
    "metadata is cut": (lambda folder: os.truncate(folder / "metadata.yaml", 300), "metadata.yaml"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_bag_with_odd_labels_is_skipped_by_name(ours, tmp_path, kind, capsys):
    change, said = ODD[kind]
    for name in ("a", "odd", "z"):
        shutil.copytree(ours, tmp_path / name)
    change(tmp_path / "odd")
    names, skipped = converted(tmp_path)
    assert names == ["a", "z"] and said in skipped["odd"]
    for command in ("list", "verify"):
        cli.main(["bags", command, str(tmp_path)])
        out = capsys.readouterr()
        assert not out.err and ("odd" in out.out or kind == "rig is another")


def test_a_bag_with_two_arms_is_skipped_by_name(ours, tmp_path, capsys):
    shutil.copytree(ours, tmp_path / "good")
    rewrite(ours, tmp_path / "odd", change=doubled)
    names, skipped = converted(tmp_path)
    assert names == ["good"] and "several topics end in 'arm/pose'" in skipped["odd"]
    assert cli.main(["bags", "verify", str(tmp_path)]) == 1
    assert (
        "odd: topics: several topics end in 'arm/pose': /arm/pose, /right/arm/pose" in capsys.readouterr().out
    )
    assert cli.main(["bags", "list", str(tmp_path)]) == 0


def test_list_shows_a_demonstration_without_commands(ours, tmp_path, capsys):
    quiet = rewrite(
        ours, tmp_path / "quiet", change=lambda topic, *rest: [(topic, *rest)] * ("command" not in topic)
    )
    cli.main(["bags", "list", str(tmp_path)])
    assert "no command (command/teleop/twist or command/policy/twist)" in capsys.readouterr().out
    with pytest.raises(StepsError, match="no commands"):
        select_steps(Bag(quiet))


# Clocks


def shifted(log=0, sent=0, stamp=0, only="", zero=False):
    """A change that moves the times of all messages, or the stamps of the topics that hold `only`, by ns."""

    def change(topic, type, log_time, publish_time, data):
        if schemas.has_header(type) and only in topic:
            data = bytearray(data)
            new = 0 if zero else schemas.header_stamp(type, data) + stamp
            struct.pack_into("<iI", data, 4, *divmod(new, 10**9))
        return [(topic, type, log_time + log, publish_time + sent, bytes(data))]

    return change


SIMULATED = -1_699_999_900 * 10**9


@pytest.mark.parametrize(
    "change",
    [
        shifted(log=SIMULATED, stamp=SIMULATED),  # ros2 bag record --use-sim-time
        shifted(log=SIMULATED, stamp=SIMULATED, sent=3600 * 10**9),
        shifted(log=SIMULATED, stamp=SIMULATED, sent=SIMULATED - 60 * 10**9),
    ],
)
def test_simulated_time_is_converted_by_the_clock_of_the_stamps_and_named(ours, tmp_path, change):
    folder = rewrite(ours, tmp_path / "sim", change=change)
    mine, simulated = select_steps(Bag(ours)), select_steps(Bag(folder))
    assert len(simulated.times) >= len(mine.times) - 1
    assert np.abs(simulated.state[: len(simulated.times)] - mine.state[: len(simulated.times)]).max() < 0.1
    assert any("of two clocks; messages are ordered by log_time" in line for line in verify_bag(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shifted(zero=True), "header stamps are 0"),
        (shifted(zero=True, only="arm/pose"), "/arm/pose: .*header stamps are 0"),
        (shifted(stamp=-2 * 10**9, only="camera/static"), "static/.*header stamps are 2.00 s behind"),
        (shifted(stamp=-300 * 10**6, only="camera"), "header stamps are 0.30 s behind.*allows"),
        (shifted(stamp=SIMULATED), "header stamps .1970-.*are of another clock.*use_sim_time:=true"),
    ],
)
def test_clocks_that_do_not_agree_are_named_by_verify_and_by_the_conversion(ours, tmp_path, change, said):
    folder = rewrite(ours, tmp_path / "odd", change=change)
    with pytest.raises(StepsError, match=said):
        select_steps(Bag(folder))
    assert [line for line in verify_bag(folder) if line.startswith("clock: ")]


def test_stamps_ahead_of_the_sending_are_named(ours, tmp_path):
    folder = rewrite(ours, tmp_path / "odd", change=shifted(stamp=2 * 10**9, only="camera/wrist"))
    assert any("header stamps are 2.00 s ahead" in line for line in verify_bag(folder))


def test_simulated_time_that_begins_with_zero_is_no_missing_stamp(ours, tmp_path):
    start = -START
    folder = rewrite(ours, tmp_path / "sim", change=shifted(log=start, sent=start, stamp=start))
    assert verify_bag(folder) == []
