"""Conversion on a cluster of two nodes gives the bytes of one machine, also when a node dies."""

from __future__ import annotations

import pytest

from gr1_core.cluster import Cluster, ClusterError
from gr1_core.data.convert.conversion import convert
from tests.cluster.sources import Deadly
from tests.data.synthetic import Synthetic, files


def test_a_node_that_is_killed_costs_its_unit_once_more_and_the_dataset_is_the_same(nodes, tmp_path):
    whole = files(convert(Synthetic(8, damaged=(6,)), tmp_path / "whole", workers=1, progress=False).root)
    (tmp_path / "readings").mkdir()
    source = Deadly(8, damaged=(6,), folder=tmp_path / "readings", deadly=3)
    with Cluster(nodes.address) as cluster:
        done = convert(source, tmp_path / "set", progress=False, cluster=cluster)
    assert files(done.root) == whole and len(done.skipped) == 1
    assert [source.readings(unit.key) for unit in source.units()] == [1, 1, 1, 2, 1, 1, 1, 1]
    assert sum(worker.poll() is not None for worker in nodes.workers) == 1


def test_an_interrupted_conversion_continues_on_the_cluster_with_the_missing_units_only(nodes, tmp_path):
    whole = files(convert(Synthetic(6), tmp_path / "whole", workers=1, progress=False).root)
    convert(Synthetic(6), tmp_path / "set", workers=1, shard=(0, 2), progress=False)
    (tmp_path / "readings").mkdir()
    source = Deadly(6, folder=tmp_path / "readings", deaths=0)
    with Cluster(nodes.address) as cluster:
        done = convert(source, tmp_path / "set", progress=False, cluster=cluster)
    assert files(done.root) == whole
    assert [source.readings(unit.key) for unit in source.units()] == [0, 1, 0, 1, 0, 1]


def test_a_unit_that_kills_every_worker_is_named_after_the_others_are_complete(nodes, tmp_path):
    nodes.refill(3)
    (tmp_path / "readings").mkdir()
    source = Deadly(6, folder=tmp_path / "readings", deadly=2, deaths=9)
    with (
        Cluster(nodes.address) as cluster,
        pytest.raises(ClusterError, match="unit 'unit-002': 2 workers died in the middle of it"),
    ):
        convert(source, tmp_path / "set", progress=False, cluster=cluster)
    made = sorted(path.stem for path in (tmp_path / "set" / "parts").glob("*.arrow"))
    assert made == ["unit-000", "unit-001", "unit-003", "unit-004", "unit-005"]
