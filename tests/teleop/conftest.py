"""A server on a free loopback port, with fakes around it and its own certificate."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gr1_core.remote import certificate
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.server import Server
from tests.teleop.fakes import FakeLink, FakeRecorder, FakeRobotView
from tests.teleop.https_client import Client


@pytest.fixture(scope="session")
def loopback_certificate(tmp_path_factory):
    return certificate.ensure(tmp_path_factory.mktemp("certificate"), {"localhost", "127.0.0.1"})


@pytest.fixture
def rig(tmp_path, loopback_certificate):
    """server, client (paired), link, recorder, view, folder (of the bags)."""
    link, recorder, view, folder = FakeLink(), FakeRecorder(), FakeRobotView(), tmp_path / "bags"
    folder.mkdir()
    server = Server(
        link, EpisodeControl(recorder, folder), view, "127.0.0.1", 0, certificate=loopback_certificate
    )
    server.start()
    yield SimpleNamespace(
        server=server, client=Client(server), link=link, recorder=recorder, view=view, folder=folder
    )
    server.close()
