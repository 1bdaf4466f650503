import pytest
from rclpy.node import Node

from tests.support import ros_graph


@pytest.fixture(scope="module")
def node():
    """The node that a driver is constructed with, for tests of a driver without its process."""
    ros_graph.init_ros()
    node = Node("driver")
    yield node
    node.destroy_node()
