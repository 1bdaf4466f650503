"""What the operator's page says is understood, or refused with the reason, and nothing else can happen."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_teleop.protocol import (
    MAX_BYTES,
    Bye,
    DeskVelocity,
    EpisodeAction,
    HandPose,
    Hello,
    Ping,
    Probe,
    ProbesEnd,
    ProtocolError,
    Recenter,
    RoundTrip,
    parse,
)

HELLO = {"type": "hello", "device": "Quest 3", "kind": "headset", "version": 1}
POSE = {
    "type": "pose",
    "seq": 7,
    "t": 1234.5,
    "hand": "left",
    "tracked": True,
    "position": [0.1, 1.2, -0.3],
    "orientation": [0, 0, 0, 1],
    "squeeze": 0.9,
    "trigger": 0,
    "buttons": {"a": False, "b": True, "stick": False},
    "visible": True,
}
VELOCITY = {
    "type": "velocity",
    "seq": 0,
    "t": 0,
    "held": True,
    "linear": [1, 0, -0.5],
    "angular": [0, 0, 0],
    "gripper": 1,
    "visible": False,
}
RECENTER = {"type": "recenter", "seq": 3, "t": 5}
PING, RTT = {"type": "ping", "t": 17.25}, {"type": "rtt", "t0": 1.0, "t1": 3.5, "host": 99.5}
PROBE, END = {"type": "probe", "seq": 1, "t": 2.5}, {"type": "probes_end", "seq": 9, "rtt_ms": 8.5}
EPISODE = {"type": "episode", "action": "relabel", "instruction": " open the drawer "}
ALL = (HELLO, POSE, VELOCITY, RECENTER, PING, RTT, PROBE, END, EPISODE, {"type": "bye"})


def refusal(message) -> str:
    with pytest.raises(ProtocolError) as caught:
        parse(message if isinstance(message, str) else json.dumps(message))
    return str(caught.value)


def test_each_message_becomes_what_it_says():
    assert parse(json.dumps(HELLO)) == Hello("Quest 3", "headset", 1)
    assert parse(json.dumps(HELLO | {"session": "abc"})) == Hello("Quest 3", "headset", 1, "abc")
    assert parse(json.dumps(PROBE)) == Probe(1, 2.5) and parse(json.dumps(END)) == ProbesEnd(9, 8.5)
    assert parse(json.dumps(POSE)) == HandPose(
        7, 1234.5, "left", True, (0.1, 1.2, -0.3), (0.0, 0.0, 0.0, 1.0), 0.9, 0.0, False, True, False, True
    )
    assert parse(json.dumps(VELOCITY)) == DeskVelocity(
        0, 0.0, True, (1.0, 0.0, -0.5), (0.0, 0.0, 0.0), 1.0, False
    )
    assert parse(json.dumps(RECENTER)) == Recenter(3, 5.0)
    assert parse('{"type": "bye"}') == Bye()
    assert parse(json.dumps(PING)) == Ping(17.25)
    assert parse(json.dumps(RTT)) == RoundTrip(1.0, 3.5, 99.5)
    assert parse(json.dumps(EPISODE)) == EpisodeAction("relabel", "open the drawer")
    assert parse('{"type": "episode", "action": "start"}') == EpisodeAction("start", None)


def test_a_hand_out_of_sight_has_no_position_whatever_is_sent():
    for position in (None, [0, 0, 0], "nowhere"):
        pose = parse(json.dumps(POSE | {"tracked": False, "position": position, "orientation": None}))
        assert pose.position is None and pose.orientation is None


def test_an_orientation_comes_out_with_unit_length():
    pose = parse(json.dumps(POSE | {"orientation": [0.0, 0.6, 0.0, 0.805]}))
    assert math.hypot(*pose.orientation) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("", "not JSON"),
        ("{" * 9000, "not JSON"),
        ("[" * 16000, "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "type is null: expected hello, pose"),
        ({"type": "shutdown"}, 'type is "shutdown"'),
        ({"type": ["pose"]}, "type is"),
        (HELLO | {"kind": "toaster"}, 'hello: kind is "toaster", expected headset or phone or desk'),
        (HELLO | {"version": 2}, "reload the page"),
        (HELLO | {"device": "a\nb"}, "hello: device"),
        (HELLO | {"device": "\ud800"}, "hello: device"),
        (HELLO | {"device": " "}, "hello: device"),
        ({key: value for key, value in POSE.items() if key != "squeeze"}, "pose: squeeze is missing"),
        (POSE | {"position": None}, "pose: position is null, expected 3 numbers"),
        (POSE | {"position": [0, 0]}, "pose: position"),
        (POSE | {"position": [0, 0, 1e9]}, "pose: position"),
        (POSE | {"position": [0, 0, True]}, "pose: position"),
        (POSE | {"orientation": [0, 0, 0, 0]}, "unit quaternion"),
        (POSE | {"orientation": [1, 0, 0, 1]}, "unit quaternion"),
        (POSE | {"squeeze": 1.5}, "pose: squeeze is 1.5, expected a number 0 .. 1"),
        (POSE | {"tracked": 1}, "pose: tracked is 1, expected true or false"),
        (POSE | {"seq": 1.5}, "whole number"),
        (POSE | {"seq": -1}, "whole number"),
        (POSE | {"seq": 2**60}, "whole number"),
        (POSE | {"hand": "third"}, "right or left"),
        (POSE | {"buttons": []}, "pose: buttons is [], expected an object"),
        (POSE | {"buttons": {"a": False, "b": False}}, "pose: buttons: stick is missing"),
        (VELOCITY | {"linear": [0, 0, 1.1]}, "3 numbers -1 .. 1"),
        (RTT | {"t1": 0.0}, "earlier than t0"),
        ({"type": "episode", "action": "erase"}, "episode: action"),
        ({"type": "episode", "action": "relabel"}, "relabel needs an instruction"),
        ({"type": "episode", "action": "start", "instruction": "x" * 400}, "300 characters"),
    ],
)
def test_what_is_wrong_is_named(message, words):
    assert words in refusal(message)


@pytest.mark.parametrize(
    "number",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "9" * 5000,
        "9" * 4000,
        "-1",
        "null",
        '"1"',
        "[" * 5000 + "]" * 5000,
    ],
)
def test_what_is_no_finite_number_is_refused(number):
    assert len(refusal('{"type": "ping", "t": ' + number + "}")) < 300


def test_a_message_of_ten_megabytes_is_refused_unread():
    assert str(MAX_BYTES) in refusal('{"type": "bye", "pad": "' + "x" * 10_000_000 + '"}')


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ALL), st.data())
def test_whatever_stands_in_a_field_a_message_is_understood_or_refused_with_a_short_reason(message, data):
    field = data.draw(st.sampled_from(sorted(message)))
    try:
        parse(json.dumps(message | {field: data.draw(anything)}))
    except ProtocolError as error:
        assert 0 < len(str(error).encode()) < 400


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_whatever_text_comes_it_is_a_message_or_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        parse(text)
