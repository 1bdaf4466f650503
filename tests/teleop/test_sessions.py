"""The websockets over real TLS: one operator, checked messages, states that arrive, episodes from either
page."""

import asyncio
import json
import time

import aiohttp
import pytest

from gr1_teleop import sessions
from gr1_teleop.protocol import MAX_BYTES
from tests.teleop.https_client import HELLO, Client

POSE = {
    "type": "pose",
    "seq": 1,
    "t": 16.7,
    "hand": "right",
    "tracked": True,
    "position": [0.1, 1.2, -0.3],
    "orientation": [0.0, 0.0, 0.0, 1.0],
    "squeeze": 1.0,
    "trigger": 0.5,
    "buttons": {"a": False, "b": False, "stick": False},
    "visible": True,
}


def is_state(message: dict) -> bool:
    return message["type"] == "state"


def on(test):
    """Runs a test that is a coroutine."""

    def run(rig) -> None:
        asyncio.run(asyncio.wait_for(test(rig), 15))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


# Who may


@pytest.mark.parametrize("path", ["/ws/operator", "/ws/watch"])
@pytest.mark.parametrize("token", ["", "wrong-token-wrong-token"])
def test_without_the_token_a_socket_only_says_so_and_closes(rig, path, token):
    async def knock() -> None:
        async with Client(rig.server, token).socket(path) as socket:
            assert await socket.end() == (4401, "not paired: open the address that the terminal shows")

    asyncio.run(knock())
    assert rig.link.key is None


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost", "null", ""])
def test_a_page_of_another_site_gets_no_socket_though_the_browser_sends_our_cookie(rig, origin):
    async def knock() -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with rig.client.socket(Origin=origin):
                pass
        return refused.value.status

    assert asyncio.run(knock()) == 403


@on
async def test_a_second_operator_is_refused_until_the_first_is_gone(rig):
    async with rig.client.socket(hello=HELLO) as first:
        async with rig.client.socket() as second:
            await second.say(HELLO)
            assert await second.end() == (4409, "there is an operator already: a Quest 3")
        await first.say(POSE)
        assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.poses), "the first drives on"
    assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.key is None)
    async with rig.client.socket(hello=HELLO):
        pass


@on
async def test_an_operator_silent_for_long_loses_its_place_and_is_told(rig):
    async with rig.client.socket(hello=HELLO) as first:
        rig.link.silent = True
        async with rig.client.socket(hello=HELLO) as second:
            code, why = await first.end()
            assert code == 4409 and "replaced by another operator" in why
            await second.say(POSE)
            assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.poses)
            assert (await second.until(is_state))["haptics"] == []


# What is said


@on
async def test_poses_reach_the_link_and_pings_are_answered_at_once(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        for seq in range(1, 11):
            await socket.say(POSE | {"seq": seq})
        await socket.say({"type": "ping", "t": 1234.5})
        before = time.monotonic()
        pong = await socket.until(lambda message: message["type"] == "pong")
        assert pong["t"] == 1234.5 and abs(pong["host"] - before) < 5
        assert [pose.seq for pose in rig.link.poses] == list(range(1, 11)) and rig.link.poses[0].position == (
            0.1,
            1.2,
            -0.3,
        )


@on
async def test_repeated_and_old_sequence_numbers_change_nothing_and_end_nothing(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        for seq in (5, 5, 4, 5, 1, 6):
            await socket.say(POSE | {"seq": seq})
        await socket.say({"type": "ping", "t": 1.0})
        await socket.until(lambda message: message["type"] == "pong")
        assert [pose.seq for pose in rig.link.poses] == [5, 6]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"type": "fly"}', "fly"),
        ('{"type": "episode", "action": "delete"}', "delete"),
        (json.dumps(POSE | {"position": [0.1, float("nan"), 0.3]}), "NaN"),
        (json.dumps(POSE | {"position": [0.1, 1e999, 0.3]}), "Infinity"),
        (json.dumps(POSE | {"squeeze": "1"}), "squeeze"),
        (b"\x00\x01", "not text"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_malformed_message_ends_the_session_and_says_what_is_wrong(rig, text, says, first):
    async def talk() -> None:
        async with rig.client.socket(hello=None if first else HELLO) as socket:
            await (socket.ws.send_bytes(text) if isinstance(text, bytes) else socket.say(text))
            code, why = await socket.end()
            assert code == 4400 and says in why

    asyncio.run(talk())
    assert rig.link.wait(lambda: rig.link.key is None)
    assert rig.link.poses == []


@pytest.mark.parametrize(
    "message", [POSE, {"type": "bye"}, HELLO | {"version": 2}, HELLO | {"kind": "robot"}]
)
def test_the_first_message_says_who_speaks(rig, message):
    async def talk() -> None:
        async with rig.client.socket() as socket:
            await socket.say(message)
            assert (await socket.end())[0] == 4400

    asyncio.run(talk())
    assert rig.link.ended == []


def test_who_never_says_hello_does_not_keep_the_place(rig, monkeypatch):
    monkeypatch.setattr(sessions, "HELLO_S", 0.1)

    async def talk() -> None:
        async with rig.client.socket() as socket:
            code, why = await socket.end()
            assert code == 4400 and "no hello" in why

    asyncio.run(talk())


@on
async def test_the_largest_message_is_taken_and_one_byte_more_closes_with_1009(rig):
    text = json.dumps(POSE | {"padding": ""})
    async with rig.client.socket(hello=HELLO) as socket:
        await socket.say(text.replace('"padding": ""', f'"padding": "{"x" * (MAX_BYTES - len(text))}"'))
        assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.poses)
        await socket.say(text.replace('"padding": ""', f'"padding": "{"x" * (MAX_BYTES - len(text) + 1)}"'))
        assert (await socket.end())[0] == 1009
    assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.key is None) and len(rig.link.poses) == 1


@pytest.mark.parametrize("path", ["/ws/operator", "/ws/watch"])
def test_ten_megabytes_are_cut_off_and_the_server_goes_on(rig, path):
    async def talk() -> None:
        async with rig.client.socket(path, hello=HELLO if path == "/ws/operator" else None) as socket:
            try:
                await socket.say("x" * 10_000_000)
                code, _ = await socket.end()
            except ConnectionError:  # hung up on while it was still sending
                code = 1009
            assert code in (1009, 1006)
        assert rig.link.key is None or await asyncio.to_thread(rig.link.wait, lambda: rig.link.key is None)
        async with rig.client.socket(hello=HELLO):
            pass

    asyncio.run(talk())


@on
async def test_an_error_of_ours_ends_the_session_and_releases_the_clutch(rig):
    async with rig.client.socket(hello=HELLO) as socket:
        rig.link.broken = True
        await socket.say(POSE)
        assert (await socket.end())[0] is not None
    assert await asyncio.to_thread(rig.link.wait, lambda: rig.link.ended == ["the server failed"])


@pytest.mark.parametrize(
    "message",
    [POSE, HELLO, {"type": "instruction"}, {"type": "instruction", "text": 3}, {"type": "bye"}, [], "x", 3],
)
def test_who_only_watches_cannot_drive(rig, message):
    async def talk() -> None:
        async with rig.client.socket("/ws/watch") as socket:
            await socket.say(json.dumps(message))
            assert (await socket.end())[0] == 4400

    asyncio.run(talk())
    assert rig.link.poses == [] and rig.link.key is None
