import pytest

pytest.importorskip("distributed")

from tests.cluster.nodes import Nodes  # noqa: E402


@pytest.fixture(scope="package")
def cluster_nodes(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("nodes"), allowed_failures=1)
    yield nodes
    nodes.close()


@pytest.fixture
def nodes(cluster_nodes):
    """A scheduler with two workers, which gives a unit up after two deaths."""
    cluster_nodes.refill()
    return cluster_nodes
