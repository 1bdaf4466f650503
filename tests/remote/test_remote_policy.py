"""A policy over a websocket acts as the policy itself; what is wrong with a message or a connection is named
and concerns one client only.
"""

import contextlib
import threading

import msgpack
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from gr1_core import Observation, Policy
from gr1_core.bench.policy import synthetic_observation
from gr1_core.policy import PolicyError
from gr1_core.remote import access as accesses
from gr1_core.remote import protocol
from gr1_core.remote.access import AccessError
from gr1_core.remote.client import LateAnswer, RemoteError
from gr1_core.remote.server import Served
from gr1_core.rig import RigError
from tests.support.waiting import eventually


def rollout(policy, instruction: str, seeds) -> list:
    policy.reset(instruction)
    return [policy.step(synthetic_observation(policy.rig, seed)) for seed in seeds]


def numbers(actions) -> np.ndarray:
    return np.array([[*action.delta, action.gripper_logit] for action in actions])


class Slow:
    """The policy, whose step waits for `go`."""

    def __init__(self, policy: Policy):
        self._policy, self.go, self.began = policy, threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def step(self, observation):
        self.began.set()
        assert self.go.wait(20)
        return self._policy.step(observation)


def test_raw_frames_give_the_servers_own_actions_and_frames(policy, serve, connect):
    client = connect(serve().url, quality=0, patches=True)
    assert client.rig == policy.rig and client.config == policy.config and client.precision == "fp32"
    theirs = rollout(client, "open the drawer", range(4))
    frames = theirs[-1].future()
    ours = rollout(policy, "open the drawer", range(4))
    assert np.array_equal(numbers(theirs), numbers(ours))
    expected = ours[-1].future()
    for name in ("static", "wrist", "static_patches", "wrist_patches"):
        assert np.array_equal(getattr(frames, name), getattr(expected, name)), name
    split = client.latency.values()
    assert split["answered"] == 4 and split["late"] == 0
    assert 0 < split["inference_p50_ms"] < split["total_p50_ms"]


def test_jpeg_frames_give_nearly_the_same_actions(policy, serve, connect):
    client = connect(serve().url)
    assert (
        np.abs(numbers(rollout(client, "x", range(3))) - numbers(rollout(policy, "x", range(3)))).max() < 0.05
    )


def test_predicted_frames_come_unasked_once_they_are_wanted(policy, serve, connect):
    client = connect(serve().url, quality=0)
    client.reset("x")
    for step in range(3):
        future = client.step(synthetic_observation(policy.rig, step)).future()
        assert future.static.shape == (96, 96, 3) and future.static_patches.size == 0
    expected = rollout(policy, "x", range(3))[-1].future()
    assert np.array_equal(future.static, expected.static) and np.array_equal(future.wrist, expected.wrist)


def test_each_client_has_a_history_of_its_own(policy, serve, connect):
    server = serve()
    clients = [connect(server.url, quality=0) for _ in range(2)]
    tasks = ["open the drawer", "put the eggplant on the plate"]
    for client, task in zip(clients, tasks):
        client.reset(task)
    found = [[], []]
    for step in range(4):
        for index, client in enumerate(clients):
            found[index].append(client.step(synthetic_observation(policy.rig, 10 * index + step)))
    for index, task in enumerate(tasks):
        expected = rollout(policy, task, range(10 * index, 10 * index + 4))
        assert np.array_equal(numbers(found[index]), numbers(expected))


def test_what_the_policy_refuses_is_refused_with_its_words(policy, serve, connect):
    client = connect(serve().url)
    seen = synthetic_observation(policy.rig, 0)
    with pytest.raises(PolicyError, match="no instruction yet"):
        client.step(seen)
    client.reset("x")
    with pytest.raises(PolicyError, match="arm is .*expected 6 finite numbers"):
        client.step(Observation(seen.static, seen.wrist, np.full(6, np.nan), 1))
    with pytest.raises(RigError, match="the rig says"):
        client.step(Observation(seen.static[:8], seen.wrist, seen.arm, 1))
    assert len(rollout(client, "x", range(2))) == 2


def test_a_late_answer_is_dropped_and_the_history_begins_anew(policy, serve, connect):
    slow = Slow(policy)
    client = connect(serve(of=slow).url, quality=0, timeout=0.2)
    client.reset("x")
    with pytest.raises(LateAnswer, match="no answer of wss://.* within 200 ms"):
        client.step(synthetic_observation(policy.rig, 7))
    slow.go.set()
    client._timeout = 20
    found = [client.step(synthetic_observation(policy.rig, step)) for step in range(2)]
    assert np.array_equal(numbers(found), numbers(rollout(policy, "x", range(2))))
    assert client.latency.values()["late"] == 1


def test_a_lost_server_is_named_at_once_and_found_again(policy, serve, connect):
    slow = Slow(policy)
    server, heard = serve(of=slow), []
    client = connect(server.url, quality=0, log=heard.append)
    client.reset("x")
    failed, lost = [], []
    client.on_lost = lost.append

    def act():
        try:
            client.step(synthetic_observation(policy.rig, 0))
        except PolicyError as error:
            failed.append(str(error))

    thread = threading.Thread(target=act)
    thread.start()
    assert slow.began.wait(20)
    closing = threading.Thread(target=server.close)
    closing.start()
    thread.join(20)
    assert "was lost" in failed[0]
    eventually(lambda: lost, "that whoever acts is told")
    slow.go.set()
    closing.join(20)
    with pytest.raises(PolicyError, match="no connection to wss://"):
        client.step(synthetic_observation(policy.rig, 0))
    serve(port=server.port)
    eventually(lambda: not client.connection_error, "a new connection")
    again = [client.step(synthetic_observation(policy.rig, step)) for step in range(2)]
    assert np.array_equal(numbers(again), numbers(rollout(policy, "x", range(2))))
    assert "lost the connection" in heard[0] and "again" in heard[1]


def test_another_policy_at_the_same_address_is_refused(policy, serve, connect):
    server = serve()
    client = connect(server.url)
    server.close()
    serve(Served("other", "cd" * 32), port=server.port)
    eventually(lambda: "it now serves other, not tiny" in client.connection_error, "why")


# Who may connect, and what may be sent


def test_a_wrong_token_is_refused(serve, connect, access_folder):
    server = serve()
    right = accesses.load(access_folder / accesses.FILE)
    for token in ("wrong", ""):
        with pytest.raises(RemoteError, match="the token is wrong: copy the access file"):
            connect(server.url, accesses.Access(token, right.certificate))
    assert any("wrong token" in line for line in server.lines)
    assert not any("connected" in line for line in server.lines)


def test_another_servers_certificate_is_refused(serve, connect, tmp_path):
    other, _, _ = accesses.ensure(tmp_path)
    with pytest.raises(RemoteError, match="not the server of the access file"):
        connect(serve().url, other)


@pytest.mark.parametrize(
    "url, said",
    [
        ("ws://10.0.0.1:80", "in the clear: use wss://10.0.0.1:80"),
        ("http://localhost:80", "expected wss://host:port"),
        ("wss://localhost", "expected wss://host:port"),
        ("wss://localhost:x", "expected wss://host:port"),
        ("wss://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_an_unusable_address_is_named(connect, url, said):
    with pytest.raises(RemoteError, match=said):
        connect(url)


@pytest.fixture
def websocket(serve, access_folder):
    """open() -> a bare websocket that has heard the greeting; the server is `open.server`."""
    access, server = accesses.load(access_folder / accesses.FILE), serve()

    stack = contextlib.ExitStack()

    def open():
        socket = connect_websocket(
            server.url,
            ssl=access.client_context(),
            subprotocols=[protocol.SUBPROTOCOL],
            additional_headers={"Authorization": f"Bearer {access.token}"},
            proxy=None,
        )
        socket = stack.enter_context(socket)
        protocol.unpack(socket.recv(), protocol.Hello)
        return socket

    open.server = server
    with stack:
        yield open


def test_a_message_of_10_mb_is_refused_and_the_other_client_goes_on(policy, websocket, connect):
    client = connect(websocket.server.url, quality=0)
    client.reset("x")
    bad = websocket()
    bad.send(bytes(10_000_000))
    with pytest.raises(ConnectionClosed, match="1009"):
        bad.recv(timeout=20)
    assert np.array_equal(
        numbers([client.step(synthetic_observation(policy.rig, 0))]), numbers(rollout(policy, "x", [0]))
    )


def step_fields(policy, **changed) -> dict:
    seen = synthetic_observation(policy.rig, 0)
    views = {
        role: protocol.encode_view(getattr(seen, role), policy.rig.cameras[role], 0)
        for role in policy.rig.cameras
    }
    return {
        "kind": "Step",
        "number": 1,
        "encoding": "raw",
        "arm": seen.arm.tolist(),
        "gripper": 1.0,
        "instruction": "x",
    } | views | changed  # fmt: skip


BAD = {
    "text": (lambda good: "hello", "text message"),
    "no msgpack": (lambda good: b"\xc1", "no msgpack map"),
    "a list": (lambda good: msgpack.packb([1]), "something else"),
    "an answer": (lambda good: msgpack.packb({"kind": "Answer"}), "received Answer"),
    "an extension": (lambda good: msgpack.packb({"kind": msgpack.ExtType(1, b"x")}), "extension"),
    "an unknown field": (lambda good: msgpack.packb(good | {"more": 1}), "no field 'more'"),
    "a missing field": (lambda good: msgpack.packb({"kind": "Step", "number": 1}), "without its field"),
    "a wrong type": (lambda good: msgpack.packb(good | {"number": "1"}), "Step.number is str"),
    "a short arm": (lambda good: msgpack.packb(good | {"arm": [1.0]}), "expected 6 numbers"),
    "few pixels": (lambda good: msgpack.packb(good | {"static": b"12"}), "no raw image"),
    "no jpeg": (lambda good: msgpack.packb(good | {"encoding": "jpeg"}), "neither JPEG nor PNG"),
    "pickle": (lambda good: msgpack.packb(good | {"encoding": "pickle"}), "is not raw or jpeg"),
}


@pytest.mark.parametrize("make, said", BAD.values(), ids=BAD)
def test_a_message_that_the_protocol_does_not_have_ends_its_connection(policy, websocket, make, said):
    socket = websocket()
    socket.send(make(step_fields(policy)))
    with pytest.raises(ConnectionClosed, match=f"1007.*{said}"):
        socket.recv(timeout=20)


def test_a_jpeg_of_another_size_is_refused_before_it_is_decoded(policy, websocket):
    socket, huge = websocket(), protocol.images.encode_jpeg(np.zeros((900, 900, 3), np.uint8), 5)
    socket.send(msgpack.packb(step_fields(policy, encoding="jpeg", static=huge)))
    with pytest.raises(ConnectionClosed, match="an image of 900x900"):
        socket.recv(timeout=20)


# The access file


def test_the_access_file_is_kept_private_and_renewed_on_demand(tmp_path):
    first, _, new = accesses.ensure(tmp_path)
    path = tmp_path / accesses.FILE
    assert new and path.stat().st_mode & 0o777 == 0o600
    assert accesses.ensure(tmp_path)[0] == first == accesses.load(path) and not accesses.ensure(tmp_path)[2]
    renewed, _, new = accesses.ensure(tmp_path, renew=True)
    assert new and renewed.token != first.token and renewed.certificate == first.certificate
    assert "PRIVATE" not in path.read_text()
    path.chmod(0o644)
    with pytest.raises(AccessError, match="chmod 600"):
        accesses.load(path)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"token": "a b", "certificate": ""}', '{"token": "a", "certificate": "x"}', "[1]"]
)
def test_a_damaged_access_file_is_named(tmp_path, text):
    path = tmp_path / "access.json"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(AccessError, match="access.json"):
        accesses.load(path)
    with pytest.raises(AccessError, match="there is no access file"):
        accesses.load(tmp_path / "none.json")
