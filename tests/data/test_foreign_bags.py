"""Bags as other writers make them: what the format allows is read, verified and recovered without loss."""

import os
import shutil
import struct
from collections import Counter

import numpy as np
import pytest
import yaml
import zstandard
from mcap.writer import CompressionType, IndexType

from gr1_core import cli
from gr1_core.data import schemas
from gr1_core.data.bag import Bag, BagError, find_bags
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.mcap_scan import McapScan
from gr1_core.data.recovery import recover_bag
from gr1_core.data.steps import StepsError, select_steps
from gr1_core.data.verification import verify_bag
from tests.data.bag_fixture import START, demonstration

from .foreign_bags import OWN_TYPE, ROOT, add_own_type, retype, rewrite, unfinished

WRITERS = {
    "no checksums": dict(enable_crcs=False, enable_data_crcs=False),
    "summary's checksum only": dict(enable_crcs=True, enable_data_crcs=False),
    "data's checksum only": dict(enable_crcs=False, enable_data_crcs=True),
    "no chunks": dict(use_chunking=False),
    "no chunks, no checksums": dict(use_chunking=False, enable_crcs=False),
    "no index": dict(index_types=IndexType.NONE, use_statistics=False, use_summary_offsets=False),
    "no repeated channels": dict(repeat_channels=False, repeat_schemas=False),
    "no summary": dict(
        index_types=IndexType.NONE,
        use_statistics=False,
        use_summary_offsets=False,
        repeat_channels=False,
        repeat_schemas=False,
    ),
    "zstd": dict(compression=CompressionType.ZSTD),
    "lz4, no checksums": dict(compression=CompressionType.LZ4, enable_crcs=False),
    "late channels": dict(late_channels=True),
    "late channels, no chunks": dict(late_channels=True, use_chunking=False),
    "late channels, zstd": dict(late_channels=True, compression=CompressionType.ZSTD),
    "own type": dict(change=add_own_type()),
    "own type, late": dict(change=add_own_type("/lab/other", "lab_msgs/msg/Other", 7), late_channels=True),
    "channel without type": dict(change=add_own_type("/lab/json", "")),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return demonstration(steps=12).save(tmp_path_factory.mktemp("bags") / "ours")


def messages(folder) -> Counter:
    return Counter(
        (m.topic, m.type, m.log_time, m.publish_time, bytes(m.data)) for m in Bag(folder).messages()
    )


@pytest.mark.parametrize("name", WRITERS)
def test_what_the_format_allows_is_read_verified_and_converted(ours, tmp_path, name):
    foreign = rewrite(ours, tmp_path / "foreign", **WRITERS[name])
    assert verify_bag(foreign) == []
    assert messages(ours) <= messages(foreign)
    assert recover_bag(foreign) is None
    mine, theirs = select_steps(Bag(ours)), select_steps(Bag(foreign))
    assert np.array_equal(mine.action, theirs.action) and np.array_equal(mine.state, theirs.state)


@pytest.mark.parametrize("name", WRITERS)
def test_recovery_loses_nothing_of_it(ours, tmp_path, name):
    foreign = rewrite(ours, tmp_path / "foreign", **WRITERS[name])
    bare = unfinished(foreign, tmp_path / "bare")
    saved = recover_bag(bare)
    assert not saved.left_out() and messages(bare) == messages(foreign)
    assert verify_bag(bare) == []


def test_recovery_keeps_the_definition_of_an_unknown_type(ours, tmp_path):
    bare = unfinished(rewrite(ours, tmp_path / "foreign", change=add_own_type()), tmp_path / "bare")
    recover_bag(bare)
    with open(Bag(bare).path, "rb") as stream:
        definitions = McapScan(stream).definitions
    (schema,) = [one for one in definitions.schemas.values() if one.name == OWN_TYPE]
    assert schema.encoding == "ros2msg" and schema.data == b"float32 a\nstring b\n"
    assert Bag(bare).topics["/lab/thing"] == OWN_TYPE


# Damage


def chunks(path):
    with open(path, "rb") as stream:
        return [(piece.data_start, piece.data_end, piece.count) for piece in McapScan(stream).pieces]


def damage(folder, number):
    """Flips a byte in the middle of the chunk with this number; returns its messages."""
    (path,) = folder.glob("*.mcap")
    start, end, count = chunks(path)[number]
    data = bytearray(path.read_bytes())
    data[(start + end) // 2] ^= 0xFF
    path.write_bytes(data)
    return count


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("options", [{}, dict(late_channels=True), dict(compression=CompressionType.ZSTD)])
@pytest.mark.parametrize("number", [0, 1, -1])
def test_only_the_damaged_chunk_is_lost_the_channels_come_from_the_summary(
    ours, tmp_path, number, options, complete
):
    foreign = rewrite(ours, tmp_path / "foreign", **options)
    before = messages(foreign)
    if not complete:
        foreign = unfinished(foreign, tmp_path / "bare")
    lost = damage(foreign, number)
    saved = recover_bag(foreign)
    assert saved.damaged == 1 and saved.lost == lost and not saved.orphans
    assert saved.messages == sum(before.values()) - lost and not messages(foreign) - before
    assert f"with {lost} messages" in str(saved)
    assert len(list(foreign.glob("*.damaged"))) == 1, "the damaged file stays"
    assert not [line for line in verify_bag(foreign) if line.startswith(("checksum", "cut off", "count"))]


def test_messages_whose_channel_is_lost_are_counted_and_the_file_is_not_called_empty(ours, tmp_path):
    bare = unfinished(rewrite(ours, tmp_path / "foreign", finish=False), tmp_path / "bare")
    (path,) = bare.glob("*.mcap")
    before, lost = path.read_bytes(), damage(bare, 0)
    total = sum(messages(ours).values())
    with pytest.raises(
        BagError, match=f"no message can be saved.*{total - lost} messages left out, whose channel"
    ):
        recover_bag(bare)
    assert bare.is_dir() and len(path.read_bytes()) == len(before)


def test_a_file_with_one_damaged_chunk_only_is_not_called_empty(ours, tmp_path):
    bare = unfinished(rewrite(ours, tmp_path / "foreign", chunk_size=10**9), tmp_path / "bare")
    lost = damage(bare, 0)
    with pytest.raises(BagError, match=f"1 damaged chunk left out, with {lost} messages; the file stays"):
        recover_bag(bare)


@pytest.mark.parametrize("options", [{}, dict(compression=CompressionType.ZSTD), dict(use_chunking=False)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_file_gives_its_first_messages_also_those_of_the_cut_chunk(ours, tmp_path, options, share):
    foreign = rewrite(ours, tmp_path / "foreign", **options, chunk_size=100_000)
    bare = unfinished(foreign, tmp_path / "bare")
    (path,) = bare.glob("*.mcap")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    whole = messages(foreign)
    if "compression" in options and share == 0.3:  # a part of the first compressed block
        with pytest.raises(BagError, match="no message can be saved: .* bytes of an incomplete chunk"):
            recover_bag(bare)
        return
    recover_bag(bare)
    saved = messages(bare)
    assert saved and saved < whole
    if "compression" not in options:
        assert sum(saved.values()) > 0.6 * share * sum(whole.values())


ITSELF = "rosbag2_bagfile_information: {topics_with_message_count: [], more: &x [*x]}"


@pytest.mark.parametrize("text", ["rosbag2_bagfile_information: [", "", "a: &x [*x]", "\0", ITSELF])
def test_a_damaged_metadata_yaml_is_made_again_from_the_recording(ours, tmp_path, text):
    folder = shutil.copytree(ours, tmp_path / "bag")
    (folder / "metadata.yaml").write_text(text)
    with pytest.raises(BagError, match="gr1 bags recover"):
        Bag(folder)
    assert "metadata.yaml was damaged" in str(recover_bag(folder))
    assert Bag(folder).labels["instruction"] == Bag(ours).instruction and messages(folder) == messages(ours)
    assert (folder / "metadata.yaml.damaged").read_text() == text


@pytest.mark.parametrize(("name", "text"), [("seed", "3"), ("started", "2020-01-01T00:00:00+00:00")])
def test_a_fact_that_metadata_yaml_does_not_have_from_the_recording_is_named(ours, tmp_path, name, text):
    folder = shutil.copytree(ours, tmp_path / "bag")
    label(name, text)(folder)
    assert any(line.startswith(f"labels: {name} in metadata.yaml is not") for line in verify_bag(folder))
    Bag(folder)


# Compression by rosbag2


def test_a_file_that_is_compressed_as_a_whole_is_named_and_the_remedy_works(ours, tmp_path):
    folder = shutil.copytree(ours, tmp_path / "bag")
    (path,) = folder.glob("*.mcap")
    (folder / f"{path.name}.zstd").write_bytes(zstandard.compress(path.read_bytes()))
    path.unlink()
    edit(
        folder, compression_mode="FILE", compression_format="zstd", relative_file_paths=[f"{path.name}.zstd"]
    )
    with pytest.raises(BagError, match=f"the file is compressed.*`gr1 bags recover {folder}`"):
        Bag(folder)
    assert "unreadable" in verify_bag(folder)[0]
    assert cli.main(["bags", "recover", str(folder)]) == 0
    assert messages(folder) == messages(ours) and verify_bag(folder) == []
    assert Bag(folder).outcome == Bag(ours).outcome


@pytest.mark.parametrize("known", [True, False])
def test_messages_that_are_compressed_one_by_one_are_named_and_the_remedy_works(ours, tmp_path, known):
    def packed(topic, type, log_time, publish_time, data):
        return [(topic, type, log_time, publish_time, zstandard.compress(data))]

    folder = rewrite(ours, tmp_path / "bag", change=packed)
    if known:
        edit(folder, compression_mode="MESSAGE", compression_format="zstd")
        with pytest.raises(BagError, match="its messages are compressed.*gr1 bags recover"):
            Bag(folder)
    else:
        assert any(
            line.startswith("compressed: ") and "gr1 bags recover" in line for line in verify_bag(folder)
        )
        (folder / "metadata.yaml").unlink()
    recover_bag(folder)
    assert messages(folder) == messages(ours) and verify_bag(folder) == []


def edit(folder, **fields):
    path = folder / "metadata.yaml"
    information = yaml.safe_load(path.read_text())
    information[ROOT] |= fields
    path.write_text(yaml.safe_dump(information))


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


def label(name, text):
    def change(folder):
        information = yaml.safe_load((folder / "metadata.yaml").read_text())
        information[ROOT]["custom_data"][name] = text
        (folder / "metadata.yaml").write_text(yaml.safe_dump(information))

    return change


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
