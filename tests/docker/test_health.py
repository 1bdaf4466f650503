"""The health check of the images: it sees every node publish, or names those that do not."""

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from gr1_check.commands import health
from tests.support.ros_graph import SpinningNodes


@pytest.fixture
def speaking():
    """Two nodes that say on /diagnostics, ten times a second, that they are not well."""
    spinning = SpinningNodes()
    node = rclpy.create_node("speaker", context=spinning.context)
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    said = [
        DiagnosticStatus(name=name, level=DiagnosticStatus.ERROR)
        for name in ("arm: gate", "camera_static: stream")
    ]
    node.create_timer(0.1, lambda: publisher.publish(DiagnosticArray(status=said)))
    spinning.start(node)
    yield
    spinning.close()


def test_nodes_that_speak_are_alive_even_when_they_complain(speaking, capsys):
    assert health.main(["arm", "camera_static", "--wait", "20"]) == 0
    assert capsys.readouterr().out == "alive: arm, camera_static\n"


def test_a_node_that_is_not_heard_is_named(speaking, capsys):
    assert health.main(["arm", "camera_wrist", "--wait", "2"]) == 1
    assert "camera_wrist" in capsys.readouterr().err
