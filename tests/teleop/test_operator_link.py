"""The link: one operator, in order, in time; from messages to commands."""

import json
import math
import threading

import pytest

from gr1_teleop import quaternion
from gr1_teleop.clutch import Clutch
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.operator_link import OperatorBusy, OperatorLink
from gr1_teleop.page_clock import PageClock
from gr1_teleop.protocol import ProtocolError

from .operator import LIMITS, PERIOD, Operator


class Page:
    """A headset's page on a network that takes `delay` s."""

    def __init__(self, link=None, delay=0.0, kind="headset", device="Quest 3", pings=True):
        self.operator = Operator()
        self.link = link or OperatorLink(
            Clutch(ClutchSettings(), LIMITS, PERIOD), PageClock(), lambda: self.operator.now
        )
        self.delay, self.kind = delay, kind
        self.join(kind, device, pings)

    def join(self, kind="headset", device="Quest 3", pings=True):
        """Connects; a page pings as soon as it is open."""
        self.key = self.link.connect(kind, device)
        if pings:
            self.ping()

    def point_aside(self):
        """Says that forward is one radian to the side; returns what forward is then, degrees."""
        self.operator.orientation = quaternion.from_rotation_vector((0, 1, 0))
        self.step()
        self.operator.now += PERIOD / 4
        self.pose(stick=True)
        return self.link.state()["forward_deg"]

    @property
    def now(self):
        return self.operator.now

    def tell(self, message, late=0.0):
        return self.link.receive(self.key, json.dumps(message), self.now + self.delay + late)

    def pose(self, late=0.0, **other):
        sample = self.operator.sample(**other)
        message = {
            name: getattr(sample, name)
            for name in ("seq", "t", "hand", "tracked", "position", "squeeze", "trigger", "visible")
        }
        message |= {
            "orientation": [float(x) for x in sample.orientation],
            "position": [float(x) for x in sample.position],
        }
        return self.tell(
            {"type": "pose", "buttons": {"a": sample.a, "b": sample.b, "stick": sample.stick}} | message, late
        )

    def ping(self):
        """A ping and what follows from it; both ways take `delay`."""
        (pong,) = self.tell({"type": "ping", "t": 1e3 * self.now})
        back = 1e3 * (self.now + 2 * self.delay)
        self.link.receive(
            self.key,
            json.dumps({"type": "rtt", "t0": pong["t"], "t1": back, "host": pong["host"]}),
            1e-3 * back,
        )

    def step(self, move=(0, 0, 0)):
        for _ in range(4):
            self.operator.now += PERIOD / 4
            self.operator.position = self.operator.position + [x / 4 for x in move]
            self.pose()
        return self.link.compute_command(self.operator.arm, self.now + self.delay)

    def grip(self):
        self.operator.squeeze = 0.0
        self.step()
        self.operator.squeeze = 1.0
        return self.step()


def test_from_a_page_to_a_twist():
    page = Page()
    assert page.link.welcome() == {"type": "welcome", "operator": True, "scale": 0.8, "rate": 10.0}
    assert page.step() is None
    assert page.grip().engaged
    assert page.step((0, 0, -0.02)).linear[0] > 0.05
    state = page.link.state()
    assert (state["clutch"], state["why"], state["lost"], state["old"]) == ("engaged", "", 0, 0)
    assert [pulse["kind"] for pulse in state["haptics"]] == ["clutch"] and page.link.state()["haptics"] == []
    json.dumps(state)


def test_a_ping_is_answered_and_the_round_trip_shown():
    page = Page(delay=0.04)
    assert page.tell({"type": "ping", "t": 5.0}) == [{"type": "pong", "t": 5.0, "host": page.now + 0.04}]
    page.ping()
    assert page.link.state()["rtt_ms"] == pytest.approx(80.0)
    page.pose()
    assert page.link.state()["age_ms"] == pytest.approx(40.0, abs=0.1)


@pytest.mark.parametrize("delay", [0.05, 0.15])
def test_a_slow_network_is_followed_as_late_as_it_is(delay):
    page = Page(delay=delay)
    page.ping()
    assert page.grip().engaged and page.step((0, 0, -0.02)).linear[0] > 0.05


def test_a_network_of_three_hundred_milliseconds_moves_nothing_and_says_why():
    page = Page(delay=0.3)
    page.ping()
    assert page.grip() is None
    assert page.link.state()["clutch"] == "waiting" and "300 ms old" in page.link.state()["why"]


def test_before_the_first_round_trip_nothing_moves_whatever_the_delay():
    page = Page(delay=1.0, pings=False)
    assert page.grip() is None
    assert page.link.state()["clutch"] == "waiting" and "not known yet" in page.link.state()["why"]


def test_a_network_that_becomes_slow_releases_the_clutch():
    page = Page()
    page.grip()
    for late in range(30, 300, 30):
        assert page.link.state()["clutch"] == "engaged"
        page.operator.now += PERIOD / 4
        page.pose(late=1e-3 * late)
    assert not page.link.pop_stop_command(page.now + 0.27).engaged and "ms old" in page.link.state()["why"]


def test_messages_that_were_lost_are_counted_and_do_no_harm():
    page = Page()
    page.grip()
    for index in range(20):
        page.operator.seq += index % 2
        command = page.step((0.01, 0, 0))
    assert command.engaged and page.link.state()["lost"] == 10


def test_old_and_repeated_messages_are_dropped_and_a_flood_of_them_stops_the_arm():
    page = Page()
    page.grip()
    page.step()
    page.operator.seq -= 1
    page.pose(squeeze=0.0)
    assert page.link.state()["clutch"] == "engaged" and page.link.state()["old"] == 1
    for _ in range(9):
        page.operator.seq -= 1
        page.pose()
    assert not page.link.pop_stop_command(page.now).engaged and "repeated" in page.link.state()["why"]


def test_a_recording_of_an_operator_that_is_played_again_moves_nothing():
    page = Page()
    texts = []
    receive = page.link.receive
    page.link.receive = lambda key, text, now: texts.append(text) or receive(key, text, now)
    page.grip()
    page.link.receive = receive
    page.operator.squeeze = 0.0
    page.step()
    page.link.pop_stop_command(page.now)
    for text in texts:
        page.operator.now += PERIOD / 4
        receive(page.key, text, page.now)
        assert page.link.compute_command(page.operator.arm, page.now) is None


def test_repeated_messages_do_not_hide_that_the_hand_is_silent():
    page = Page()
    page.grip()
    for _ in range(5):
        page.operator.now += 0.04
        page.operator.seq -= 1
        page.pose()
    assert not page.link.pop_stop_command(page.now).engaged and "150 ms" in page.link.state()["why"]


def test_when_the_headset_vanishes_the_zero_comes_within_the_silence_and_one_look():
    page = Page()
    page.grip()
    page.step((0.02, 0, 0))
    since, halt = page.now, None
    while halt is None:
        page.operator.now += 0.01
        halt = page.link.pop_stop_command(page.now)
    assert (
        page.now - since < 0.165
        and not halt.linear.any()
        and page.link.compute_command(page.operator.arm, page.now) is None
    )


def test_a_second_operator_is_refused_until_the_first_has_left():
    page = Page()
    with pytest.raises(OperatorBusy, match="Quest 3"):
        page.link.connect("desk", "keyboard")
    page.link.disconnect(page.key, "the connection was closed")
    assert page.link.operator is None
    page.link.connect("desk", "keyboard")
    assert page.link.operator == ("desk", "keyboard")


def test_a_second_operator_is_refused_until_the_first_was_silent_for_five_seconds():
    page = Page()
    page.grip()
    page.operator.now += 4.9
    with pytest.raises(OperatorBusy):
        page.link.connect("headset", "Pico 4")
    page.operator.now += 0.2
    page.link.connect("headset", "Pico 4")
    assert not page.link.pop_stop_command(page.now).engaged, "what the first had begun has ended"
    assert page.pose() == [] and page.link.state()["clutch"] == "open", "the first is not heard any more"
    page.link.disconnect(page.key, "late")
    assert page.link.operator == ("headset", "Pico 4")


def test_the_same_page_replaces_its_own_lost_connection_at_once_and_moves_nothing_before_a_new_grip():
    page = Page()
    page.link.disconnect(page.key, "the connection was closed")
    page.key = page.link.connect("headset", "Quest 3", "page one")
    page.ping()
    assert page.grip().engaged and page.link.figures()["hand"] == "right"
    lost = page.key
    with pytest.raises(OperatorBusy):
        page.link.connect("headset", "Quest 3", "page two")
    page.key = page.link.connect("headset", "Quest 3", "page one")
    assert page.key is not lost and page.link.figures()["hand"] == ""
    assert not page.link.pop_stop_command(page.now).engaged
    page.ping()
    assert page.step((0, 0, -0.02)) is None, "still the old grip"
    assert page.grip().engaged
    page.link.disconnect(lost, "the connection was lost")
    assert page.link.is_operator(page.key)


def test_the_network_is_judged_by_the_hands_own_samples():
    page = Page()
    assert page.link.state()["network"] is None
    for _ in range(20):
        page.step()
    network = page.link.state()["network"]
    assert network["rate_hz"] == pytest.approx(4 / PERIOD, rel=0.1) and network["lost"] == 0


@pytest.mark.parametrize("how", ["disconnect", "bye", "release"])
def test_who_leaves_lets_go_of_the_arm(how):
    page = Page()
    page.grip()
    page.step((0.02, 0, 0))
    if how == "disconnect":
        page.link.disconnect(page.key, "the connection was closed")
    elif how == "bye":
        page.tell({"type": "bye"})
        page.link.connect("phone", "Pixel")
    else:
        page.link.release("the arm is stopped")
    halt = page.link.pop_stop_command(page.now)
    assert not halt.engaged and not halt.linear.any()
    assert page.link.compute_command(page.operator.arm, page.now) is None


def test_after_a_goodbye_nobody_is_heard_and_who_comes_next_has_the_usual_forward():
    page = Page()
    assert page.link.is_operator(page.key) and page.point_aside() != 0.0
    page.tell({"type": "bye"})
    assert not page.link.is_operator(page.key) and page.link.operator is None
    page.join()
    assert page.link.state()["forward_deg"] == 0.0


def test_after_a_reconnection_forward_is_kept_for_the_same_device_and_the_hand_must_open_first():
    page = Page()
    forward = page.point_aside()
    assert forward == pytest.approx(-math.degrees(1))
    page.link.disconnect(page.key, "the connection was closed")
    page.join()
    assert page.link.state()["forward_deg"] == forward
    page.operator.squeeze, page.operator.seq = 1.0, 0
    assert page.step() is None and page.link.state()["clutch"] == "waiting"
    page.link.disconnect(page.key, "the connection was closed")
    page.join(device="Pico 4")
    assert page.link.state()["forward_deg"] == 0.0


def test_a_recentred_view_releases_the_clutch_also_when_its_message_comes_late():
    page = Page()
    page.grip()
    page.tell({"type": "recenter", "seq": 0, "t": 0.0})
    assert not page.link.pop_stop_command(page.now).engaged and "recentred" in page.link.state()["why"]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "hello", "device": "Quest 3", "kind": "headset", "version": 1},
        {
            "type": "velocity",
            "seq": 1,
            "t": 1,
            "held": True,
            "linear": [0, 0, 0],
            "angular": [0, 0, 0],
            "gripper": 0,
            "visible": True,
        },
        {"type": "pose"},
    ],
)
def test_what_does_not_belong_here_is_refused(message):
    with pytest.raises(ProtocolError):
        Page().tell(message)


def test_server_and_node_may_ask_at_the_same_time():
    page, stop, failures = Page(), threading.Event(), []

    def ask():
        while not stop.is_set():
            try:
                page.link.compute_command(page.operator.arm, page.now)
                page.link.state()
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(10):
        page.grip()
    stop.set()
    thread.join(10.0)
    assert not failures and not thread.is_alive()
