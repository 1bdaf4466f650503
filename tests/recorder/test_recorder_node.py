"""The recorder as a process over real ROS 2: messages are in the bag byte for byte, losses are named."""

import json
import signal
import subprocess
import sys

import pytest
from std_msgs.msg import String

from gr1_common.qos import LATCHED
from gr1_core import Rig
from gr1_core.data.bag import Bag, find_bags
from gr1_core.data.schemas import deserialize
from gr1_recorder import Recorder, RecorderError
from tests.support.ros_graph import NodeProcess, RosClient
from tests.support.waiting import eventually

from .robot import ARM_HZ, CAMERA_HZ, INSTRUCTION, STATIC, STREAMS, WRIST


@pytest.fixture(scope="module")
def ros(robot):
    ros = RosClient()
    yield ros
    ros.close()


@pytest.fixture(autouse=True)
def alive(robot):
    """Every test begins with a whole robot and an instruction."""
    robot.whole()


def episode(recorder, robot, end="success", seconds=1.0):
    """Records until that much has come; returns the bag's name."""
    recorder.start()
    recording(recorder, seconds)
    return getattr(recorder, end)()


def ready(ros, message="ready"):
    """Waits until the recorder says so on /diagnostics."""
    ros.status(
        "recorder: episode",
        lambda status: status.message.startswith(message),
        len(ros.messages("/diagnostics")),
    )


def recording(recorder, seconds):
    """Waits until the running episode is that long."""
    eventually(
        lambda: recorder.state.state == "recording" and recorder.state.seconds >= seconds,
        f"{seconds} s of recording",
    )


def test_a_bag_holds_every_message_byte_for_byte_and_the_counts_are_right(launch, recorder, robot, tmp_path):
    launch("operator:=Ada")
    recorder.start()
    recording(recorder, 2.0)
    robot.quiet()
    bag = Bag(tmp_path / "bags" / recorder.success())
    told = json.loads(bag.labels["topics"])
    for topic in STREAMS:
        messages = list(bag.messages([f"/{topic}"]))
        recorded, sent = [bytes(message.data) for message in messages], robot.sent[topic]
        assert recorded and recorded == sent[sent.index(recorded[0]) :], topic
        assert all(message.publish_time <= message.log_time for message in messages)
        figures = told[f"/{topic}"]
        assert (figures["received"], figures["lost"], figures["dropped"]) == (len(recorded), 0, 0)
    assert told[f"/{STATIC}"]["expected"] == pytest.approx(float(bag.labels["seconds"]) * CAMERA_HZ, abs=1)
    assert told["/arm/pose"]["expected"] == pytest.approx(float(bag.labels["seconds"]) * ARM_HZ, abs=1)
    assert (bag.instruction, bag.outcome, bag.labels["operator"]) == (INSTRUCTION, "success", "Ada")
    assert bag.rig == Rig.load("kinova_gen2")


def test_each_bag_is_whole_by_itself_with_the_instruction_that_was_said_before(
    launch, recorder, robot, tmp_path
):
    launch("instruction:=what nobody said")
    for text in ("open the drawer", "close the drawer"):
        robot.instruct(text)
        bag = Bag(tmp_path / "bags" / episode(recorder, robot, seconds=0.5))
        assert bag.instruction == text
        assert [
            deserialize(message.type, message.data).data for message in bag.messages(["/instruction"])
        ] == [text]
    assert len(find_bags(tmp_path / "bags")) == 2


def test_a_discarded_bag_stays_and_a_mind_may_be_changed(launch, recorder, robot, tmp_path):
    launch()
    folder = tmp_path / "bags" / episode(recorder, robot, "discard", 0.5)
    before = next(folder.glob("*.mcap")).read_bytes()
    assert Bag(folder).outcome == "discarded"
    assert recorder.failure() == folder.name and Bag(folder).outcome == "failure"
    assert recorder.state.episodes == {"failure": 1}
    assert recorder.relabel(note="the drawer stuck", operator="Ada") == folder.name
    labels = Bag(folder).labels
    assert (labels["note"], labels["operator"], labels["instruction"]) == (
        "the drawer stuck",
        "Ada",
        INSTRUCTION,
    )
    assert next(folder.glob("*.mcap")).read_bytes() == before


def test_a_start_is_refused_with_the_stream_that_does_not_come(launch, recorder, robot, ros, tmp_path):
    launch("patience_s:=0.5")
    ready(ros)
    robot.streams -= {WRIST, "arm/pose"}
    with pytest.raises(RecorderError) as refused:
        recorder.start()
    assert (
        WRIST in str(refused.value) and "arm/pose" in str(refused.value) and STATIC not in str(refused.value)
    )
    assert not find_bags(tmp_path / "bags")


def test_an_end_without_a_beginning_and_a_second_beginning_are_refused(launch, recorder, robot, ros):
    launch()
    with pytest.raises(RecorderError, match="nothing has been recorded"):
        recorder.success()
    name = recorder.start()
    with pytest.raises(RecorderError, match=f"already recording {name}"):
        recorder.start()
    with pytest.raises(RecorderError, match=f"{name} is being recorded"):
        recorder.relabel(note="too early")
    ros.subscribe("recorder/state", String, LATCHED)
    assert json.loads(ros.until("recorder/state").data)["bag"] == name
    recorder.discard()


def test_without_an_instruction_nothing_is_recorded_and_the_command_line_says_why(launch, robot, ros):
    robot.instruct(" ")
    launch("patience_s:=0.5")
    ready(ros, "not ready: no instruction")
    tried = subprocess.run(
        [sys.executable, "-m", "gr1_core", "record", "start"], capture_output=True, text=True, timeout=60
    )
    assert tried.returncode == 1 and "no instruction" in tried.stderr and "Traceback" not in tried.stderr


def test_without_room_on_the_disk_nothing_is_begun(launch, recorder, robot):
    launch("min_free_mb:=1000000000")
    with pytest.raises(RecorderError, match="MB are free on the disk .* make room"):
        recorder.start()


def test_what_cannot_be_recorded_is_refused_by_name_at_once(tmp_path):
    (tmp_path / "rig.yaml").write_bytes(b"\xff\xfe")
    cases = {
        f"rig:={tmp_path / 'rig.yaml'}": "rig.yaml is not text",
        "extra_topics:=['/tf']": "name:type",
        "extra_topics:=['/tf:tf2_msgs/msg/TFMesage']": "TFMessage",
        "root:=/dev/null/bags": "/dev/null/bags",
    }
    tried = [
        (said, NodeProcess("gr1_recorder.recorder_node", parameter)) for parameter, said in cases.items()
    ]
    for said, process in tried:
        code, output = process.wait()
        assert code == 1 and said in output and "Traceback" not in output


def test_further_topics_are_recorded_too(launch, recorder, robot, ros, tmp_path):
    launch("extra_topics:=['operator/says:std_msgs/msg/String']")
    publisher = ros.publisher("operator/says", String)
    recorder.start()
    publisher.publish(String(data="slowly"))
    ros.status("recorder: episode", lambda status: any(pair.key == "operator/says" for pair in status.values))
    bag = Bag(tmp_path / "bags" / recorder.success())
    assert [deserialize(message.type, message.data).data for message in bag.messages(["/operator/says"])] == [
        "slowly"
    ]


def test_a_stream_that_stops_in_mid_episode_is_named_while_it_is_recorded_and_afterwards(
    launch, recorder, robot, ros, tmp_path
):
    node = launch()
    recorder.start()
    recording(recorder, 0.5)
    seen = len(ros.messages("/diagnostics"))
    robot.streams -= {WRIST}
    status, values = ros.status(
        "recorder: episode", lambda status: status.level == status.WARN and WRIST in status.message, seen
    )
    assert values["state"] == "recording" and "nothing for" in status.message and STATIC not in status.message
    node.until(f"{WRIST}: nothing for")
    told = json.loads(Bag(tmp_path / "bags" / recorder.discard()).labels["topics"])
    assert told[f"/{WRIST}"]["gaps"] >= 1 and told[f"/{WRIST}"]["longest_gap_ms"] > 150


def test_the_end_of_the_recorder_ends_the_episode_as_unfinished(launch, recorder, robot, tmp_path):
    node = launch()
    folder = tmp_path / "bags" / recorder.start()
    recording(recorder, 0.5)
    node.send(signal.SIGTERM)
    code, output = node.wait()
    assert code == 0 and "Traceback" not in output
    bag = Bag(folder)
    assert (
        bag.outcome == "unfinished"
        and "ended in mid-episode" in bag.labels["note"]
        and bag.counts[f"/{STATIC}"] > 0
    )


def test_an_episode_that_was_ended_early_cannot_become_a_success(launch, recorder, robot, ros, tmp_path):
    launch("max_episode_s:=1.0")
    name = recorder.start()
    ros.status(
        "recorder: episode",
        lambda status: status.level == status.ERROR and "longer than max_episode_s" in status.message,
    )
    with pytest.raises(RecorderError, match="ended early"):
        recorder.success()
    assert Bag(tmp_path / "bags" / name).outcome == "unfinished"
    assert recorder.failure() == name


def content(folders):
    return {folder: {path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders}


def crash(launch, robot, root):
    """Records an episode, then kills the recorder in the next; returns the killed one's folder, what was
    sent by then, all earlier bags.
    """
    node = launch("patience_s:=20.0")
    with Recorder() as recorder:
        recorder.start()
        recorder.success()
        earlier = content(find_bags(root))
        folder = root / recorder.start()
        recording(recorder, 1.5)
        node.send(signal.SIGKILL)
        node.wait()
        return (
            folder,
            {topic: list(robot.sent[topic]) for topic in (STATIC, WRIST, "arm/pose", "arm/gripper")},
            earlier,
        )


def check_saved(folder, sent):
    """All but the last second is there, in order and byte for byte."""
    bag = Bag(folder)
    assert bag.outcome == "unfinished" and bag.instruction == INSTRUCTION
    for topic, messages in sent.items():
        saved = [bytes(message.data) for message in bag.messages([f"/{topic}"])]
        rest = messages[messages.index(saved[0]) :]
        assert saved == rest[: len(saved)]
        assert len(rest) - len(saved) <= (CAMERA_HZ if topic in (STATIC, WRIST) else ARM_HZ), topic


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_recorder_loses_at_most_a_second_and_touches_no_earlier_bag(launch, robot, tmp_path, times):
    root = tmp_path / "bags"
    for _ in range(times):
        folder, sent, earlier = crash(launch, robot, root)
        node = launch()
        node.until(f"recovered: {folder.name}")
        node.send(signal.SIGTERM)
        node.wait()
        check_saved(folder, sent)
        assert content(earlier) == earlier
    assert len(find_bags(root)) == 2 * times
