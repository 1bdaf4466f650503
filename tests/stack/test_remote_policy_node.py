"""The policy node with its policy on a server: acts as with its own, and rests when the server is gone."""

import pytest

from gr1_bringup import stack
from gr1_core.remote import access as accesses
from gr1_core.remote.server import PolicyServer, Served
from tests.support.waiting import eventually

from .fake import SpyPolicy
from .test_policy_node import moving, speed


class SharedPolicy(SpyPolicy):
    """What a server needs of a policy beside `reset` and `step`."""

    def __getattr__(self, name):
        return getattr(self._policy, name)


@pytest.fixture
def serve(demo_policy, tmp_path):
    """serve(**options) -> a running server; `access` is its access file."""
    access, certificate, _ = accesses.ensure(tmp_path)
    servers = []

    def make(served=None, port=0):
        server = PolicyServer(
            SharedPolicy(demo_policy),
            served or Served("tiny"),
            access.token,
            host="127.0.0.1",
            port=port,
            tls=certificate.context(),
        )
        servers.append(server)
        return server

    make.access = str(tmp_path / accesses.FILE)
    yield make
    for server in servers:
        server.close()


def parameters(serve, running, **more) -> dict:
    return {
        "autostart": True,
        "instruction": "put the eggplant on the plate",
        "server": f"wss://127.0.0.1:{running.port}",
        "server_access": serve.access,
        # Not the subject here, and a busy computer must not fail it.
        "max_action_age_periods": 20.0,
    } | more


def test_acts_through_the_server_rests_without_it_and_goes_on_when_it_is_back(rig, policy_node, serve):
    server = serve()
    policy_node(**parameters(serve, server))
    moving(rig)
    values = eventually(
        lambda: (s := rig.status("policy: server")) and s[0] == 0 and int(s[2]["answered"]) and s[2],
        "latencies",
    )
    assert float(values["inference_p50_ms"]) > 0 and float(values["network_p50_ms"]) > 0
    server.close()
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    eventually(lambda: rig.status("policy: server")[0] == 2, "an ERROR on /diagnostics")
    sent = len(rig.twists)
    again = serve(port=server.port)
    eventually(lambda: len(rig.twists) > sent and speed(rig.twists[-1][1]) > 0, "motion again")
    eventually(lambda: rig.status("policy: server")[0] == 0, "OK on /diagnostics")
    again.close()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"checkpoint": "demo"}, "set one of the two parameters"),
        ({"rig": "calvin"}, "does not fit rig"),
        ({"server": "ws://10.0.0.1:1"}, "in the clear"),
        ({"server_access": "/nowhere/access.json"}, "there is no access file /nowhere/access.json"),
        ({"prediction_limit": 1.5}, "was never calibrated"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused(rig, policy_node, serve, capfd, more, said):
    node, _ = policy_node(**parameters(serve, serve(), **more))
    assert node.finished.is_set() and node.exit_code == 1
    assert said in capfd.readouterr().err


def test_a_checkpoint_that_failed_its_replay_does_not_act(rig, policy_node, serve, capfd):
    record = {"bags": ["one"], "checks": [{"name": "motion", "passed": False, "text": "it shakes"}]}
    server = serve(Served("shaky", "ab", {"replay.json": record}))
    assert policy_node(**parameters(serve, server))[0].exit_code == 1
    assert "shaky failed its replay over one: it shakes" in capfd.readouterr().err
    policy_node(**parameters(serve, server, ignore_replay=True))
    moving(rig)


@pytest.mark.parametrize("robot", ["sim", "kinova_gen2"])
def test_a_server_takes_the_place_of_a_checkpoint(robot, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    chosen = stack.settings(robot=robot, server="wss://gpu:8765", server_access="access.json")
    given = next(node for node in stack.nodes(chosen) if node.name == "policy").parameters
    assert given["server"] == "wss://gpu:8765" and given["checkpoint"] == ""
    assert given["server_access"] == str(tmp_path / "access.json")
