"""What all tests share: the ROS environment, and a client in the ROS graph."""

import pytest


@pytest.fixture(scope="module")
def ros():
    """A node of the test's own: subscriptions, publishers, service calls, diagnostics."""
    from tests.support.ros_graph import RosClient

    client = RosClient()
    yield client
    client.close()
