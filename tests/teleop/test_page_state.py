"""State messages over real TLS, and episodes from either page."""

import asyncio
import threading
import time

from tests.teleop.https_client import HELLO
from tests.teleop.test_sessions import POSE, is_state, on

DESK = HELLO | {"kind": "desk", "device": "Linux"}


@on
async def test_the_state_comes_ten_times_a_second_and_at_once_when_something_happens(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        await socket.until(is_state)
        before = time.monotonic()
        for _ in range(10):
            await socket.until(is_state)
        assert 0.5 < time.monotonic() - before < 3
        rig.view.values = rig.view.values | {"gate": {"state": "stopped", "reason": "force", "source": ""}}
        state = await socket.until(
            lambda message: message["type"] == "state" and message["gate"]["state"] == "stopped"
        )
        assert state["gate"] == {"state": "stopped", "reason": "force", "source": ""}


@on
async def test_the_operators_state_has_what_the_hand_and_the_eye_need(rig):
    rig.view.values |= {"instruction": "open the drawer", "warnings": ["the disk is filling"]}
    async with rig.client.socket(hello=HELLO) as socket:
        assert await socket.until(is_state) == {
            "type": "state",
            "clutch": "open",
            "why": "",
            "rtt_ms": None,  # not known yet: NaN is no JSON
            "gate": {"state": "holding", "reason": "", "source": ""},
            "recording": {
                "state": "idle",
                "instruction": "open the drawer",
                "bag": "",
                "outcome": "",
                "seconds": 0.0,
                "confirm": None,
                "confirm_why": "",
                "loss": "",
                "busy": "",
            },
            "counts": {"success": 2},
            "tasks": [],
            "warnings": ["the disk is filling"],
            "haptics": [],
        }


@on
async def test_a_pulse_is_felt_once_and_by_the_operator_alone(rig):
    pulse = {"kind": "clutch", "ms": 50, "strength": 0.5}
    async with rig.client.socket(hello=HELLO) as operator, rig.client.socket("/ws/watch") as watcher:
        await operator.until(is_state)
        rig.link.pulses = [pulse]
        assert (await operator.until(lambda message: message.get("haptics")))["haptics"] == [pulse]
        for _ in range(3):
            assert (await operator.until(is_state))["haptics"] == []
            assert "haptics" not in await watcher.until(is_state)


@on
async def test_who_watches_sees_topics_cameras_and_who_drives(rig):
    async with rig.client.socket("/ws/watch") as watcher:
        state = await watcher.until(is_state)
        assert (
            state["operator"] is None
            and state["cameras"] == ["static"]
            and state["topics"][0]["topic"] == "arm/pose"
        )
        async with rig.client.socket(hello=HELLO):
            state = await watcher.until(lambda message: message.get("operator"))
            assert state["operator"] == {"device": "Quest 3", "kind": "headset"}
        await watcher.until(lambda message: is_state(message) and message["operator"] is None)


@on
async def test_a_topic_in_trouble_is_a_warning_only_while_it_is_recorded(rig):
    rig.view.values["topics"][0]["problem"] = "silent for 0.4 s"
    async with rig.client.socket("/ws/watch") as watcher:
        assert (await watcher.until(is_state))["warnings"] == []
        rig.view.values["recorder"] = rig.view.values["recorder"] | {"state": "recording"}
        assert (await watcher.until(lambda message: message.get("warnings")))["warnings"] == [
            "arm/pose: silent for 0.4 s"
        ]


@on
async def test_a_robot_that_cannot_be_asked_is_a_warning_and_no_silence(rig):
    rig.view.status = lambda: 1 / 0
    async with rig.client.socket(hello=HELLO) as socket:
        (warning,) = (await socket.until(is_state))["warnings"]
        assert "cannot be read (ZeroDivisionError" in warning


# Episodes


@on
async def test_on_a_headset_a_discard_is_asked_about_felt_and_done_at_the_second_press(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        for action in ("discard", "discard"):
            await socket.say({"type": "episode", "action": action})
            state = await socket.until(lambda message: message.get("haptics"))
            assert state["haptics"][0]["kind"] == "record"
            assert rig.recorder.calls in ([], ["discard"])
            if not rig.recorder.calls:
                assert state["recording"]["confirm"] == "discard"
        assert rig.recorder.calls == ["discard"]
        await socket.until(lambda message: is_state(message) and message["recording"]["confirm"] is None)


@on
async def test_from_a_desk_one_press_is_enough(rig):
    async with rig.client.socket(hello=DESK) as socket:
        await socket.say({"type": "episode", "action": "success"})
        await socket.until(lambda message: message.get("haptics"))
    assert rig.recorder.calls == ["success"]


@on
async def test_what_the_recorder_refuses_reaches_the_operator_in_words_and_in_the_hand(rig):
    rig.recorder.refusal = "only 12 MB are free: make room"
    async with rig.client.socket(hello=HELLO) as socket:
        await socket.say({"type": "episode", "action": "start"})
        state = await socket.until(lambda message: message.get("haptics"))
        assert [pulse["kind"] for pulse in state["haptics"]] == ["refused"] and state["warnings"] == [
            rig.recorder.refusal
        ]


@on
async def test_the_operator_drives_on_while_the_recorder_takes_its_time(rig):
    rig.recorder.hold = threading.Event()
    async with rig.client.socket(hello=HELLO) as socket:
        await socket.say({"type": "episode", "action": "start"})
        await socket.until(lambda message: is_state(message) and message["recording"]["busy"] == "starting")
        await socket.say(POSE)
        assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.poses)
        rig.recorder.hold.set()
        await socket.until(lambda message: is_state(message) and not message["recording"]["busy"])


@on
async def test_the_workstation_instructs_starts_and_relabels(rig):
    bag = "20240501-141503-open_drawer"
    async with rig.client.socket("/ws/watch") as watcher:
        for message, action, text in (
            ({"type": "instruction", "text": "open the drawer"}, "instruction", ""),
            ({"type": "episode", "action": "start"}, "start", bag),
            ({"type": "episode", "action": "discard"}, "discard", bag),
            ({"type": "episode", "action": "relabel", "instruction": "close the drawer"}, "relabel", bag),
        ):
            await watcher.say(message)
            done = await watcher.until(lambda message: not is_state(message))
            assert done == {"type": "done", "action": action, "text": text}
        state = await watcher.until(is_state)
        assert state["recording"]["instruction"] == "open the drawer"
    assert rig.recorder.calls == [
        "instruct: open the drawer",
        "start",
        "discard",
        "relabel: close the drawer",
    ]


@on
async def test_what_fails_is_answered_to_the_workstation_that_asked(rig):
    rig.recorder.refusal = "no instruction: publish one"
    async with rig.client.socket("/ws/watch") as watcher:
        for message, says in (
            ({"type": "episode", "action": "start"}, "no instruction: publish one"),
            ({"type": "instruction", "text": "  "}, "the instruction is empty"),
        ):
            await watcher.say(message)
            failed = await watcher.until(lambda message: not is_state(message))
            assert failed["type"] == "failed" and says in failed["text"]
