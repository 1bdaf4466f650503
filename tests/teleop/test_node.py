"""The teleoperation node as a process, over real rclpy and TLS: a headset's hand moves the simulated arm."""

import dataclasses
import os
import re
import signal
import socket
import time

import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.qos import QoSProfile
from std_msgs.msg import Float32, String
from std_srvs.srv import Trigger

from gr1_common.messages import from_pose, from_twist, nanoseconds
from gr1_common.qos import LATCHED, SENSOR
from gr1_core.data.bag import Bag, find_bags
from gr1_core.data.command_timeline import true_spans
from gr1_core.data.steps import select_steps
from gr1_core.remote import certificate
from gr1_teleop.scene_reset import SceneReset
from tests.recorder.robot import STATIC, WRIST, Robot
from tests.support import ros_graph
from tests.support.waiting import eventually
from tests.teleop.headset_client import HeadsetClient, client

TWIST, GRIPPER, POSE = "command/teleop/twist", "command/teleop/gripper", "arm/commanded_pose"
# On an overloaded computer the clutch must not open in a test of something else.
PATIENT = ("timeout_s:=0.5", "port:=0", "host:=127.0.0.1")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """Folder of the certificate."""
    before, folder = os.environ.get("XDG_DATA_HOME"), tmp_path_factory.mktemp("home")
    os.environ["XDG_DATA_HOME"] = str(folder)
    yield folder
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="module")
def ros():
    ros_graph.init_ros()
    ros = ros_graph.RosClient("teleop_ear")
    every = QoSProfile(depth=500)  # all of them, also where this ros is slow
    for topic, kind, qos in (
        (TWIST, TwistStamped, every),
        (GRIPPER, Float32, every),
        (POSE, PoseStamped, SENSOR),
    ):
        ros.subscribe(topic, kind, qos)
    yield ros
    ros.close()


@pytest.fixture(scope="module")
def arm(ros):
    process = ros_graph.NodeProcess("gr1_robot.arm.node", "robot:=sim")
    ros.status("arm: gate")
    yield process
    process.end()


@pytest.fixture(scope="module")
def node(ros, arm):
    process = ros_graph.NodeProcess("gr1_teleop.teleop_node", *PATIENT)
    process.until("ready")
    yield process
    process.end()


@pytest.fixture(scope="module")
def door(node, home):
    """A paired client."""
    url = re.search(r"https://\S+/\?token=\S+", "".join(node._lines))[0]
    return client(url, certificate.folder("teleop") / certificate.FILE)


@pytest.fixture
def hand(door, ros, node):
    ros.call(Trigger, "arm/reset", Trigger.Request())
    wearer = HeadsetClient(door)
    wearer.state("where the gate stands", lambda state: state["gate"]["state"] == "holding")
    yield wearer
    wearer.close()
    ros.status(
        "teleop: operator",
        lambda status: _value(status, "operator") == "",
        after=len(ros.messages("/diagnostics")),
    )


def _value(status, key: str) -> str:
    return next((pair.value for pair in status.values if pair.key == key), "")


def _zero(twist: TwistStamped) -> bool:
    return not any(part.any() for part in from_twist(twist.twist))


def _where(ros):
    return from_pose(ros.messages(POSE)[-1].pose)[0]


def test_it_shows_address_and_code_and_ends_cleanly(ros):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = ros_graph.NodeProcess("gr1_teleop.teleop_node", "port:=0", "host:=127.0.0.1")
        process.until("ready")
        process.send(number)
        code, said = process.wait()
        assert code == 0 and "Traceback" not in said
        assert "https://127.0.0.1:" in said and "/?token=" in said and "▄" in said


def test_gr1_teleop_serves_the_pages_of_a_running_stack(ros):
    code = "import sys; from gr1_core.cli import main; sys.exit(main(sys.argv[1:]))"
    words = "teleop --port 0 --host 127.0.0.1 --namespace left".split()
    process = ros_graph.NodeProcess("", code=f"import sys; sys.argv[1:] = {words!r}; {code}")
    process.until("ready")
    process.send(signal.SIGINT)
    code, output = process.wait()
    assert code == 0 and "https://127.0.0.1:" in output and "[left.teleop]" in output


def test_what_cannot_be_is_refused_in_one_line(ros):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = {
            f"port:={taken.getsockname()[1]}": "in use",
            "token:=short": "at least 16",
            "scale:=2.0": "scale",
            "rig:=ur5": "built-in rigs are",
        }
        for parameter, reason in wrong.items():
            given = ["host:=127.0.0.1", *([] if "port" in parameter else ["port:=0"]), parameter]
            code, said = ros_graph.NodeProcess("gr1_teleop.teleop_node", *given).wait()
            assert code == 1 and reason in said and "Traceback" not in said, said


def test_the_arm_follows_the_hand_while_it_squeezes_and_not_otherwise(hand, ros):
    begun, gripped = len(ros.messages(TWIST)), len(ros.messages(GRIPPER))
    hand.position[1] += 0.05
    hand.state("some frames later", lambda state: state["clutch"] == "open")
    assert len(ros.messages(TWIST)) == begun and len(ros.messages(GRIPPER)) == gripped
    hand.engage()
    start = _where(ros)
    hand.trigger = 0.5
    for _ in range(20):
        hand.position[1] += 0.004
        time.sleep(0.02)
    ros.until(
        POSE, lambda pose: pose.pose.position.z > start[2] + 0.75 * 0.8 * 0.08, after=len(ros.messages(POSE))
    )
    ros.until(GRIPPER, lambda closure: closure.data == 0.5, after=gripped)
    holding, hand.squeeze = len(ros.messages(TWIST)), 0.0
    hand.state("the open clutch", lambda state: state["clutch"] == "open" and state["why"] == "released")
    ros.until(TWIST, _zero, after=holding)
    twists = ros.messages(TWIST)[begun:]
    assert _zero(twists[0]) and _zero(twists[-1]), "it begins and ends with a twist of zero"
    assert all(twist.header.frame_id == "base_link" for twist in twists)
    assert len(ros.messages(GRIPPER)) - gripped == len(twists) - 1, "the last one is for the arm only"
    stamps = [nanoseconds(twist.header.stamp) for twist in twists[:-1]]
    assert min(after - before for before, after in zip(stamps, stamps[1:])) > 0.08e9, (
        "never faster than the control rate"
    )
    hand.position[1] -= 0.2
    hand.state("some frames later", lambda state: state["clutch"] == "open")
    assert len(ros.messages(TWIST)) - begun == len(twists)


def test_without_a_recorder_a_start_is_refused_at_once_with_the_remedy(hand):
    hand.press("start")
    hand.state(
        "the refusal", lambda state: any("no recorder is running" in warning for warning in state["warnings"])
    )


@pytest.fixture(scope="module")
def cameras(ros):
    """Two cameras as topics, with the test's own hand on them."""
    robot = Robot()
    robot.streams = {STATIC, WRIST}
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def bags(tmp_path_factory, cameras, arm):
    """The folder of a running recorder."""
    folder = tmp_path_factory.mktemp("bags")
    process = ros_graph.NodeProcess(
        "gr1_recorder.recorder_node", f"root:={folder}", "hz.camera_static:=20.0", "hz.camera_wrist:=20.0"
    )
    process.until("ready")
    yield folder
    process.send(signal.SIGTERM)
    process.wait()


def _start(hand, **more) -> None:
    """Presses again if the recorder refuses: on an overloaded computer images arrive late."""
    for tries in range(3):
        hand.press("start", **more)
        try:
            return _recording(hand, "recording", timeout=8.0)
        except AssertionError:
            if tries == 2:
                raise


def _recording(hand, state: str, outcome: str = "", timeout: float = 20.0):
    def holds(told) -> bool:
        recording = told["recording"]
        return (recording["state"], recording["outcome"], recording["busy"]) == (state, outcome, "")

    return hand.state(f"{state} {outcome}", holds, timeout=timeout)


def test_episodes_begin_and_end_by_the_hands_buttons_and_the_bags_say_how(hand, bags, ros):
    for outcome, action in (("success", "success"), ("discarded", "discard"), ("failure", "failure")):
        _start(hand, instruction="lift the cup")
        hand.engage()
        hand.squeeze = 0.0
        hand.press(action)
        if action != "failure":
            hand.state("the question", lambda state, action=action: state["recording"]["confirm"] == action)
            hand.press(action)
        _recording(hand, "idle", outcome)
    hand.press("relabel", instruction="lift the mug")
    hand.state(
        "the relabelling's end", lambda state: any(pulse["kind"] == "record" for pulse in state["haptics"])
    )
    first, second, third = (Bag(folder) for folder in sorted(find_bags(bags)))
    assert [bag.outcome for bag in (first, second, third)] == ["success", "discarded", "failure"]
    assert [bag.instruction for bag in (first, second, third)] == [
        "lift the cup",
        "lift the cup",
        "lift the mug",
    ]
    assert all(
        bag.counts["/command/teleop/twist"] > 1 and bag.counts["/camera/wrist/image_raw/compressed"]
        for bag in (first, second)
    )


def test_a_camera_that_falls_silent_in_mid_episode_is_named_on_the_headset(hand, bags, cameras):
    _start(hand)
    cameras.streams = {STATIC}
    hand.state(
        "the silence", lambda state: any(f"{WRIST}: nothing for" in warning for warning in state["warnings"])
    )
    cameras.streams = {STATIC, WRIST}
    hand.press("failure")
    _recording(hand, "idle", "failure")


def test_a_person_takes_over_a_policy_gives_it_back_and_the_bag_says_when(hand, ros, bags):
    policy = ros.publisher("command/policy/twist", TwistStamped)

    def slowly():
        message = TwistStamped()
        message.header.stamp, message.header.frame_id = ros.node.get_clock().now().to_msg(), "base_link"
        message.twist.linear.y = 0.005
        return message

    def gate(source: str) -> None:
        ros.status(
            "arm: gate",
            lambda status: _value(status, "source") == source,
            after=len(ros.messages("/diagnostics")),
        )

    with ros_graph.PeriodicPublisher(policy, slowly):
        gate("policy")
        _start(hand)
        gate("policy")
        hand.engage()
        gate("teleop")
        hand.squeeze = 0.0
        gate("policy")
        gate("policy")
        hand.press("failure")
        _recording(hand, "idle", "failure")
    bag = Bag(max(find_bags(bags)))
    # Images that arrive late on an overloaded computer would cut the episode.
    patient = {role: dataclasses.replace(camera, max_age=5.0) for role, camera in bag.rig.cameras.items()}
    state = dataclasses.replace(bag.rig.state, max_age=5.0)
    chosen = select_steps(bag, dataclasses.replace(bag.rig, cameras=patient, state=state))
    ((first, end),) = true_spans(chosen.teleoperated)
    assert 0 < first < end < len(chosen.times), "the policy drove before and after"
    assert end - first >= bag.counts["/command/teleop/twist"] - 2


def test_a_stop_opens_the_clutch_says_why_and_what_is_held_on_to_moves_nothing_after_the_reset(hand, ros):
    begun = len(ros.messages(TWIST))
    hand.engage()
    ros.call(Trigger, "arm/stop", Trigger.Request())
    hand.state("the stop", lambda state: "emergency stop" in state["why"] and state["clutch"] == "waiting")
    ros.until(TWIST, _zero, after=begun + 1)
    sent = len(ros.messages(TWIST))
    ros.call(Trigger, "arm/reset", Trigger.Request())
    hand.state("the reset", lambda state: state["gate"]["state"] == "holding")
    assert len(ros.messages(TWIST)) == sent, "it must be let go first"
    hand.engage()
    ros.until(TWIST, after=sent)


def test_a_headset_that_vanishes_in_motion_leaves_the_arm_at_rest(hand, ros):
    hand.engage()
    begun = len(ros.messages(TWIST))
    hand.position[1] += 0.03
    ros.until(TWIST, lambda twist: not _zero(twist), after=begun)
    gone, sent = hand.vanish(), len(ros.messages(TWIST))
    hand.position[1] -= 0.03
    ros.until(TWIST, _zero, after=sent)
    assert time.monotonic() - gone < 2.0, "half a second of silence here, and what a busy computer needs"
    _, values = ros.status(
        "teleop: operator",
        lambda status: _value(status, "clutch") != "engaged",
        after=len(ros.messages("/diagnostics")),
    )
    assert "nothing new from the hand" in values["why"]


def test_a_second_headset_is_told_who_drives(hand, door):
    second = HeadsetClient(door)
    assert (
        "there is an operator already"
        in second.until("why not", lambda message: message["type"] == "refused")["why"]
    )
    second.close()


def test_an_instruction_reaches_the_whole_stack(hand, ros):
    ros.subscribe("instruction", String, LATCHED)
    hand.press("start", instruction="open the drawer")
    ros.until("instruction", lambda message: message.data == "open the drawer")
    hand.state("the instruction", lambda state: state["recording"]["instruction"] == "open the drawer")


def test_an_arm_that_falls_silent_is_named(hand, arm, ros):
    arm.send(signal.SIGSTOP)
    try:
        ros.status("teleop: operator", lambda status: "arm/commanded_pose: nothing for" in status.message)
    finally:
        arm.send(signal.SIGCONT)


def test_a_scene_brings_its_own_instruction_but_never_replaces_one_of_the_operator(ros, arm):
    tasks, published, keep = [], [], [False]
    ros.node.create_subscription(String, "sim/task", lambda message: tasks.append(message.data), LATCHED)
    reset = SceneReset(ros.node, lambda: keep[0], published.append)
    eventually(lambda: tasks, "the first scene")
    for number in (1, 2):
        reset.next_scene()
        assert len(published) == number and published[-1] in tasks[-1]
    keep[0] = True
    reset.next_scene()
    assert len(published) == 2
