"""What a bag holds, who can read it, and what is refused."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from gr1_core.data import schemas
from gr1_core.data.bag import Bag, BagError, find_bags, relabel_bag
from gr1_core.data.bag_writer import BagWriter
from gr1_core.data.metadata import check_labels
from gr1_core.data.verification import verify_bag
from tests.data.bag_fixture import START, demonstration
from tests.data.synthetic import tiny_rig

RIG = yaml.safe_dump(tiny_rig().to_dict())
LABELS = {"instruction": "open the drawer", "rig": RIG}
TOPICS = {"/arm/pose": "geometry_msgs/msg/PoseStamped", "/instruction": "std_msgs/msg/String"}


def text(words: str) -> bytes:
    return schemas.serialize(schemas.make_message("std_msgs/msg/String", data=words), "std_msgs/msg/String")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module", params=["none", "zstd", "lz4"])
def recorded(request, tmp_path_factory):
    """A bag of random messages, sent a little before they were received and not received in the order of
    their topics.
    """
    rng = random.Random(4)
    messages = [
        (topic, rng.randbytes(rng.randrange(1, 3000)), START + 1000 * n, START + 1000 * n - 300)
        for n in range(500)
        for topic in TOPICS
    ]
    folder = tmp_path_factory.mktemp("bags") / "episode"
    with BagWriter(
        folder, TOPICS, LABELS, request.param, chunk_size=10_000, qos={"/instruction": "transient_local"}
    ) as writer:
        for number, message in enumerate(messages):
            writer.write_message(*message)
            if number % 90 == 0:
                writer.flush()
        writer.close({"outcome": "success"})
    return folder, messages


def test_a_bag_gives_back_what_was_written(recorded):
    folder, messages = recorded
    bag = Bag(folder)
    assert [(m.topic, bytes(m.data), m.log_time, m.publish_time) for m in bag.messages()] == messages
    assert {m.topic: m.type for m in bag.messages()} == TOPICS == bag.topics
    assert bag.counts == {"/arm/pose": 500, "/instruction": 500}
    assert (bag.start_ns, bag.duration_s) == (START, pytest.approx(499e-6))
    assert [bytes(m.data) for m in bag.messages(["/instruction"])] == [
        data for topic, data, *_ in messages if topic == "/instruction"
    ]


def test_mcaps_own_reader_gives_the_same_messages(recorded):
    folder, messages = recorded
    with open(folder / "episode_0.mcap", "rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        read = [(c.topic, m.data, m.log_time, m.publish_time) for _, c, m in reader.iter_messages()]
        header, summary = reader.get_header(), reader.get_summary()
    assert read == messages
    assert header.profile == "ros2"
    assert {channel.message_encoding for channel in summary.channels.values()} == {"cdr"}
    assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}


def test_rosbags_gives_the_same_messages(recorded):
    folder, messages = recorded
    with Reader(folder) as reader:
        assert [(c.topic, bytes(data), at) for c, at, data in reader.messages()] == [
            message[:3] for message in messages
        ]
        assert reader.ros_distro == "jazzy"
        profiles = {
            c.topic: [qos.durability.name for qos in c.ext.offered_qos_profiles] for c in reader.connections
        }
        assert profiles == {"/arm/pose": [], "/instruction": ["TRANSIENT_LOCAL"]}
        for connection in reader.connections:
            assert connection.msgdef.data == schemas.type_definition(connection.msgtype)
            assert connection.digest == schemas.type_hash(connection.msgtype)


def test_any_reader_decodes_a_demonstration_without_knowing_ours(tmp_path):
    folder = demonstration(steps=3).save(tmp_path / "episode")
    with AnyReader([folder]) as reader:
        poses = [
            reader.deserialize(data, c.msgtype) for c, _, data in reader.messages() if c.topic == "/arm/pose"
        ]
        frames = [
            reader.deserialize(data, c.msgtype)
            for c, _, data in reader.messages()
            if c.topic.endswith("static/image_raw/compressed")
        ]
    assert len(poses) == 20 and poses[0].header.frame_id == "base_link"
    assert all(bytes(frame.data[:3]) == b"\xff\xd8\xff" for frame in frames)


def test_metadata_has_the_fields_and_types_that_ros2_bag_of_jazzy_parses(recorded):
    folder, messages = recorded
    raw = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert raw["version"] == 9 and raw["storage_identifier"] == "mcap" and raw["ros_distro"] == "jazzy"
    assert raw["message_count"] == 1000 and raw["duration"] == {"nanoseconds": 499_000}
    assert raw["starting_time"] == {"nanoseconds_since_epoch": START}
    assert raw["relative_file_paths"] == ["episode_0.mcap"]
    assert raw["files"] == [
        {
            "path": "episode_0.mcap",
            "starting_time": raw["starting_time"],
            "duration": raw["duration"],
            "message_count": 1000,
        }
    ]
    assert (raw["compression_format"], raw["compression_mode"]) == ("", "")
    entry = raw["topics_with_message_count"][1]
    assert (
        entry["message_count"] == 500
        and entry["topic_metadata"]["offered_qos_profiles"][0]["durability"] == "transient_local"
    )
    assert all(isinstance(value, str) for value in raw["custom_data"].values())
    assert "&" not in (folder / "metadata.yaml").read_text().split("custom_data")[0], (
        "yaml-cpp's conversions know no references"
    )


def test_the_labels_hold_the_task_and_the_received_counts(recorded):
    bag = Bag(recorded[0])
    assert (bag.name, bag.instruction, bag.outcome) == ("episode", "open the drawer", "success")
    assert bag.rig == tiny_rig()
    assert bag.labels["seconds"] == "0.000" and bag.labels["started"].endswith("+00:00")
    streams = json.loads(bag.labels["topics"])
    assert streams["/instruction"]["received"] == streams["/instruction"]["expected"] == 500


def test_a_bag_is_incomplete_until_it_is_closed(tmp_path):
    writer = BagWriter(tmp_path / "episode", TOPICS, LABELS)
    writer.write_message("/instruction", text("open the drawer"), START, START)
    writer.flush()
    assert find_bags(tmp_path) == []
    with pytest.raises(BagError, match="gr1 bags recover"):
        Bag(tmp_path / "episode")
    writer.close({"outcome": "success"})
    assert find_bags(tmp_path) == [tmp_path / "episode"]
    with pytest.raises(BagError, match="is closed"):
        writer.write_message("/instruction", b"", START, START)


def test_relabelling_changes_the_label_and_not_a_byte_of_the_recording(tmp_path):
    folder = demonstration(steps=3).save(tmp_path / "episode")
    before, counts = digest(folder / "episode_0.mcap"), Bag(folder).counts
    bag = relabel_bag(
        folder,
        outcome="discarded",
        instruction='say "cheese": café, 引き出し',
        operator="bob",
        note="- the drawer: stuck #2",
    )
    assert (bag.outcome, bag.instruction, bag.labels["operator"]) == (
        "discarded",
        'say "cheese": café, 引き出し',
        "bob",
    )
    assert bag.labels["note"] == "- the drawer: stuck #2"
    assert digest(folder / "episode_0.mcap") == before and bag.counts == counts and bag.rig == tiny_rig()
    assert [path.name for path in sorted(folder.iterdir())] == ["episode_0.mcap", "metadata.yaml"]
    with Reader(folder) as reader:
        assert reader.message_count == sum(counts.values())


@pytest.mark.parametrize(
    ("labels", "refusal"),
    [
        ({"outcome": "good"}, "'good' is not one of success, failure, discarded, unfinished"),
        ({"instruction": " "}, "instruction.* is empty"),
        ({"instruction": "open\nthe drawer"}, "instruction.*line breaks"),
        ({"operator": "al\x1b[31mice"}, "operator.*control characters"),
        ({"operator": "\ud800"}, "operator"),
        ({"note": 3}, "note.*labels are text"),
    ],
)
def test_invalid_labels_are_refused_by_name(labels, refusal):
    with pytest.raises(BagError, match=refusal):
        check_labels(labels)


def test_facts_of_the_recording_cannot_be_relabelled(tmp_path):
    folder = demonstration(steps=3).save(tmp_path / "episode")
    with pytest.raises(BagError, match="'rig' is a fact of the recording"):
        relabel_bag(folder, rig="{}")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"topics": {"/x": "sensor_msgs/msg/Imag"}}, "did you mean 'sensor_msgs/msg/Image'"),
        ({"labels": {"rig": RIG}}, "missing label instruction"),
        ({"labels": {"instruction": "go"}}, "missing label rig"),
        ({"compression": "gzip"}, "'gzip' is not one of none, zstd, lz4"),
        ({"qos": {"/instruction": "latched"}}, "'latched' is not one of"),
    ],
)
def test_an_invalid_bag_is_refused_and_leaves_no_folder(tmp_path, change, refusal):
    with pytest.raises(ValueError, match=refusal):
        BagWriter(tmp_path / "episode", **{"topics": TOPICS, "labels": LABELS} | change)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_and_an_undeclared_topic_are_refused(tmp_path):
    with BagWriter(tmp_path / "episode", TOPICS, LABELS) as writer:
        with pytest.raises(BagError, match="exists already"):
            BagWriter(tmp_path / "episode", TOPICS, LABELS)
        with pytest.raises(BagError, match="'/arm/pos' is not one of this bag's"):
            writer.write_message("/arm/pos", b"", START, START)


def test_bags_of_other_programs_are_refused_by_the_labels_they_lack(tmp_path):
    for name, storage, refusal in (
        ("mcap", StoragePlugin.MCAP, "missing labels episode, instruction, outcome, rig"),
        ("sqlite", StoragePlugin.SQLITE3, "storage is 'sqlite3', expected mcap"),
    ):
        with Writer(tmp_path / name, version=9, storage_plugin=storage) as writer:
            topic = writer.add_connection(
                "/instruction", "std_msgs/msg/String", msgdef="string data\n", rihs01="RIHS01_0"
            )
            writer.write(topic, START, text("go"))
        with pytest.raises(BagError, match=refusal):
            Bag(tmp_path / name)
    with pytest.raises(BagError, match="no such folder"):
        Bag(tmp_path / "none")
    (tmp_path / "plain").mkdir()
    with pytest.raises(BagError, match="is no bag"):
        Bag(tmp_path / "plain")


def test_topics_are_found_in_any_namespace_but_not_in_two(tmp_path):
    kinds = {f"/{arm}/arm/pose": TOPICS["/arm/pose"] for arm in ("left", "right")} | {
        "/left/instruction": TOPICS["/instruction"]
    }
    with BagWriter(tmp_path / "episode", kinds, LABELS) as writer:
        for topic in kinds:
            writer.write_message(topic, text("x"), START, START)
        bag = Bag(writer.close({"outcome": "success"}))
    assert bag.topic("instruction") == "/left/instruction"
    assert bag.topic("ruction") is None and bag.topic("arm/gripper") is None
    with pytest.raises(BagError, match="/left/arm/pose, /right/arm/pose"):
        bag.topic("arm/pose")


def test_a_complete_demonstration_has_no_problems(tmp_path):
    assert verify_bag(demonstration(steps=5).save(tmp_path / "episode")) == []


def test_verify_detects_a_flipped_bit_anywhere_in_the_file(tmp_path):
    folder = demonstration(steps=2).save(tmp_path / "episode")
    path = folder / "episode_0.mcap"
    whole, rng = path.read_bytes(), random.Random(11)
    places = [
        *range(60),
        *(rng.randrange(len(whole)) for _ in range(60)),
        *range(len(whole) - 150, len(whole)),
    ]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        assert any(problem.startswith(("checksum:", "cut off:")) for problem in verify_bag(folder)), (
            f"byte {place} of {len(whole)}"
        )


def test_reading_a_damaged_bag_is_refused_with_the_remedy(tmp_path):
    folder = demonstration(steps=3).save(tmp_path / "episode")
    path = folder / "episode_0.mcap"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(BagError, match="is damaged.*gr1 bags verify"):
        list(Bag(folder).messages())


def test_verify_names_a_missing_camera_lost_messages_gaps_and_clocks_that_go_backwards(tmp_path):
    assert "missing: no image of the wrist camera" in verify_bag(
        demonstration(steps=3, without="wrist").save(tmp_path / "blind")
    )

    stalled = demonstration(steps=20)
    stalled.messages = [m for m in stalled.messages if "static" not in m[1] or not 400 < m[0] < 900]
    (problem,) = verify_bag(stalled.save(tmp_path / "stalled"))
    assert (
        problem
        == "gap: /camera/static/image_raw/compressed: 1 longer than 150 ms, the longest 500 ms at 0.40 s"
    )

    turned = demonstration(steps=20)
    late = next(message for at, topic, message in turned.messages if topic == "/arm/pose" and at > 1000)
    late.header.stamp.sec -= 1
    (problem,) = verify_bag(turned.save(tmp_path / "turned"))
    assert problem.startswith("time: /arm/pose: header stamps go backwards 1 time, by up to 980.0 ms")

    folder = demonstration(steps=5).save(tmp_path / "lossy")
    raw = yaml.safe_load((folder / "metadata.yaml").read_text())
    labels = raw["rosbag2_bagfile_information"]["custom_data"]
    labels["topics"] = json.dumps({"/arm/pose": {"expected": 33, "received": 30, "lost": 2, "dropped": 1}})
    labels["rig"] = "name: nothing else"
    (folder / "metadata.yaml").write_text(yaml.safe_dump(raw))
    problems = verify_bag(folder)
    assert "lost: /arm/pose: 3 of 33 messages" in problems
    assert any(problem.startswith("rig: ") and "control_hz" in problem for problem in problems)


def test_verify_compares_the_counts_of_the_metadata_with_the_file(tmp_path):
    folder = demonstration(steps=3).save(tmp_path / "episode")
    path = folder / "metadata.yaml"
    count = Bag(folder).counts["/command/policy/twist"]
    head, tail = path.read_text().split("name: /command/policy/twist", 1)
    path.write_text(
        head
        + "name: /command/policy/twist"
        + tail.replace(f"message_count: {count}", f"message_count: {count + 2}", 1)
    )
    assert (
        f"count: /command/policy/twist: metadata.yaml says {count + 2} messages, the file holds {count}"
        in verify_bag(folder)
    )


def test_messages_are_those_that_a_ros_node_would_read():
    """rclpy in a process of its own, since its wheel re-executes the interpreter."""
    pytest.importorskip("rclpy")
    fields = {
        "header": {"stamp": {"sec": 7, "nanosec": 9}, "frame_id": "base_link"},
        "name": ("a", "bc"),
        "position": (0.5, -1.25),
    }
    data = schemas.serialize(
        schemas.make_message("sensor_msgs/msg/JointState", **fields), "sensor_msgs/msg/JointState"
    )
    code = (
        "import sys; from rclpy.serialization import deserialize_message as d; from sensor_msgs.msg import "
        "JointState as J;"
        f"m = d(bytes.fromhex('{data.hex()}'), J); h = m.header;"
        "print(h.stamp.sec, h.frame_id, list(m.name), list(m.position), len(m.effort))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "7 base_link ['a', 'bc'] [0.5, -1.25] 0", done.stderr


def test_stamps_are_read_without_decoding_the_message():
    fields = {"header": {"stamp": {"sec": 1_700_000_000, "nanosec": 123}}, "pose": {"position": {"x": 1.0}}}
    kind = "geometry_msgs/msg/PoseStamped"
    data = schemas.serialize(schemas.make_message(kind, **fields), kind)
    assert schemas.header_stamp(kind, data) == 1_700_000_000_000_000_123
    assert schemas.header_stamp("std_msgs/msg/String", text("x")) is None
    assert schemas.deserialize(kind, data).pose.position.x == 1.0
    assert np.array_equal(schemas.make_message("sensor_msgs/msg/CameraInfo").k, np.zeros(9))


def test_bytes_and_fields_that_do_not_fit_a_type_are_refused_by_its_name():
    with pytest.raises(schemas.SchemaError, match="3 bytes are not a valid geometry_msgs/msg/PoseStamped"):
        schemas.deserialize("geometry_msgs/msg/PoseStamped", b"\x00\x01\x00")
    with pytest.raises(schemas.SchemaError, match="has no field 'positon'"):
        schemas.make_message("sensor_msgs/msg/JointState", positon=[1.0])
    with pytest.raises(schemas.SchemaError, match="does not fit std_msgs/msg/String"):
        schemas.serialize(schemas.make_message("std_msgs/msg/String", data=3), "std_msgs/msg/String")
