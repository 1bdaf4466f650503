"""A server on a free port of loopback, joined with stand-ins, with a certificate of its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gr1_teleop import certificate
from gr1_teleop.episodes import Episodes
from gr1_teleop.server import Server
from tests.teleop.browserless import Client
from tests.teleop.standin import Link, Recorder, Watch


@pytest.fixture(scope="session")
def loopback_certificate(tmp_path_factory):
    return certificate.ensure(tmp_path_factory.mktemp("certificate"), {"localhost", "127.0.0.1"})


@pytest.fixture
def rig(tmp_path, loopback_certificate):
    """server, client (paired), link, recorder, watch, folder (of the bags)."""
    link, recorder, watch, folder = Link(), Recorder(), Watch(), tmp_path / "bags"
    folder.mkdir()
    server = Server(link, Episodes(recorder, folder), watch, "127.0.0.1", 0, certificate=loopback_certificate)
    server.start()
    yield SimpleNamespace(
        server=server, client=Client(server), link=link, recorder=recorder, watch=watch, folder=folder
    )
    server.close()
