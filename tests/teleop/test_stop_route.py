"""The stop button of the pages: over real TLS, with a real stop socket."""

import json

import pytest

from gr1_core.remote import certificate
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.server import Server
from tests.teleop.fakes import FakeLink, FakeRecorder, FakeRobotView
from tests.teleop.https_client import Client


@pytest.fixture
def pressed():
    return []


@pytest.fixture
def served(tmp_path, loopback_certificate: certificate.Certificate, pressed):
    def stop() -> tuple[bool, str]:
        pressed.append(1)
        return True, "the arm is stopped until arm/reset is called"

    server = Server(
        FakeLink(),
        EpisodeControl(FakeRecorder(), tmp_path),
        FakeRobotView(),
        "127.0.0.1",
        0,
        certificate=loopback_certificate,
        stop=stop,
    )
    server.start()
    yield server
    server.close()


@pytest.mark.parametrize("token", ["operator", "viewer"])
def test_every_paired_page_can_stop_the_arm(served, pressed, token):
    client = Client(served, served.view_url.split("token=")[1] if token == "viewer" else None)
    status, _, body = client.get("/api/stop", method="POST", Origin=client.origin)
    assert status == 200 and pressed == [1]
    assert json.loads(body) == {"stopped": True, "text": "the arm is stopped until arm/reset is called"}


@pytest.mark.parametrize("cause", ["no token", "another site", "no origin", "GET"])
def test_nobody_else_can(served, pressed, cause):
    client = Client(served)
    origin = {"another site": {"Origin": "https://elsewhere"}, "no origin": {}}.get(
        cause, {"Origin": client.origin}
    )
    method = "GET" if cause == "GET" else "POST"
    status, _, _ = client.get("/api/stop", cookie=cause != "no token", method=method, **origin)
    assert status in (401, 403, 405) and not pressed


@pytest.mark.parametrize("page", ["/", "/desk"])
def test_every_page_has_the_button(served, page):
    client = Client(served)
    assert b'src="/web/stop_button.js"' in client.get(page)[2]
    assert b"/api/stop" in client.get("/web/stop_button.js")[2]
