"""What cannot give the same results is refused, with the worker and the difference named."""

from __future__ import annotations

import fcntl
import os
import socket
import sys

import pytest

from gr1_core.cli import main
from gr1_core.cluster import Cluster, ClusterError
from gr1_core.data.convert.conversion import convert
from tests.cluster.nodes import Nodes
from tests.data.synthetic import Synthetic


def collect(tmp_path, *more) -> int:
    return main(["collect", "hands", "--clips", "1", "--out", str(tmp_path / "hands"), *more])


@pytest.fixture
def silent_address():
    """An address where nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{bound.getsockname()[1]}"


def test_an_address_where_nothing_answers_is_named(silent_address, tmp_path, capsys):
    assert collect(tmp_path, "--cluster", silent_address) == 1
    error = capsys.readouterr().err
    assert f"--cluster {silent_address}: no Dask scheduler answers there" in error
    assert "start one with `dask scheduler`" in error and not (tmp_path / "hands").exists()


@pytest.mark.parametrize(
    "address, reason",
    [("local:none", "give a number of local workers"), ("absent.json", "there is no such scheduler file")],
)
def test_an_address_of_another_form_is_named(address, reason, tmp_path, capsys):
    assert collect(tmp_path, "--cluster", address) == 1
    assert f"gr1: --cluster {address}: {reason}" in capsys.readouterr().err


def test_without_the_extra_the_package_to_install_is_named(tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("gr1_core.cluster")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert collect(tmp_path, "--cluster", "local:2") == 1
    assert "pip install 'gr1_core[cluster]'" in capsys.readouterr().err


def test_workers_and_cluster_exclude_each_other(tmp_path, capsys):
    assert collect(tmp_path, "--cluster", "local:2", "--workers", "2") == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_folder_that_only_the_client_sees_is_named(nodes, tmp_path):
    private = fcntl.fcntl(os.open(tmp_path, os.O_RDONLY), fcntl.F_DUPFD, 700)
    mine = f"/proc/self/fd/{private}"
    with Cluster(nodes.address) as cluster:
        with pytest.raises(ClusterError, match=rf"worker tcp://\S+ on \S+: does not see {mine}: put it into"):
            cluster.require(reads=[mine])
    with Cluster(nodes.address) as cluster:
        with pytest.raises(ClusterError, match=f"does not see {mine}/set/parts of this machine"):
            convert(Synthetic(2), f"{mine}/set", progress=False, cluster=cluster)
    assert not list((tmp_path / "set" / "parts").glob(".gr1-cluster-*"))


def test_a_folder_with_other_content_on_a_worker_is_named(nodes):
    with Cluster(nodes.address) as cluster:
        with pytest.raises(ClusterError, match="sees another /proc/self/task than this machine"):
            cluster.require(reads=["/proc/self/task"])


@pytest.fixture(scope="module")
def other_scheduler(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("others"))
    yield nodes
    nodes.close()


def test_other_versions_are_named_at_the_start_and_when_a_worker_joins_later(other_scheduler, tmp_path):
    info = tmp_path / "packages" / "torch-0.0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0.9\n")
    difference = r"worker tcp://\S+ on \S+: torch 0\.0\.9 there, \S+ here: install the same"
    good = other_scheduler.start()
    with Cluster(other_scheduler.address) as cluster:
        bad = other_scheduler.start(path=tmp_path / "packages")
        good.kill()
        with pytest.raises(ValueError, match=difference):
            convert(Synthetic(2), tmp_path / "set", progress=False, cluster=cluster)
    with pytest.raises(ClusterError, match=difference):
        Cluster(other_scheduler.address)
    bad.kill()
    bad.wait()


def test_a_worker_with_several_threads_is_named(other_scheduler):
    worker = other_scheduler.start(threads=2)
    with pytest.raises(ClusterError, match="runs 2 units at once in one process.* --nthreads 1"):
        Cluster(other_scheduler.address)
    worker.kill()
