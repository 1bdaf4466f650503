"""The recorder's rules without ROS: which words an episode bears, what may begin it, how it is named."""

import threading
import time

import pytest

from gr1_core import Rig
from gr1_core.data import schemas
from gr1_core.data.bag import Bag
from gr1_core.data.expected_loss import Loss
from gr1_recorder.episode import Limits
from gr1_recorder.session import RecorderRefusal, Session, describe_loss
from gr1_recorder.stream_statistics import Message
from gr1_recorder.streams import Stream

TEXT = "std_msgs/msg/String"
STARTED = 1_800_000_000_000_000_000
S = 1_000_000_000
CAMERA = Stream("camera", TEXT, hz=20.0, max_age=0.15, required=True)
INSTRUCTION = Stream("instruction", TEXT, qos="transient_local")
TASK = Stream("sim/task", TEXT, qos="transient_local")


class Fed:
    """A session whose clock stands still at STARTED and that hears what `say` was given."""

    def __init__(self, root, *streams):
        Rig.load("kinova_gen2").save(root / "rig.yaml")
        self.labels = {"operator": "Ada", "instruction": "", "rig": (root / "rig.yaml").read_text()}
        self._come = []
        limits = Limits(queue=10**6, min_free=1, max_seconds=600.0)
        self.root, self.session = (
            root,
            Session(root, {f"/{one.topic}": one for one in streams}, limits, self._poll, lambda: STARTED),
        )

    def say(self, topic, text, sent, arrived=0.0):
        data = schemas.serialize(schemas.make_message(TEXT, data=text), TEXT)
        self._come.append(Message(f"/{topic}", data, STARTED, sent, sent, None, arrived))

    def _poll(self):
        come, self._come = self._come, []
        for message in come:
            self.session.on_message(message, True)

    def bag(self, name):
        return Bag(self.root / name)


@pytest.fixture
def fed(tmp_path):
    return Fed(tmp_path, INSTRUCTION, TASK)


def test_an_instruction_sent_before_the_start_that_arrives_after_it_is_the_episodes(fed):
    fed.say("instruction", "open the drawer", STARTED - 10 * S)
    fed.say("sim/task", '{"task": "open_drawer", "seed": 3}', STARTED - 10 * S)
    fed.session.receive()
    name = fed.session.start(fed.labels, 1.0)
    fed.say("instruction", "close the drawer", STARTED - 1)
    fed.say("sim/task", '{"task": "close_drawer", "seed": 4}', STARTED - 1)
    labels = fed.bag(fed.session.end("success")).labels
    assert (labels["episode"], labels["instruction"], labels["task"], labels["seed"]) == (
        name,
        "close the drawer",
        "close_drawer",
        "4",
    )


def test_an_instruction_that_is_said_during_an_episode_is_the_next_ones(fed):
    fed.say("instruction", "open the drawer", STARTED - S)
    fed.session.receive()
    fed.session.start(fed.labels, 1.0)
    fed.say("instruction", "close the drawer", STARTED + S)
    assert fed.bag(fed.session.end("success")).instruction == "open the drawer"
    fed.session.start(fed.labels, 1.0)
    assert fed.bag(fed.session.end("success")).instruction == "close the drawer"


def test_what_is_no_instruction_and_no_task_is_passed_over(fed):
    fed.say("instruction", "  ", STARTED - S)
    for text in ("", "[]", '{"task": 1}'):
        fed.say("sim/task", text, STARTED - S)
    fed.session.receive()
    with pytest.raises(RecorderRefusal, match="no instruction"):
        fed.session.start(fed.labels, 0.01)
    fed.session.start(fed.labels | {"instruction": "pull"}, 1.0)
    labels = fed.bag(fed.session.end("success")).labels
    assert (labels["instruction"], labels["task"]) == ("pull", "")


def test_episodes_that_begin_in_the_same_second_have_names_of_their_own_in_their_order(fed):
    fed.labels["instruction"] = "Pousse la poignée!"
    names = []
    for _ in range(3):
        names.append(fed.session.start(fed.labels, 1.0))
        fed.session.end("success")
    assert names == sorted(names) and len(set(names)) == 3 and names[0] == "20270115-080000-pousse_la_poign_e"


def test_frames_that_are_old_when_they_come_begin_nothing(tmp_path):
    fed, refused = Fed(tmp_path, CAMERA, INSTRUCTION), []
    fed.labels["instruction"] = "pull"

    def start():
        try:
            fed.session.start(fed.labels, 30.0 if refused else 0.3)
        except RecorderRefusal as error:
            refused.append(str(error))

    def attempt(age):
        thread = threading.Thread(target=start)
        thread.start()
        while thread.is_alive():
            fed.say("camera", "", STARTED - int(age * S), time.monotonic())
            fed.session.receive()
            thread.join(0.01)

    attempt(age=2.0)
    assert refused and "camera (2.0 s old on arrival" in refused[0] and "clocks" in refused[0]
    attempt(age=0.05)
    assert len(refused) == 1 and fed.session.episode
    fed.session.end("discarded")


# Labels are the user's


def test_the_users_words_name_the_bag_and_a_scene_of_another_task_gives_no_task(fed):
    fed.say("instruction", "stack the red cup on the blue cup", STARTED - 10 * S)
    fed.say("sim/task", '{"task": "open_drawer", "seed": 3}', STARTED - 10 * S)
    fed.session.receive()
    name = fed.session.start(fed.labels, 1.0)
    labels = fed.bag(fed.session.end("success")).labels
    assert name.endswith("stack_the_red_cup_on_the_blue_cup")
    assert (labels["instruction"], labels["task"]) == ("stack the red cup on the blue cup", "")


def test_the_parameters_instruction_stays_over_episodes(fed):
    fed.labels["instruction"] = "stack the red cup on the blue cup"
    for seed in (3, 4):
        fed.say("sim/task", f'{{"task": "open_drawer", "seed": {seed}}}', STARTED - S)
        fed.session.receive()
        fed.session.start(fed.labels, 1.0)
        labels = fed.bag(fed.session.end("success")).labels
        assert (labels["instruction"], labels["task"]) == ("stack the red cup on the blue cup", "")


# What conversion would leave out


def test_a_camera_at_half_its_rate_is_reported_with_the_figures_of_conversion(tmp_path):
    """10 s at 2.5 Hz: its frames are too old for most steps of 10 Hz."""
    streams = [
        Stream("camera/static/image_raw/compressed", TEXT, hz=15.0, required=True),
        Stream("camera/wrist/image_raw/compressed", TEXT, hz=15.0, required=True),
        Stream("arm/pose", TEXT, hz=100.0, required=True),
        Stream("arm/gripper", TEXT, hz=100.0, required=True),
        Stream("command/teleop/twist", TEXT),
    ]
    fed = Fed(tmp_path, *streams)
    fed.labels["instruction"] = "open the drawer"
    arrived = time.monotonic() + 1000.0
    for stream in streams[:4]:
        fed.say(stream.topic, "", STARTED, arrived)
    fed.session.receive()
    fed.session.start(fed.labels, 1.0)
    assert fed.session.state(0.0)["loss"] == ""
    rates = {streams[0].topic: 2.5, streams[1].topic: 15.0, "arm/pose": 100.0, "arm/gripper": 100.0}
    for topic, hz in rates.items():
        for number in range(int(10 * hz)):
            fed.say(topic, "", STARTED + round(number / hz * S), arrived)
    for number in range(100):
        fed.say("command/teleop/twist", "", STARTED + round((0.05 + number / 10) * S), arrived)
    fed.session.receive()
    state = fed.session.state(10.0)
    assert state["steps"] == 100 and 0 < state["kept"] < 90
    assert state["loss"].startswith(f"conversion would keep {state['kept']} of 100 steps: camera/static")
    assert "at 2 Hz" in state["loss"]
    fed.session.end("success")
    assert fed.session.state(11.0)["loss"] == state["loss"]


def test_a_slow_camera_whose_frames_are_repeated_is_reported_too():
    said = describe_loss(Loss(100, 100, 0.4, "wrist", 6.0))["loss"]
    assert said == "40 % of the steps would repeat a frame: camera/wrist came at 6 Hz"
    assert describe_loss(Loss(100, 95, 0.1, "wrist", 15.0))["loss"] == ""


TELEOP = Stream("command/teleop/twist", "geometry_msgs/msg/TwistStamped", qos="reliable")


def commanded(fed, topic="command/teleop/twist"):
    type = "geometry_msgs/msg/TwistStamped"
    data = schemas.serialize(schemas.make_message(type), type)
    fed._come.append(Message(f"/{topic}", data, STARTED, STARTED, STARTED, None, time.monotonic()))
    fed.session.receive()


@pytest.mark.parametrize("unheard", [{}, {"/command/teleop/twist": "node /mine publishes it best effort"}])
def test_an_episode_without_commands_is_warned_of_while_it_is_recorded_and_at_its_end(tmp_path, unheard):
    fed = Fed(tmp_path, TELEOP, INSTRUCTION)
    fed.session._unheard = lambda: unheard
    fed.labels["instruction"] = "pull"
    fed.session.start(fed.labels, 1.0)
    began = fed.session.episode.began
    assert fed.session.report(began + 1.0, fed.labels)[0] == "OK", "the person has just begun"
    level, message, _ = fed.session.report(began + 3.0, fed.labels)
    assert level == "WARN" and message.startswith("no command so far: ")
    assert (unheard.get("/command/teleop/twist") or "nothing on command/teleop/twist") in message
    name = fed.session.end("success")
    assert fed.session.warning.startswith(f"{name} holds no command: ")
    assert fed.session.report(began + 9.0, fed.labels)[:2] == ("WARN", fed.session.warning)


def test_with_a_command_and_for_a_discarded_episode_there_is_no_warning(tmp_path):
    fed = Fed(tmp_path, TELEOP, INSTRUCTION)
    fed.labels["instruction"] = "pull"
    fed.session.start(fed.labels, 1.0)
    commanded(fed)
    assert fed.session.report(fed.session.episode.began + 3.0, fed.labels)[0] == "OK"
    fed.session.end("success")
    assert fed.session.warning == ""
    fed.session.start(fed.labels, 1.0)
    fed.session.end("discarded")
    assert fed.session.warning == ""


@pytest.mark.parametrize(
    ("age", "stamp", "said"),
    [
        (1.8e9, 100 * S, "by another clock: if its node has simulated time, start the recorder with"),
        (-1.8e9, STARTED + 1_800_000_000 * S, "another clock than the recorder's: start either both or none"),
        (1.8e9, 0, "its header stamp is 0: its driver must stamp its messages"),
    ],
)
def test_stamps_of_another_clock_are_named_at_the_start(tmp_path, age, stamp, said):
    fed = Fed(tmp_path, CAMERA, INSTRUCTION)
    fed.labels["instruction"] = "pull"
    data = schemas.serialize(schemas.make_message(TEXT, data=""), TEXT)
    message = Message("/camera", data, stamp + int(age * S), STARTED, stamp, None, time.monotonic() + 60.0)
    fed._come.append(message)
    fed.session.receive()
    with pytest.raises(RecorderRefusal, match=said):
        fed.session.start(fed.labels, 0.01)


def test_a_recorder_with_simulated_time_and_without_clock_says_so(tmp_path):
    fed = Fed(tmp_path, CAMERA, INSTRUCTION)
    fed.session._clock = lambda: 0
    with pytest.raises(RecorderRefusal, match="use_sim_time is true, but no node publishes /clock"):
        fed.session.start(fed.labels, 0.01)


def test_a_required_stream_that_is_not_heard_is_named_with_its_publisher(tmp_path):
    fed = Fed(tmp_path, CAMERA, INSTRUCTION)
    fed.session._unheard = lambda: {
        "/camera": "node /driver publishes it as sensor_msgs/msg/Image, expected X"
    }
    with pytest.raises(RecorderRefusal, match="camera .node /driver publishes it as sensor_msgs/msg/Image"):
        fed.session.start(fed.labels, 0.01)
