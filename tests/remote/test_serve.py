"""`gr1 serve` as a program: what it prints is all that a client needs."""

import re
import signal

import numpy as np
import pytest

from gr1_core import Policy, cli
from gr1_core.bench.policy import synthetic_observation
from gr1_core.eval import verdict
from gr1_core.remote import access as accesses
from gr1_core.remote.served import describe
from tests.support.program import Program


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def signals():
    """Puts the handlers of this process back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_robot_with_its_two_lines_gets_the_checkpoints_actions(data_home, connect):
    words = "-m gr1_core serve --checkpoint demo --host 127.0.0.1 --port 0 --precision fp32 --device cpu"
    program = Program(*words.split())
    try:
        program.until("access file (new: copy it to the robot): ")
        url = re.search(r"server:=(wss://127\.0\.0\.1:\d+)", program.said)[1]
        assert str(accesses.default_file()) in program.said
        client = connect(url, accesses.load(accesses.default_file()), quality=0)
        local = Policy.from_pretrained("demo", "cpu", "fp32")
        assert client.hello.checkpoint == "demo" and client.rig == local.rig
        for policy in (client, local):
            policy.reset("open the drawer")
        seen = synthetic_observation(local.rig, 0)
        np.testing.assert_allclose(client.step(seen).delta, local.step(seen).delta, atol=1e-5)
        program.until("127.0.0.1:")
        program.signal(signal.SIGINT)
        assert program.wait() == 0
    finally:
        program.close()


@pytest.mark.parametrize(
    "words, said",
    [
        ("--checkpoint demo --no-tls", "would send the token in the clear"),
        ("--checkpoint nowhere", "nowhere"),
        ("--checkpoint demo --host 203.0.113.1", "cannot listen on 203.0.113.1, port 8765"),
    ],
)
def test_what_cannot_be_served_is_named(data_home, signals, capsys, words, said):
    assert cli.main(["serve", *words.split()]) in (1, 2)
    assert said in capsys.readouterr().err


def test_the_replays_verdict_goes_with_the_checkpoint(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert describe(tmp_path).records == {}
    found = verdict.Verdict(("bag",), (verdict.Check("motion", False, "it shakes"),))
    found.save(tmp_path)
    served = describe(tmp_path)
    assert verdict.parse(served.records["replay.json"]) == found
    assert "it shakes" in verdict.why_refused(found, served.checkpoint)
