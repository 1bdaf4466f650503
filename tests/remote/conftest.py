"""A policy server on a free loopback port, and clients for it."""

import pytest
import torch

from gr1_core import GR1Config, Policy
from gr1_core.remote import access as accesses
from gr1_core.remote.client import RemotePolicy
from gr1_core.remote.server import PolicyServer, Served
from tests.data.synthetic import tiny_rig

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy():
    made = Policy.untrained(GR1Config.small(), tiny_rig(), seed=0, device="cpu", precision="fp32")
    made.warm_up()
    return made


@pytest.fixture(scope="session")
def access_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    accesses.ensure(folder)
    return folder


@pytest.fixture
def serve(policy, access_folder):
    """serve(**options) -> a server with TLS; `lines` are what it logged."""
    servers = []

    def make(served=None, of=policy, **options):
        access, certificate, _ = accesses.ensure(access_folder)
        lines = []
        options = {"host": "127.0.0.1", "tls": certificate.context(), "log": lines.append} | options
        served = served or Served("tiny", "ab" * 32)
        server = PolicyServer(of, served, access.token, **options)
        server.lines, server.url = lines, f"wss://127.0.0.1:{server.port}"
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def connect(access_folder):
    """connect(url, **options) -> a client with the server's access file."""
    clients = []

    def make(url, access=None, **options):
        client = RemotePolicy(
            url, access or accesses.load(access_folder / accesses.FILE), **({"timeout": 20} | options)
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
