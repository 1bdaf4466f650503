"""Bags as other writers make them: what the format allows is read, verified and recovered without loss."""

import shutil

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType, IndexType

from gr1_core import cli
from gr1_core.data.bag import Bag, BagError
from gr1_core.data.mcap_scan import McapScan
from gr1_core.data.recovery import recover_bag
from gr1_core.data.steps import select_steps
from gr1_core.data.verification import verify_bag

from .foreign_bags import OWN_TYPE, add_own_type, edit, label, messages, ours, rewrite, unfinished

__all__ = ["ours"]

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
