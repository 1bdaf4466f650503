"""What the recorder says of a stream: expected, received, gaps, lost, and what is wrong now."""

import math

import pytest

from gr1_core import Rig
from gr1_recorder.stream_statistics import Message, StreamStatistics
from gr1_recorder.streams import Stream, StreamError, streams_of

PERIOD = 0.05
CAMERA = Stream("camera", "sensor_msgs/msg/CompressedImage", hz=1 / PERIOD, max_age=0.15, required=True)
HZ = {"camera_static": 20.0, "camera_wrist": 20.0, "arm": 100.0, "sim_state": 50.0, "sim_success": 10.0}


def message(number, seconds, arrived=None):
    stamp = round(1e9 * seconds)
    return Message("/camera", b"", stamp, stamp, stamp, number, seconds if arrived is None else arrived)


def heard(numbers, stream=CAMERA, last=0):
    """A stream that began at 0 and whose messages of these numbers came, number n at n periods."""
    count = StreamStatistics(stream, 0.0, last)
    for number in numbers:
        count.add_message(message(number, number * PERIOD))
    return count


def test_a_whole_stream_is_as_expected():
    told = heard(range(1, 41)).summary(2.0)
    assert told == {
        "type": CAMERA.type,
        "expected": 40,
        "received": 40,
        "gaps": 0,
        "longest_gap_ms": 50.0,
        "lost": 0,
        "dropped": 0,
    }


def test_a_message_lost_on_its_way_is_a_gap_and_is_known_from_its_number():
    told = heard([*range(1, 10), *range(12, 21)]).summary(1.0)
    assert (told["gaps"], told["longest_gap_ms"], told["lost"], told["expected"], told["received"]) == (
        1,
        150.0,
        2,
        20,
        18,
    )


def test_a_message_that_was_never_sent_is_a_gap_and_no_loss():
    count = heard(range(1, 10))
    count.add_message(message(10, 12 * PERIOD))
    assert (count.gaps, count.lost) == (1, 0)


def test_a_loss_before_the_first_message_counts_too():
    assert heard([4, 5], last=1).lost == 2 and heard([4, 5], last=None).lost == 0


def test_a_sender_that_starts_anew_and_several_senders_lose_nothing():
    assert heard([7, 8, 1, 2], last=6).lost == 0
    count = StreamStatistics(CAMERA, 0.0, 0)
    for number in (1, 90, 2, 91):
        count.add_message(message(number, 0.1), one_sender=False)
    assert count.lost == 0


def test_late_arrival_is_no_gap():
    count = StreamStatistics(CAMERA, 0.0)
    for number in range(1, 11):
        count.add_message(message(number, number * PERIOD, arrived=0.5))
    assert count.gaps == 0


def test_silence_is_trouble_as_soon_as_it_is_longer_than_the_streams_maximum_age():
    count = heard(range(1, 21))
    assert count.fault(1.1) == "" and count.fault(1.16) == "camera: nothing for 0.2 s"
    count.end(1.16)
    assert count.gaps == 1 and count.summary(1.16)["longest_gap_ms"] == pytest.approx(160)


def test_a_slow_stream_is_trouble_before_its_gaps_are_long():
    count = StreamStatistics(CAMERA, 0.0)
    for number in range(1, 41):
        count.add_message(message(number, number * 0.07))
    assert count.fault(2.8) == "camera: 14.3 Hz instead of 20"


def test_a_stream_that_need_not_be_there_is_expected_from_its_first_message_on():
    commands = Stream("command", "std_msgs/msg/Float32", hz=20.0, max_age=0.15)
    assert (
        StreamStatistics(commands, 0.0).fault(100.0) == ""
        and StreamStatistics(commands, 0.0).expected(100.0) == 0
    )
    count = StreamStatistics(commands, 0.0)
    count.add_message(message(1, 10.0))
    assert count.expected(11.0) == 20 and "nothing for 1.0 s" in count.fault(11.0)


def test_a_required_stream_that_never_comes_is_all_gap():
    count = StreamStatistics(CAMERA, 0.0)
    assert "nothing for 1.0 s" in count.fault(1.0)
    count.end(2.0)
    assert (count.gaps, count.expected(2.0), count.received) == (1, 40, 0)


def test_a_stream_without_a_rate_has_no_gaps():
    count = heard([1, 100], Stream("instruction", "std_msgs/msg/String"))
    assert (count.gaps, count.expected(5.0), count.fault(500.0)) == (0, 0, "")


def test_a_bag_holds_all_that_the_interfaces_name_with_the_rigs_ages():
    rig = Rig.load("kinova_gen2")
    found = {stream.topic: stream for stream in streams_of(rig, "jpeg", HZ)}
    assert [topic for topic, stream in found.items() if stream.required] == [
        "camera/static/image_raw/compressed", "camera/wrist/image_raw/compressed", "arm/pose", "arm/gripper",
    ]  # fmt: skip
    assert found["camera/wrist/image_raw/compressed"].max_age == rig.cameras["wrist"].max_age
    assert found["command/policy/twist"].hz == rig.control_hz and math.isinf(found["instruction"].max_age)
    assert "camera/static/image_raw" in {stream.topic for stream in streams_of(rig, "raw", HZ)}


def test_a_topic_that_is_recorded_anyway_is_no_further_topic():
    with pytest.raises(StreamError, match="recorded anyway"):
        streams_of(Rig.load("kinova_gen2"), "jpeg", HZ, ["arm/pose:geometry_msgs/msg/PoseStamped"])
