"""Server and link together, over real TLS: whatever ends a session in mid-motion, the clutch is open
afterwards."""

import asyncio
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from gr1_core.pose import Pose
from gr1_teleop import operator_link as links
from gr1_teleop.clutch import Clutch
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.operator_link import OperatorLink
from gr1_teleop.page_clock import PageClock
from gr1_teleop.server import Server
from tests.teleop.fakes import FakeRecorder, FakeRobotView
from tests.teleop.https_client import HELLO, Client, Socket
from tests.teleop.operator import DOWN, LIMITS, PERIOD
from tests.teleop.test_sessions import POSE, is_state, on

ARM = Pose(np.array([0.4, 0.0, 0.2]), DOWN)


@pytest.fixture
def rig(tmp_path, loopback_certificate):
    """As conftest's, with the real link and long timeouts: tests on an overloaded computer pause."""
    link = OperatorLink(
        Clutch(ClutchSettings(timeout_s=10.0, max_sample_age_s=10.0), LIMITS, PERIOD), PageClock()
    )
    recorder, view = FakeRecorder(), FakeRobotView()
    server = Server(
        link, EpisodeControl(recorder, tmp_path), view, "127.0.0.1", 0, certificate=loopback_certificate
    )
    server.start()
    yield SimpleNamespace(server=server, client=Client(server), link=link, recorder=recorder, view=view)
    server.close()


class Hand:
    def __init__(self, socket: Socket):
        self.socket, self.seq = socket, 0

    async def pose(self, **other) -> None:
        self.seq += 1
        await self.socket.say(POSE | {"seq": self.seq, "t": 1e3 * time.monotonic()} | other)

    async def heard(self) -> None:
        """All that was said has arrived."""
        await self.socket.say({"type": "ping", "t": 1.0})
        await self.socket.until(lambda message: message["type"] == "pong")

    async def trip(self) -> None:
        """A round trip, as a page makes it when it opens."""
        await self.socket.say({"type": "ping", "t": 1e3 * time.monotonic()})
        pong = await self.socket.until(lambda message: message["type"] == "pong")
        await self.socket.say(
            {"type": "rtt", "t0": pong["t"], "t1": 1e3 * time.monotonic(), "host": pong["host"]}
        )

    async def grip(self, link: OperatorLink) -> None:
        await self.trip()
        await self.pose(squeeze=0.0)
        await self.pose()
        await self.heard()
        assert link.compute_command(ARM, time.monotonic()).engaged
        assert link.state()["clutch"] == "engaged"


async def released(link: OperatorLink) -> None:
    """The one zero twist comes, and nothing after it."""
    async with asyncio.timeout(5):
        while link.operator is not None:
            await asyncio.sleep(0.01)
    halt = link.compute_command(ARM, time.monotonic())
    assert not halt.engaged and not halt.linear.any() and not halt.angular.any()
    assert link.compute_command(ARM, time.monotonic()) is None
    assert link.state()["clutch"] != "engaged"


@on
async def test_the_hand_leads_the_arm_through_the_whole_way(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        hand = Hand(socket)
        await hand.grip(rig.link)
        for number in range(1, 11):
            await hand.pose(position=[0.1 + 0.004 * number, 1.2, -0.3])
        await hand.heard()
        command = rig.link.compute_command(ARM, time.monotonic())
        assert command.engaged and command.linear[1] < -1e-4 and not command.linear[[0, 2]].any(), (
            "the hand's right is the base's -y"
        )
        state = await socket.until(lambda message: message.get("clutch") == "engaged")
        assert state["why"] == ""


async def hang_up(hand: Hand) -> None:
    await hand.socket.ws.close()


async def vanish(hand: Hand) -> None:
    hand.socket.ws._response.connection.transport.abort()


async def say_goodbye(hand: Hand) -> None:
    await hand.socket.say({"type": "bye"})


async def babble(hand: Hand) -> None:
    await hand.socket.say("{")


async def send_16_kb(hand: Hand) -> None:
    await hand.pose(padding="x" * 16_384)


async def send_10_mb(hand: Hand) -> None:
    try:
        await hand.socket.say("x" * 10_000_000)
    except ConnectionError:
        pass


async def send_nan(hand: Hand) -> None:
    await hand.socket.say(json.dumps(POSE | {"seq": 99, "position": [0.1, float("nan"), 0.3]}))


@pytest.mark.parametrize("end", [hang_up, vanish, say_goodbye, babble, send_16_kb, send_10_mb, send_nan])
def test_whatever_ends_a_session_in_mid_motion_opens_the_clutch(rig, end):
    async def drive() -> None:
        async with rig.client.socket(hello=HELLO) as socket:
            hand = Hand(socket)
            await hand.grip(rig.link)
            await end(hand)
            await released(rig.link)

    asyncio.run(drive())


@on
async def test_closing_the_server_opens_the_clutch(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        await Hand(socket).grip(rig.link)
        await asyncio.to_thread(rig.server.close)
        await released(rig.link)


@on
async def test_a_second_operator_cannot_take_the_arm_from_the_first(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        hand = Hand(socket)
        await hand.grip(rig.link)
        async with rig.client.socket() as thief:
            await thief.say(HELLO | {"device": "Pico 4"})
            code, why = await thief.end()
            assert code == 4409 and "an operator already (Quest 3)" in why
        assert rig.link.compute_command(ARM, time.monotonic()).engaged


@on
async def test_replayed_messages_are_counted_and_a_flood_of_them_opens_the_clutch(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        hand = Hand(socket)
        await hand.grip(rig.link)
        for _ in range(3):
            await hand.pose(seq=1)
        await hand.heard()
        assert rig.link.state()["old"] == 3 and rig.link.compute_command(ARM, time.monotonic()).engaged
        for _ in range(20):
            await hand.pose(seq=1)
        await hand.heard()
        assert not rig.link.compute_command(ARM, time.monotonic()).engaged
        state = await socket.until(lambda message: is_state(message) and message["clutch"] != "engaged")
        assert "old or repeated" in state["why"]


@on
async def test_an_operator_that_vanished_without_a_word_can_be_followed_by_another(rig):
    links_gone = links.OPERATOR_TIMEOUT_S
    links.OPERATOR_TIMEOUT_S = 0.05
    try:
        async with rig.client.socket(hello=HELLO) as first:
            await Hand(first).grip(rig.link)
            await asyncio.sleep(0.1)
            async with rig.client.socket(hello=HELLO | {"device": "Pico 4"}) as second:
                assert (await first.end())[0] == 4409
                assert rig.link.operator == ("headset", "Pico 4")
                assert not rig.link.compute_command(ARM, time.monotonic()).engaged, (
                    "what the first one had begun has ended"
                )
                await Hand(second).grip(rig.link)
    finally:
        links.OPERATOR_TIMEOUT_S = links_gone


@on
async def test_a_former_operator_begins_no_episode(rig):
    async with rig.client.socket(hello=HELLO) as former, rig.client.socket() as next_one:
        await former.say({"type": "bye"})
        async with asyncio.timeout(5):
            while rig.link.operator is not None:
                await asyncio.sleep(0.01)
        await former.say({"type": "episode", "action": "start"})
        await next_one.say(HELLO)
        await next_one.say({"type": "episode", "action": "relabel", "instruction": "open the drawer"})
        await next_one.until(lambda message: message.get("haptics"))
    assert rig.recorder.calls == ["relabel: open the drawer"]
