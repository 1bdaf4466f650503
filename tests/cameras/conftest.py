import os

# Before rclpy is initialised: a domain of this run's own, and nothing from other machines.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

import pytest
from rclpy.node import Node

from ..robot import graph


@pytest.fixture(scope="module")
def node():
    """What a source is made with, for tests of a driver without its process."""
    graph.start()
    node = Node("driver")
    yield node
    node.destroy_node()


@pytest.fixture(scope="module")
def ear():
    """A listening node."""
    graph.start()
    ear = graph.Ear()
    yield ear
    ear.close()
