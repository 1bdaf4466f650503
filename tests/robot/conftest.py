import pytest

from tests.support import ros_graph


@pytest.fixture(scope="module")
def arm(ros):
    """The arm node with the simulated arm, as a process of its own, ready to take commands."""
    process = ros_graph.NodeProcess("gr1_robot.arm.node", "robot:=sim")
    ros.status("arm: gate")
    yield process
    process.end()
