"""The arm as one object: a driver that hangs, an arm that must be homed first, deliberate pauses, clocks that
jump.
"""

import threading
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from scipy.spatial.transform import Rotation

from gr1_common import messages
from gr1_common.conventions import STOPPED, TICK
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm import controller
from gr1_robot.arm.backend import ArmBackend, ArmError, ArmState
from gr1_robot.arm.controller import ArmController

from .plant import CENTRE, DOWN, FORWARD, HIGH, NO_JOINTS, moves

RIG = Rig.load("kinova_gen2")


class Driver(ArmBackend):
    """An arm without inertia that writes down what it is told, and whose calls can be made to hang or to
    fail.
    """

    joint_names, joint_limits = (), NO_JOINTS

    def __init__(self, clock=time.monotonic):
        self.clock, self.calls, self.wrong, self.homing = clock, [], [], ""
        self.free, self.hanging = threading.Event(), threading.Event()
        self.free.set()
        self.slow = lambda: None
        self.pose, self.home = Pose(CENTRE, DOWN), Pose(CENTRE + (0.0, 0.05, 0.0), DOWN)

    def connect(self):
        pass

    def close(self):
        self.calls.append("close")

    def read_state(self):
        self.slow()
        if not self.free.is_set():
            self.hanging.set()
            self.free.wait(60)
        return ArmState(self.pose, self.pose, np.zeros(0), np.zeros(0), 0.0, self.clock())

    def send_twist(self, linear, angular):
        self.calls.append("twist" if linear.any() or angular.any() else "hold")
        turned = Rotation.from_rotvec(angular * TICK) * Rotation.from_quat(self.pose.quaternion)
        self.pose = Pose(self.pose.position + linear * TICK, turned.as_quat())

    def send_gripper(self, closure):
        self.calls.append(f"grip {closure:g}")

    def hold_gripper(self):
        self.calls.append("hold_gripper")

    def stop(self):
        self.calls.append("stop")

    def home_pose(self):
        return self.home

    def jacobian(self, joints):
        return np.zeros((6, 0))

    def describe(self):
        return "a driver without an arm"

    def start_homing(self):
        self.calls.append("start_homing")
        self.homing = "running"

    def clear_faults(self):
        raise ArmError("joint 3 is still too hot")

    def faults(self):
        return self.wrong


class Clock:
    """A steady clock and a wall clock that the test winds."""

    def __init__(self):
        self.steady, self.offset = 1000.0, 1.7e9

    def monotonic(self):
        return self.steady

    def time_ns(self):
        return round((self.steady + self.offset) * 1e9)


@pytest.fixture
def clock():
    return Clock()


def ready(clock, armed=True):
    driver = Driver(clock.monotonic)
    arm = ArmController(RIG, driver, armed, clock.monotonic)
    return arm, driver


def run(arm, clock, seconds, command=None):
    for index in range(round(seconds / TICK)):
        if command and index % 10 == 0:
            arm.submit_command("policy", *command, clock.steady)
        snapshot = arm.step()
        clock.steady += TICK
    return snapshot


# A driver that hangs


@pytest.fixture
def hanging(monkeypatch):
    monkeypatch.setattr(controller, "DRIVER_TIMEOUT_S", 0.1)
    driver = Driver()
    arm = ArmController(RIG, driver, True)
    arm.step()
    driver.free.clear()
    thread = threading.Thread(target=arm.step, daemon=True)
    thread.start()
    assert driver.hanging.wait(30)
    yield arm, driver
    driver.free.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_driver_that_hangs_delays_no_command_no_stop_and_no_reset(hanging):
    arm, _ = hanging
    assert arm.submit_command("policy", *FORWARD, time.monotonic()) == ""
    arm.stop()
    assert (
        arm.gate.latched == "emergency_stop"
        and arm.submit_command("policy", *FORWARD, time.monotonic()) == "stopped"
    )
    assert arm.reset() == ""


def test_what_needs_a_driver_that_hangs_says_so_instead_of_hanging_too(hanging):
    arm, _ = hanging
    for act in (arm.go_home, arm.clear_faults, arm.describe, lambda: arm.set_option("speed", 1), arm.halt):
        with pytest.raises(ArmError, match="has not answered"):
            act()


def test_a_driver_that_hangs_is_told_to_stop_and_closed_all_the_same(hanging):
    arm, driver = hanging
    assert arm.close() == "" and driver.calls[-2:] == ["stop", "close"]


def test_a_driver_that_hangs_while_it_is_closed_is_left_behind(hanging):
    arm, driver = hanging
    driver.stop = lambda: driver.free.wait(60)
    assert "does not answer" in arm.close()


def test_a_driver_that_fails_while_it_is_stopped_is_closed_all_the_same(clock):
    arm, driver = ready(clock)

    def stop():
        raise RuntimeError("the cable is out")

    driver.stop = stop
    assert "the cable is out" in arm.close() and driver.calls == ["close"]


# Time


def test_a_driver_that_answers_late_makes_commands_old_and_stops_an_arm_that_stood_still(clock):
    arm, driver = ready(clock)
    assert moves(run(arm, clock, 0.2, FORWARD).motion)

    def late():
        clock.steady += 0.6

    driver.slow = late
    arm.submit_command("policy", *FORWARD, clock.steady)
    motion = arm.step().motion
    assert (motion.state, motion.reason) == (STOPPED, "loop_stalled") and not moves(motion)


def test_a_new_scene_may_take_its_time(clock):
    arm, _ = ready(clock)
    run(arm, clock, 0.2, FORWARD)
    clock.steady += 3.0
    arm.restart()
    motion = arm.step().motion
    assert motion.state != STOPPED and not moves(motion)
    clock.steady += TICK
    assert moves(run(arm, clock, 0.1, FORWARD).motion)


@pytest.mark.parametrize("jump", [10.0, -10.0, 0.2, -0.2, 3600.0, -3600.0])
def test_a_jump_of_the_wall_clock_moves_nothing_and_holds_the_arm_only_for_a_moment(clock, monkeypatch, jump):
    """Sender and arm share the clock, like processes on one computer: one command every 100 ms, one of them
    under way at the jump.
    """
    monkeypatch.setattr(messages, "time", clock)
    arm, _ = ready(clock)
    moving, old, replies = [], [], []

    def deliver(sent_ns):
        stamp = messages.to_stamp(sent_ns)
        at = messages.command_time(stamp, {"source_timestamp": sent_ns}, clock.time_ns(), arm.gate.expiry)
        return arm.submit_command("policy", *FORWARD, at, sent_ns)

    for index in range(150):
        if index == 55:
            clock.offset += jump
        if index % 10 == 0:
            under_way = clock.time_ns()
        if index % 10 == 6:
            replies.append(deliver(under_way))
        if index % 10 == 9 and index > 60:
            old.append(deliver(round((1000.0 + 1.7e9 + 0.1) * 1e9)))
        motion = arm.step().motion
        moving.append(moves(motion))
        assert np.linalg.norm(motion.linear) <= 0.1 + 1e-9 and motion.state != STOPPED
        clock.steady += TICK
    assert all(moving[10:55]) and all(moving[100:]), "it goes on by itself"
    assert set(old) <= {"old", "out_of_order"}, "a replay from before the jump"
    assert replies.count("") >= 11


def test_a_command_without_a_stamp_or_with_one_from_the_future_is_old(clock, monkeypatch):
    monkeypatch.setattr(messages, "time", clock)
    now = clock.time_ns()
    info = {"source_timestamp": now}
    assert messages.command_time(messages.to_stamp(now), info, now, 0.15) == pytest.approx(clock.steady)
    assert messages.command_time(messages.to_stamp(now - 10**8), info, now, 0.15) == pytest.approx(
        clock.steady - 0.1
    )
    arm, _ = ready(clock)
    arm.step()
    for stamp in (Time(), messages.to_stamp(now - 10**9), messages.to_stamp(now + 10**9)):
        assert (
            arm.submit_command("policy", *FORWARD, messages.command_time(stamp, info, now, 0.15), 1) == "old"
        )


def test_a_way_home_that_takes_too_long_is_given_up(clock):
    arm, _ = ready(clock)
    run(arm, clock, 0.1)
    arm.backend.home = Pose((HIGH[0] + 0.01, *CENTRE[1:]), DOWN)  # the gate keeps the arm from it
    assert arm.go_home() == ""
    assert run(arm, clock, 8.0).motion.source == "home"
    motion = run(arm, clock, 3.0).motion
    assert (motion.state, motion.reason) == (STOPPED, "homing_timeout")
    assert arm.reset() == "" and not run(arm, clock, 1.0).motion.linear.any(), "it does not go on"


def test_a_computer_that_slept_needs_a_person_although_the_steady_clock_stood_still(clock):
    slept = [0.0]
    driver = Driver(clock.monotonic)
    arm = ArmController(RIG, driver, True, clock.monotonic, lambda: clock.steady + slept[0])
    assert run(arm, clock, 0.3, FORWARD).motion.linear.any()
    slept[0] = 600.0
    snapshot = run(arm, clock, 0.1)
    assert (snapshot.motion.state, snapshot.motion.reason) == (STOPPED, "loop_stalled")
    assert "slept for 600 s" in snapshot.motion.detail
    assert arm.reset() == ""
    assert not run(arm, clock, 0.2).motion.linear.any(), "what was commanded before is over"


# The hand


def told(driver):
    return [call for call in driver.calls if "grip" in call]


def test_a_stop_holds_the_hand_once_and_the_same_command_moves_it_again_after_the_reset(clock):
    arm, driver = ready(clock)
    run(arm, clock, 0.1, FORWARD)
    assert arm.submit_gripper("policy", 1.0, clock.steady) == ""
    run(arm, clock, 0.1, FORWARD)
    arm.stop()
    run(arm, clock, 0.3)
    assert told(driver) == ["grip 1", "hold_gripper"]
    assert arm.reset() == ""
    clock.steady += TICK
    run(arm, clock, 0.1, FORWARD)
    assert told(driver) == ["grip 1", "hold_gripper"], "the command of before the stop is over"
    assert arm.submit_gripper("policy", 1.0, clock.steady) == ""
    run(arm, clock, 0.1, FORWARD)
    assert told(driver) == ["grip 1", "hold_gripper", "grip 1"]


def test_a_gripper_command_that_races_with_a_tick_after_the_reset_never_sends_the_one_before_the_stop(clock):
    arm, driver = ready(clock)
    run(arm, clock, 0.1, FORWARD)
    arm.submit_gripper("policy", 1.0, clock.steady)
    run(arm, clock, 0.1, FORWARD)
    arm.stop()
    run(arm, clock, 0.3)
    assert arm.reset() == ""
    clock.steady += TICK
    arm.submit_command("policy", *FORWARD, clock.steady)
    send_twist = driver.send_twist

    def race(*twist):
        # Between the gate's decision and the hand.
        driver.send_twist = send_twist
        send_twist(*twist)
        assert arm.submit_gripper("policy", 0.25, clock.steady) == ""

    driver.send_twist = race
    run(arm, clock, 0.1)
    assert told(driver) == ["grip 1", "hold_gripper", "grip 0.25"]


def test_a_gripper_command_that_a_stop_overtakes_never_reaches_the_hand(clock):
    arm, driver = ready(clock)
    run(arm, clock, 0.1, FORWARD)
    arm.submit_gripper("policy", 1.0, clock.steady)
    arm.stop()
    run(arm, clock, 0.1)
    assert "grip 1" not in driver.calls


def test_a_stop_of_an_arm_whose_hand_was_never_asked_to_move_leaves_the_hand_alone(clock):
    arm, driver = ready(clock, armed=False)
    run(arm, clock, 0.1)
    assert told(driver) == []


# Home


def test_the_way_home_ends_when_teleoperation_takes_over(clock):
    arm, _ = ready(clock)
    assert arm.go_home() == ""
    assert run(arm, clock, 0.2).motion.source == "home"
    arm.submit_command("teleop", *FORWARD, clock.steady)
    assert arm.step().motion.source == "teleop"
    clock.steady += 1.0
    arm.gate.restart_timing()
    assert not moves(run(arm, clock, 0.3).motion)


def test_an_arm_that_must_be_homed_first_waits_for_a_person_and_is_armed_by_one_afterwards(clock):
    arm, driver = ready(clock, armed=False)
    driver.homing = "needed"
    assert "arm/home" in run(arm, clock, 0.1, FORWARD).faults[0]
    assert "arm/home" in arm.reset() and "start_homing" not in driver.calls
    assert arm.go_home() == "" and driver.calls.count("start_homing") == 1
    run(arm, clock, 0.1, FORWARD)
    assert "homes itself" in arm.reset() and arm.go_home() == "" and driver.calls.count("start_homing") == 1
    driver.homing = ""
    snapshot = run(arm, clock, 0.1, FORWARD)
    assert (
        snapshot.motion.reason == "not_armed" and "twist" not in driver.calls and "stop" not in driver.calls
    )
    assert arm.reset() == ""
    clock.steady += TICK
    assert moves(run(arm, clock, 0.1, FORWARD).motion)


def test_the_emergency_stop_ends_the_homing_and_no_new_one_begins_before_it_is_released(clock):
    arm, driver = ready(clock, armed=False)
    driver.homing = "needed"
    arm.step()
    arm.go_home()
    arm.stop()
    run(arm, clock, 0.05)
    assert driver.calls.count("stop") == 1
    run(arm, clock, 1.0)
    assert 8 <= driver.calls.count("stop") <= 12, "one that is lost on its way is not the last"
    driver.homing = "needed"
    run(arm, clock, TICK)
    assert "emergency_stop" in arm.go_home() and driver.calls.count("start_homing") == 1
    assert "arm/home" in arm.reset() and arm.gate.latched == "not_armed"
    assert arm.go_home() == "" and driver.calls.count("start_homing") == 2


@pytest.mark.parametrize("latch", ["no_pose", "force", "loop_stalled", "emergency_stop"])
def test_whatever_stopped_an_arm_that_must_be_homed_there_is_a_way_back(clock, latch):
    arm, driver = ready(clock)
    run(arm, clock, 0.1, FORWARD)
    arm.stop(latch)
    driver.homing = "needed"
    run(arm, clock, 0.1)
    assert arm.reset() != "" and arm.go_home() == "" and driver.homing == "running"
    driver.homing = ""
    run(arm, clock, 0.1)
    assert arm.reset() == "" and arm.gate.latched == ""


def test_a_person_may_home_an_arm_that_was_armed_before_it_had_to(clock):
    arm, driver = ready(clock)
    driver.homing = "needed"
    assert run(arm, clock, 0.1).motion.reason == "backend_fault"
    assert arm.go_home() == "" and "start_homing" in driver.calls


def test_faults_that_stay_are_told_by_the_arm(clock):
    arm, driver = ready(clock)
    driver.wrong = ["joint 3: too hot"]
    assert arm.step().motion.detail == "joint 3: too hot"
    with pytest.raises(ArmError, match="still too hot"):
        arm.clear_faults()
