"""Answers from a page, over real TLS: the policy's call and the verdict on a trial; the pulse of a call."""

import json

import pytest

from gr1_core.remote import certificate
from gr1_recorder import RecorderError
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.recorder_client import RecorderClient
from gr1_teleop.server import Server
from tests.teleop.fakes import FakeLink, FakeRecorder, FakeRobotView
from tests.teleop.https_client import HELLO, Client
from tests.teleop.test_sessions import on


@pytest.fixture
def view():
    return FakeRobotView()


@pytest.fixture
def served(tmp_path, loopback_certificate: certificate.Certificate, view):
    server = Server(
        FakeLink(),
        EpisodeControl(FakeRecorder(), tmp_path),
        view,
        "127.0.0.1",
        0,
        certificate=loopback_certificate,
    )
    server.start()
    yield server
    server.close()


def test_a_paired_page_answers_the_call_and_judges(served, view):
    client = Client(served)
    status, _, body = client.get("/api/confirm", method="POST", Origin=client.origin)
    assert status == 200 and json.loads(body) == {"done": True, "text": "the policy goes on at full speed"}
    address = "/api/judge?verdict=failure:dropped"
    status, _, body = client.get(address, method="POST", Origin=client.origin)
    assert status == 200 and json.loads(body)["done"] and view.verdicts == ["failure:dropped"]


@pytest.mark.parametrize("cause", ["viewer", "no token", "another site", "no origin", "GET"])
@pytest.mark.parametrize("path", ["/api/confirm", "/api/judge?verdict=success"])
def test_nobody_else_does(served, view, cause, path):
    client = Client(served, served.view_url.split("token=")[1] if cause == "viewer" else None)
    origin = {"another site": {"Origin": "https://elsewhere"}, "no origin": {}}.get(
        cause, {"Origin": client.origin}
    )
    method = "GET" if cause == "GET" else "POST"
    status, _, _ = client.get(path, cookie=cause != "no token", method=method, **origin)
    assert status in (401, 403, 404, 405)
    assert not hasattr(view, "confirmed") and not hasattr(view, "verdicts")


@on
async def test_a_call_is_felt_by_the_operator(rig):
    async with rig.client.socket(hello=HELLO) as operator:
        rig.view.values |= {"policy": {"call": {"number": 1, "reason": "static camera"}}}
        pulses = (await operator.until(lambda message: message.get("haptics")))["haptics"]
        assert [pulse["kind"] for pulse in pulses] == ["call"]


@on
async def test_the_buttons_of_a_headset_start_and_judge_a_trial(rig):
    """A sends start between trials and success during one, as it does for episodes."""
    async with rig.client.socket(hello=HELLO) as operator:
        for phase, state in (("arrange", "idle"), ("running", "recording"), ("judge", "recording")):
            rig.view.values |= {"evaluation": {"phase": phase, "seconds": 4.0}}
            wanted = {"state": state, "seconds": 4.0}
            await operator.until(
                lambda message, wanted=wanted: wanted.items() <= message.get("recording", {}).items()
            )


def test_while_an_evaluation_runs_the_recorders_buttons_are_the_judges():
    noted, running = [], {"phase": "running"}
    client = RecorderClient(
        "",
        dict,
        noted.append,
        evaluation=lambda: running,
        judge=lambda verdict: (noted.append(verdict) is None, f"noted: {verdict}"),
    )
    try:
        assert [getattr(client, name)() for name in ("start", "success", "failure", "discard")] == [
            f"noted: {verdict}" for verdict in ("start", "success", "failure", "redo")
        ]
        with pytest.raises(RecorderError, match="an evaluation is running"):
            client.relabel("open the drawer")
        running.clear()
        with pytest.raises(RecorderError, match="no recorder is running"):
            client.success()
    finally:
        client.close()
    assert noted == ["start", "success", "failure", "redo"]
