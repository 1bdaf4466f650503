"""When a stopped arm counts as resting (for `gr1 stop`, Ctrl-Z, the end of a run); how a way home ends."""

import numpy as np
import pytest

from gr1_common.stop_socket import EMERGENCY_STOP, SHUTTING_DOWN
from gr1_core.pose import Pose
from gr1_robot.arm.controller import ArmController
from gr1_robot.arm.inertia import Inertia

from .inert import VENDOR
from .plant import CENTRE, DOWN, FULL, HIGH
from .test_arm import RIG, Clock, Driver, ready, run


class Inert(Driver):
    """An arm with a Gen2's inertia."""

    vendor_limits = VENDOR

    def __init__(self, clock, lag):
        super().__init__(clock)
        self.inertia = Inertia(VENDOR, lag)

    def send_twist(self, linear, angular):
        super().send_twist(*self.inertia.step(linear, angular))


@pytest.mark.parametrize("lag", [0.0, 0.03, 0.06])
def test_an_arm_counts_as_resting_when_it_stands_still_and_not_before(lag):
    clock = Clock()
    driver = Inert(clock.monotonic, lag)
    arm = ArmController(RIG, driver, True, clock.monotonic)
    run(arm, clock, 1.0, FULL)
    arm.stop()
    run(arm, clock, 0.06)
    assert arm.no_motion.is_set() and not arm.at_rest.is_set()
    while not arm.at_rest.is_set():
        assert clock.steady < 1003.0
        run(arm, clock, 0.01)
    assert not driver.inertia.velocity.any()
    assert arm.reset() == ""
    clock.steady += 0.01
    run(arm, clock, 0.1, FULL)
    assert not arm.no_motion.is_set() and not arm.at_rest.is_set()


@pytest.mark.parametrize("reason", [EMERGENCY_STOP, SHUTTING_DOWN])
def test_an_arm_that_homes_itself_is_stopped_and_rests_when_its_homing_has_ended(reason):
    clock = Clock()
    arm, driver = ready(clock, armed=False)
    driver.homing = "needed"
    run(arm, clock, 0.1)
    assert arm.go_home() == "" and driver.homing == "running"
    run(arm, clock, 0.1)
    assert not arm.at_rest.is_set() and "stop" not in driver.calls
    arm.stop(reason)
    run(arm, clock, 0.2)
    assert "stop" in driver.calls and not arm.at_rest.is_set()
    driver.homing = "needed"
    run(arm, clock, 0.1)
    assert arm.at_rest.is_set()
    assert not np.any([call == "twist" for call in driver.calls])


@pytest.mark.parametrize("broken", [Pose(np.full(3, np.nan), DOWN), Pose(CENTRE, np.zeros(4))])
def test_a_way_home_that_begins_with_a_broken_pose_ends_in_time_all_the_same(broken):
    clock = Clock()
    arm, driver = ready(clock)
    run(arm, clock, 0.1)
    driver.home = Pose((HIGH[0] + 0.01, *CENTRE[1:]), DOWN)  # the gate keeps the arm from it
    whole, driver.pose, send_twist = driver.pose, broken, driver.send_twist
    driver.send_twist = lambda *_: None  # it would reckon with its own pose
    assert arm.go_home() == ""
    run(arm, clock, 0.05)
    driver.pose, driver.send_twist = whole, send_twist
    assert run(arm, clock, 8.0).motion.source == "home"
    assert run(arm, clock, 5.0).motion.reason == "homing_timeout"
