"""What the teleoperation node makes of the arm's topics."""

import math

import pytest

from gr1_teleop.robot_state import closure_of


@pytest.mark.parametrize(
    "fingers, closure",
    [
        ({"closure": 0.62, "closure_command": 1.0}, 1.0),
        ({"closure": 0.62, "closure_command": math.nan}, 0.62),
        ({"closure": 0.62}, 0.62),
    ],
)
def test_fingers_that_nobody_has_told_anything_are_taken_as_they_are(fingers, closure):
    assert closure_of(fingers) == closure


def test_fingers_that_say_nothing_are_not_known():
    assert math.isnan(closure_of({}))
