"""Answers from a page, over real TLS: the policy's call and the verdict on a trial; the pulse of a call."""

import json

import pytest

from gr1_core.remote import certificate
from gr1_teleop.episode_control import EpisodeControl
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
