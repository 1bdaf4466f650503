"""A recording that ends in the middle: what was flushed is there, and becomes a whole bag."""

import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gr1_core import cli
from gr1_core.data import recovery
from gr1_core.data.bag import Bag, BagError, find_bags
from gr1_core.data.bag_writer import BagWriter
from gr1_core.data.recovery import recover_bag, unfinished_bags
from gr1_core.data.verification import verify_bag
from tests.data.bag_fixture import START, demonstration
from tests.data.test_bag import LABELS, TOPICS, digest

# Writes numbered messages of 1 to 3000 bytes for ever, flushes now and then, and says after each flush how
# many are safe.
RECORDER = """
import random, sys
from pathlib import Path
from gr1_core.data.bag_writer import BagWriter
folder, rig, compression = sys.argv[1:]
rng = random.Random(1)
topics = {"/a": "std_msgs/msg/String", "/b": "std_msgs/msg/String"}
labels = {"instruction": "open the drawer", "operator": "alice", "rig": rig}
writer = BagWriter(Path(folder), topics, labels, compression, chunk_size=50_000)
number = 0
while True:
    for _ in range(rng.randrange(1, 60)):
        data = number.to_bytes(4, "little") + bytes([number % 251]) * rng.randrange(3000)
        writer.write_message(("/a", "/b")[number % 2], data, 10**18 + number, 10**18 + number)
        number += 1
    writer.flush()
    print(number, flush=True)
"""


def contents(folder: Path) -> list[tuple]:
    return [(m.topic, m.log_time, m.publish_time, bytes(m.data)) for m in Bag(folder).messages()]


@pytest.mark.parametrize("attempt", range(10))
def test_sigkill_loses_only_messages_after_the_last_flush(tmp_path, attempt):
    earlier = demonstration(steps=2).save(tmp_path / "earlier")
    before = digest(earlier / "earlier_0.mcap")
    folder = tmp_path / "killed"
    arguments = [str(folder), LABELS["rig"], ("none", "zstd")[attempt % 2]]
    recorder = subprocess.Popen(
        [sys.executable, "-c", RECORDER, *arguments], stdout=subprocess.PIPE, text=True
    )
    for _ in range(random.Random(attempt).randrange(1, 60)):
        line = recorder.stdout.readline()
    recorder.kill()
    rest = recorder.stdout.read().splitlines()
    recorder.wait()
    # A line may be cut off, but not one that the next follows.
    safe = int([line, *rest][-2 if len(rest) else -1])

    assert unfinished_bags(tmp_path) == [folder] and find_bags(tmp_path) == [earlier]
    saved = recover_bag(folder)
    messages = contents(folder)
    assert [int.from_bytes(data[:4], "little") for *_, data in messages] == list(range(len(messages)))
    assert all(
        data[4:] == bytes([number % 251]) * (len(data) - 4) for number, (*_, data) in enumerate(messages)
    )
    assert len(messages) >= safe and saved.messages == len(messages)
    bag = Bag(folder)
    assert (bag.outcome, bag.instruction, bag.labels["operator"]) == (
        "unfinished",
        "open the drawer",
        "alice",
    )
    assert not [problem for problem in verify_bag(folder) if not problem.startswith("missing")]
    assert digest(earlier / "earlier_0.mcap") == before and unfinished_bags(tmp_path) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A demonstration of 1.2 s in chunks of 8 kB."""
    root = tmp_path_factory.mktemp("bags")
    bag = Bag(demonstration(steps=12).save(root / "plain"))
    with BagWriter(
        root / "episode",
        bag.topics,
        {name: bag.labels[name] for name in ("instruction", "operator", "rig")},
        chunk_size=8000,
    ) as writer:
        for message in bag.messages():
            writer.write_message(message.topic, message.data, message.log_time, message.publish_time)
        return writer.close({"outcome": "success"})


def cut(whole: Path, to: Path, size: int) -> Path:
    """What a power cut leaves of a bag when `size` bytes of it had reached the disk."""
    to.mkdir()
    (to / f"{to.name}_0.mcap").write_bytes((whole / "episode_0.mcap").read_bytes()[:size])
    return to


def test_a_file_that_is_cut_off_anywhere_gives_the_first_messages(whole, tmp_path):
    size, all_messages, rng = (whole / "episode_0.mcap").stat().st_size, contents(whole), random.Random(3)
    for number in range(40):
        folder = cut(whole, tmp_path / f"torn{number}", rng.randrange(size))
        saved = recover_bag(folder)
        assert saved.torn < 20_000, "no more than one chunk and its index"
        if saved.messages:
            messages = contents(folder)
            assert messages == all_messages[: len(messages)]
            assert not [problem for problem in verify_bag(folder) if not problem.startswith("missing")]


def test_a_recording_killed_after_its_last_byte_keeps_its_outcome(whole, tmp_path):
    folder = cut(whole, tmp_path / "episode", 10**9)
    saved = recover_bag(folder)
    assert contents(folder) == contents(whole) and saved.torn == saved.damaged == 0
    assert Bag(folder).labels == Bag(whole).labels


def test_a_chunk_with_a_wrong_checksum_is_left_out_and_counted(tmp_path):
    with BagWriter(tmp_path / "episode", TOPICS, LABELS) as writer:
        for number in range(30):
            writer.write_message("/instruction", bytes([number]) * 1000, START + number, START + number)
            if number % 10 == 9:
                writer.flush()
    path = tmp_path / "episode" / "episode_0.mcap"
    path.write_bytes(path.read_bytes().replace(bytes([14]) * 1000, bytes([14]) * 999 + b"?"))
    saved = recover_bag(tmp_path / "episode")
    assert [data[0] for *_, data in contents(tmp_path / "episode")] == [*range(10), *range(20, 30)]
    assert saved.damaged == 1 and "1 damaged chunk" in str(saved)


@pytest.mark.parametrize("moment", ["finish", "complete_bag"])
def test_recovery_that_is_killed_itself_can_be_repeated(whole, tmp_path, monkeypatch, moment):
    folder = cut(whole, tmp_path / "episode", 60_000)
    expected = cut(whole, tmp_path / "other", 60_000)
    recover_bag(expected)
    with monkeypatch.context() as patch:
        patch.setattr(recovery.RecordingFile if moment == "finish" else recovery, moment, _killed)
        with pytest.raises(KeyboardInterrupt):
            recover_bag(folder)
    (folder / "episode_0.mcap.4711.partial").write_bytes(b"what the killed one had begun")
    assert unfinished_bags(tmp_path) == [folder]
    recover_bag(folder)
    assert contents(folder) == contents(expected)
    assert sorted(path.name for path in folder.iterdir()) == ["episode_0.mcap", "metadata.yaml"]
    assert recover_bag(folder) is None


def _killed(*_):
    raise KeyboardInterrupt


def test_a_recording_without_messages_is_renamed_and_not_deleted(whole, tmp_path):
    for size in (0, 3, 700):
        folder = cut(whole, tmp_path / "nothing", size)
        saved = recover_bag(folder)
        assert (
            saved.messages == 0
            and saved.folder.name.startswith("nothing")
            and saved.folder.name.endswith(".empty")
        )
        assert (saved.folder / "nothing_0.mcap").stat().st_size == size
        assert not folder.exists() and unfinished_bags(tmp_path) == find_bags(tmp_path) == []


def test_a_running_recording_is_not_touched(tmp_path):
    with BagWriter(tmp_path / "episode", TOPICS, LABELS) as writer:
        writer.write_message("/instruction", b"1234", START, START)
        writer.flush()
        with pytest.raises(BagError, match="is being written by another process"):
            recover_bag(tmp_path / "episode")
        writer.close({"outcome": "success"})
    assert recover_bag(tmp_path / "episode") is None


def test_an_mcap_of_another_program_is_not_touched(tmp_path):
    from mcap.writer import Writer

    (tmp_path / "foreign").mkdir()
    path = tmp_path / "foreign" / "foreign_0.mcap"
    with open(path, "wb") as stream:
        writer = Writer(stream)
        writer.start()
        writer.add_message(
            writer.register_channel("x", "json", writer.register_schema("s", "", b"")), 1, b"{}", 1
        )
        writer.flush()
    before = digest(path)
    with pytest.raises(BagError, match="lacks the labels instruction, rig"):
        recover_bag(tmp_path / "foreign")
    assert digest(path) == before and list(path.parent.iterdir()) == [path]


FULL = """
import resource, sys
from pathlib import Path
from gr1_core.data.bag_writer import BagWriter
folder, rig, size = sys.argv[1:]
writer = BagWriter(Path(folder), {"/a": "std_msgs/msg/String"}, {"instruction": "go", "rig": rig})
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
for number in range(10_000):
    writer.write_message("/a", number.to_bytes(4, "little") * 500, 10**18 + number, 10**18)
    if number % 50 == 49:
        writer.flush()
        print(number + 1, flush=True)
"""


@pytest.mark.parametrize("size", [250_000, 1_500_000])
def test_a_full_disk_is_named_and_flushed_messages_are_kept(tmp_path, size):
    """A limit on the size of files stands for the disk: the write fails in the same way, in the middle of a
    chunk.
    """
    folder = tmp_path / "episode"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), LABELS["rig"], str(size)], capture_output=True, text=True
    )
    assert done.returncode == 1
    (error,) = [
        line for line in done.stderr.splitlines() if line.startswith("gr1_core.data.metadata.BagError")
    ]
    assert f"cannot write {folder}/episode_0.mcap: File too large" in error and "gr1 bags recover" in error
    safe = int(done.stdout.split()[-1])
    recover_bag(folder)
    saved = [int.from_bytes(data[:4], "little") for *_, data in contents(folder)]
    assert len(saved) >= safe and saved == list(range(len(saved))), (
        "the incomplete chunk gives its first ones"
    )


def test_recovery_on_a_full_disk_leaves_the_recording_as_it_was(whole, tmp_path):
    folder = cut(whole, tmp_path / "episode", 100_000)
    before = digest(folder / "episode_0.mcap")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(BagError, match="cannot recover.*File too large.*make room"):
            recover_bag(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert digest(folder / "episode_0.mcap") == before and len(list(folder.iterdir())) == 1
    assert recover_bag(folder).messages


def test_the_command_recovers_all_bags_below_a_folder_and_prints_what_it_saved(whole, tmp_path, capsys):
    cut(whole, tmp_path / "one", 80_000)
    cut(whole, tmp_path / "two", 0)
    shutil.copytree(whole, tmp_path / "whole")
    assert cli.main(["bags", "recover", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one: 0.") and "messages saved" in lines[0]
    assert lines[1] == "two.empty: held no message and was set aside"
    assert find_bags(tmp_path) == [tmp_path / "one", tmp_path / "whole"]
    assert cli.main(["bags", "recover", str(tmp_path)]) == 0
    assert "no unfinished bag" in capsys.readouterr().out
