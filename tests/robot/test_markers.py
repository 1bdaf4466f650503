"""What rviz shows of a moving and of a stopped arm."""

import numpy as np
import pytest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from gr1_common.conventions import STOPPED
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.gate import Motion
from gr1_robot.arm.markers import Markers

HAND = Pose(np.array([0.4, 0.1, 0.2]), np.array([0.0, 0.0, 0.0, 1.0]))


def shown(*motions):
    """{namespace: marker} that rviz has after messages with these motions."""
    markers, here = Markers(Rig.load("kinova_gen2").limits), {}
    for motion in motions:
        for marker in markers.to_message(Header(frame_id="base_link"), HAND, motion).markers:
            if marker.action == Marker.DELETE:
                here.pop((marker.ns, marker.id), None)
            else:
                here[marker.ns, marker.id] = marker
    return {ns: marker for (ns, _), marker in here.items()}


def motion(state, reason="", detail="", speed=0.0):
    return Motion(np.array([speed, 0.0, 0.0]), np.zeros(3), state, reason, "", detail)


@pytest.mark.parametrize(
    ("reason", "detail", "said"),
    [("stop requested", "", "stop requested"), ("contact", "31 N at the hand", "31 N at the hand")],
)
def test_a_stopped_arm_has_a_red_ball_and_the_reason_in_words(reason, detail, said):
    there = shown(motion(STOPPED, reason, detail))
    text, ball = there["why_stopped"], there["stopped"]
    assert text.type == Marker.TEXT_VIEW_FACING and text.text == f"STOPPED: {said}" and text.scale.z > 0
    assert text.color.r > 0.8 > text.color.g and text.color.a == 1.0
    assert (ball.pose.position.x, ball.pose.position.y, ball.pose.position.z) == (0.4, 0.1, 0.2)
    assert min(ball.scale.x, ball.scale.y, ball.scale.z) > 0.0


def test_they_go_when_the_arm_moves_again():
    there = shown(motion(STOPPED, "contact"), motion("active", speed=0.1))
    assert set(there) == {"commanded_motion", "commanded_path", "workspace"}
