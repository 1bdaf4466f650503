"""A slow, nearly full or full disk: every loss is counted and named, written messages stay readable."""

import json
import queue
import subprocess
import threading

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from gr1_core import Rig
from gr1_core.data import schemas
from gr1_core.data.bag import Bag
from gr1_core.data.bag_writer import BagWriter
from gr1_recorder import RecorderError, session
from gr1_recorder.episode import Limits
from gr1_recorder.stream_statistics import Message
from gr1_recorder.streams import Stream
from gr1_recorder.writer import MB
from tests.support.ros_graph import TIMEOUT

from .robot import INSTRUCTION, STATIC, WRIST
from .test_recorder_node import recording

TEXT = "std_msgs/msg/String"
DATA = schemas.serialize(schemas.make_message(TEXT, data="x" * 100), TEXT)


@pytest.fixture
def labels(tmp_path):
    Rig.load("kinova_gen2").save(tmp_path / "rig.yaml")
    return {"instruction": INSTRUCTION, "operator": "Ada", "rig": (tmp_path / "rig.yaml").read_text()}


class Held:
    """A session of one stream whose disk takes nothing until `disk` is set; `come` are the messages that
    wait to be heard.
    """

    def __init__(self, root, monkeypatch, limits):
        self.disk, self.come = threading.Event(), []

        class Slow(BagWriter):
            def write_message(bag, *arguments):
                self.disk.wait()
                super().write_message(*arguments)

        monkeypatch.setattr(session, "BagWriter", Slow)
        self.session = session.Session(root, {"/said": Stream("said", TEXT)}, limits, self._poll, lambda: 1)

    def _poll(self):
        for number in self.come:
            self.session.on_message(Message("/said", DATA, number, number, number, number, 0.0), True)
        self.come = []


def test_what_a_slow_disk_cannot_take_is_counted_and_named_and_the_rest_is_written(
    tmp_path, monkeypatch, labels
):
    held = Held(tmp_path, monkeypatch, Limits(queue=10 * len(DATA), min_free=1, max_seconds=600.0))
    name = held.session.start(labels, 1.0)
    held.come = list(range(1, 31))
    assert (
        held.session.receive() == ["the disk is too slow: messages are lost"] and held.session.receive() == []
    )
    level, message, values = held.session.report(1.0, labels)
    assert level == "ERROR" and message == "the disk is too slow, messages are lost: said 20"
    assert values["lost"] == 20 and "received=10" in values["said"] and "dropped=20" in values["said"]
    held.disk.set()
    held.session.end("success")
    bag = Bag(tmp_path / name)
    assert [message.log_time for message in bag.messages()] == list(range(1, 11))
    assert json.loads(bag.labels["topics"])["/said"]["dropped"] == 20


@pytest.fixture
def disk(tmp_path):
    """A disk of 60 MB, mounted where the recorder's bags go."""
    root = tmp_path / "bags"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(root)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


def fill(disk, leave):
    """A file that leaves so many MB."""
    free = int(
        subprocess.run(
            ["df", "--output=avail", "-B1", str(disk)], capture_output=True, text=True
        ).stdout.split()[-1]
    )
    (disk / "ballast").write_bytes(b"\1" * (free - int(leave * MB)))


def test_a_recording_ends_whole_before_the_disk_is_full_and_none_begins_until_there_is_room(
    disk, launch, recorder, robot
):
    robot.whole()
    node = launch("min_free_mb:=40")
    name = recorder.start()
    recording(recorder, 0.5)
    fill(disk, leave=15)
    node.until("less than 20 MB are free")
    bag = Bag(disk / name)
    assert bag.outcome == "unfinished" and "less than 20 MB are free" in bag.labels["note"]
    told = json.loads(bag.labels["topics"])
    for topic in (STATIC, WRIST):
        assert len(list(bag.messages([f"/{topic}"]))) == told[f"/{topic}"]["received"] > 0
    with pytest.raises(RecorderError, match="make room"):
        recorder.start()
    (disk / "ballast").unlink()
    recorder.start()
    recorder.discard()


def test_a_disk_that_is_full_all_at_once_costs_no_more_than_the_last_moments(disk, launch, recorder, robot):
    robot.whole()
    node = launch("min_free_mb:=40")
    name = recorder.start()
    recording(recorder, 1.0)
    fill(disk, leave=0)
    node.until("No space left on device")
    (disk / "ballast").unlink()
    launch("min_free_mb:=40").until(f"recovered: {name}")
    bag = Bag(disk / name)
    assert bag.outcome == "unfinished" and bag.duration_s > 0.5


class Arm:
    """An arm that keeps the stops asked of it and answers as `success` says; it has no arm/stop before
    `offer`.
    """

    def __init__(self):
        self.asked, self.success = queue.Queue(), True
        self._node, self._executor = rclpy.create_node("arm"), SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)

    def offer(self):
        self._node.create_service(Trigger, "arm/stop", self._on_stop)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _on_stop(self, _, response):
        self.asked.put(1)
        response.success = self.success
        return response


@pytest.fixture
def arm():
    arm = Arm()
    yield arm
    arm.close()


def cut_off(launch, recorder, *parameters):
    """A recorder whose recording ends by itself, after a second."""
    node = launch("max_episode_s:=1.0", *parameters)
    recorder.start()
    return node


@pytest.mark.parametrize(
    ("parameter", "expected"), [("true", "the arm is stopped"), ("false", "max_episode_s")]
)
def test_a_recording_that_ends_by_itself_stops_the_arm_unless_it_is_told_not_to(
    launch, recorder, robot, arm, parameter, expected
):
    robot.whole()
    arm.offer()
    cut_off(launch, recorder, f"stop_arm:={parameter}").until(expected)
    recorder.start()  # the recorder has dealt with the end of the first one
    recorder.discard()
    assert arm.asked.qsize() == (parameter == "true")


def test_the_arm_is_asked_to_stop_until_it_has_answered_that_it_did(launch, recorder, robot, arm):
    robot.whole()
    node = cut_off(launch, recorder)
    node.until("no node offers arm/stop")
    arm.success = False
    arm.offer()
    node.until("arm/stop has been called")
    for _ in range(2):
        arm.asked.get(timeout=TIMEOUT)
    arm.success = True
    node.until("the arm is stopped")
