import os

# Before rclpy is initialised: a domain of this run's own, and nothing from other machines.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

import pytest

from . import graph


@pytest.fixture(scope="module")
def ear():
    """A listening node."""
    graph.start()
    ear = graph.Ear()
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def arm(ear):
    """The arm node with the simulated arm, as a process of its own, ready to take commands."""
    process = graph.Process("gr1_robot.arm.node", "robot:=sim")
    ear.status("arm: gate")
    yield process
    process.end()
