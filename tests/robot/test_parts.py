"""What every node is built from: messages, statistics, diagnostics, parameters, the loop, the way home."""

import array
import math
import threading
import time

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.parameter import Parameter
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage, Image

from gr1_common import diagnostics, messages, scheduling
from gr1_common.loop import Loop
from gr1_common.mailbox import Mailbox
from gr1_common.parameters import ParameterError, declare
from gr1_common.timing import RateMeter, RollingWindow
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm import backend
from gr1_robot.arm.homing import Homing
from gr1_robot.cameras import driver
from tests.support import ros_graph

RNG = np.random.default_rng(0)


def noise_image(height=6, width=8):
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


# Messages


def test_an_image_survives_the_message():
    image, stamp = noise_image(), Time(sec=3, nanosec=5)
    msg = messages.image_to_msg(image, stamp, "lens")
    assert (msg.encoding, msg.step, msg.header.stamp, msg.header.frame_id) == ("rgb8", 24, stamp, "lens")
    np.testing.assert_array_equal(messages.msg_to_image(msg), image)


def test_rows_that_are_padded_and_channels_that_are_swapped_come_out_right():
    image = noise_image()
    rows = np.zeros((6, 40), np.uint8)
    rows[:, :24] = image[:, :, ::-1].reshape(6, 24)
    msg = Image(height=6, width=8, encoding="bgr8", step=40, data=array.array("B", rows.tobytes()))
    np.testing.assert_array_equal(messages.msg_to_image(msg), image)


def test_a_view_that_is_not_contiguous_is_sent_right():
    image = noise_image(12, 16)[2:8, 3:11]
    np.testing.assert_array_equal(messages.msg_to_image(messages.image_to_msg(image, Time(), "")), image)


def test_jpeg_and_png_come_out_as_rgb():
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 200
    assert np.abs(messages.msg_to_image(messages.image_to_jpeg(red, Time(), "")).astype(int) - red).max() < 8
    png = cv2.imencode(".png", red[:, :, ::-1])[1]
    np.testing.assert_array_equal(
        messages.msg_to_image(CompressedImage(data=array.array("B", png.tobytes()), format="png")), red
    )


@pytest.mark.parametrize(
    ("msg", "words"),
    [
        (Image(height=1, width=1, encoding="16UC1", step=2, data=array.array("B", [0, 0])), "16UC1"),
        (Image(height=2, width=2, encoding="rgb8", step=6, data=array.array("B", [0] * 11)), "11 bytes"),
        (Image(height=2, width=2, encoding="rgb8", step=5, data=array.array("B", [0] * 12)), "step 5"),
        (CompressedImage(format="jpeg", data=array.array("B", [1, 2, 3])), "3 bytes"),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_with_what_is_wrong(msg, words):
    with pytest.raises(messages.ImageError, match=words):
        messages.msg_to_image(msg)


def test_an_array_that_is_not_a_picture_is_refused():
    with pytest.raises(messages.ImageError, match=r"float64\[2, 2, 3\]"):
        messages.image_to_msg(np.zeros((2, 2, 3)), Time(), "")


def test_time_and_poses_survive_the_message():
    assert messages.nanoseconds(messages.to_stamp(1_700_000_000_123_456_789)) == 1_700_000_000_123_456_789
    assert messages.seconds(Time(sec=2, nanosec=500_000_000)) == 2.5
    position, quaternion = messages.from_pose(messages.to_pose(np.arange(3), [0, 0, 0, 1]))
    assert position.tolist() == [0, 1, 2] and quaternion.tolist() == [0, 0, 0, 1]
    linear, angular = messages.from_twist(messages.to_twist([1, 2, 3], [4, 5, 6]))
    assert linear.tolist() == [1, 2, 3] and angular.tolist() == [4, 5, 6]


def test_the_time_of_sending_comes_from_the_middleware_and_is_never_later_than_now():
    before = time.monotonic()
    assert messages.send_time({"source_timestamp": time.time_ns() - 2_000_000_000}) == pytest.approx(
        before - 2.0, abs=1.0
    )
    for unknown_or_future in (0, time.time_ns() + 10**12):
        assert before <= messages.send_time({"source_timestamp": unknown_or_future}) <= time.monotonic()


# Statistics


def test_a_window_forgets_what_is_old():
    window = RollingWindow(3)
    assert math.isnan(window.quantile(0.5))
    for value in (100, 1, 2, 3):
        window.add(value)
    assert (window.quantile(0.0), window.quantile(0.5), window.quantile(1.0)) == (1, 2, 3)


def test_a_rate_counts_what_came_in_its_span_and_falls_to_zero_afterwards():
    rate = RateMeter(span=1.0)
    for index in range(30):
        rate.tick(index * 0.1)
    assert rate.hz == pytest.approx(10.0) and rate.age(3.0) == pytest.approx(0.1)
    assert rate.hz_at(100.0) == 0.0 and rate.age(100.0) == math.inf


# Diagnostics and parameters


@pytest.fixture(scope="module")
def node():
    ros_graph.init_ros()
    node = Node("parts")
    yield node
    node.destroy_node()


def test_a_change_of_level_is_published_at_once_and_no_change_is_not(ros, node):
    published = diagnostics.Diagnostics(node)
    graph_ready = threading.Event()
    while not node.count_subscribers("/diagnostics"):
        graph_ready.wait(0.02)
    mine = lambda array: array.status[0].name == "parts: subject"  # noqa: E731
    for level in (diagnostics.OK, diagnostics.OK, diagnostics.ERROR):
        published.status("subject", level, "text", {"number": 1.0, "word": "yes"})
    ros.until("/diagnostics", lambda a: mine(a) and a.status[0].level == diagnostics.ERROR)
    levels = [array.status[0].level for array in ros.messages("/diagnostics") if mine(array)]
    assert levels == [diagnostics.OK, diagnostics.ERROR]
    values = {item.key: item.value for item in ros.until("/diagnostics", mine).status[0].values}
    assert values == {"number": "1.000", "word": "yes"}


def test_a_parameter_is_checked_when_it_is_declared_and_when_it_is_set(node):
    assert declare(node, "speed", 2.0, "text", low=0, high=5) == 2.0
    assert declare(node, "colour", "red", "text", choices=("red", "blue")) == "red"
    assert not node.set_parameters([Parameter("speed", value=6.0)])[0].successful
    refused = node.set_parameters([Parameter("colour", value="green")])[0]
    assert not refused.successful and "green" in refused.reason and "red, blue" in refused.reason
    assert node.set_parameters([Parameter("colour", value="blue")])[0].successful
    with pytest.raises(ParameterError, match="mauve"):
        declare(node, "other", "mauve", "text", choices=("red", "blue"))


# Plug-ins


def test_arm_and_camera_drivers_are_found_by_name():
    assert "sim" in backend.backend_names() and "sim" in driver.driver_names()
    with pytest.raises(backend.ArmError, match="hal"):
        backend.load_backend("hal", Rig.load("kinova_gen2"), {})


# The loop


def test_a_late_step_is_counted_and_never_caught_up_in_a_burst():
    calls, enough = [], threading.Event()

    def step(now):
        calls.append(now)
        if len(calls) == 5:
            time.sleep(0.055)
        if len(calls) == 12:
            enough.set()

    loop = Loop(step, 0.01, on_failure=lambda error: pytest.fail(str(error)))
    loop.start()
    assert enough.wait(10)
    loop.end()
    assert loop.missed >= 5
    assert min(b - a for a, b in zip(calls, calls[1:])) > 0.0
    beats = [(call - calls[0]) / 0.01 for call in calls]
    assert len({round(beat - 0.3) for beat in beats}) == len(beats), "one step a beat"


def test_a_step_that_fails_ends_the_loop_and_says_why():
    failed, errors = threading.Event(), []

    def on_failure(error):
        errors.append(error)
        failed.set()

    def step(now):
        raise RuntimeError("broken")

    loop = Loop(step, 0.01, on_failure)
    loop.start()
    assert failed.wait(10) and str(errors[0]) == "broken"
    loop.end()


def test_a_mailbox_never_makes_its_sender_wait_and_keeps_only_the_newest():
    done, taken, free, last = [], threading.Event(), threading.Event(), threading.Event()

    def work(item):
        taken.set()
        assert free.wait(10)
        done.append(item)
        if item == 9:
            last.set()

    box = Mailbox(work, on_failure=lambda error: pytest.fail(str(error)), name="test")
    box.post(0)
    assert taken.wait(10)
    for item in range(1, 10):
        box.post(item)  # would hang here if it waited for the work, which waits for `free`
    free.set()
    assert last.wait(10) and done == [0, 9]
    box.end()


def test_precedence_is_asked_for_and_never_an_error():
    told = []
    thread = threading.Thread(target=lambda: told.append(scheduling.raise_scheduling_priority()))
    thread.start()
    thread.join()
    assert told[0] in ("realtime", "nice -10", "normal")


# Home


def test_the_way_home_ends_there():
    limits = Rig.load("kinova_gen2").limits
    home = Pose(np.array([0.4, 0.0, 0.3]), Rotation.from_euler("x", 180, degrees=True).as_quat())
    position, rotation = np.array([0.5, 0.2, 0.2]), Rotation.from_euler("xz", [170, 60], degrees=True)
    homing = Homing(limits)
    homing.start(home)
    ticks = 0
    while homing.active:
        twist = homing.next_twist(Pose(position, rotation.as_quat()), 0.01 * ticks)
        if twist:
            assert (
                np.linalg.norm(twist[0]) <= limits.linear_speed
                and np.linalg.norm(twist[1]) <= limits.angular_speed
            )
            position = position + twist[0] * 0.01
            rotation = Rotation.from_rotvec(twist[1] * 0.01) * rotation
        ticks += 1
        assert ticks < 2000
    assert np.linalg.norm(position - home.position) < 0.002
    assert (rotation * Rotation.from_quat(home.quaternion).inv()).magnitude() < 0.01
