"""Faults, loss and return of the arm, and what a user can mend."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from gr1_core.rig import Rig, RigError
from gr1_robot.arm.backend import ArmError, check_rig_limits
from gr1_robot.arm.drivers.kinova_gen3 import watchdog as watchdog_process
from gr1_robot.arm.drivers.kinova_gen3.session import Login, Session
from gr1_robot.arm.drivers.kinova_gen3.watchdog_client import WatchdogClient

from .arm import BASE, MANUAL, READY, StandInArm
from .drive import Drive

MOTION = (0.0, 0.05, 0.0)


def until(test, timeout=20.0):
    """Waits for what a backend's own thread does."""
    deadline = time.monotonic() + timeout
    while not test():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.005)


def watchdog_child():
    """The watchdog process of the backend in this process."""
    children = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    return max(
        (p for p in children if "gr1_robot.arm.drivers.kinova_gen3.watchdog" in p.cmdline()),
        key=lambda p: p.create_time(),
    )


@pytest.fixture
def moving(arm, connected):
    """A drive in motion."""
    with Drive(connected, MOTION) as drive:
        arm.until(lambda arm: arm.moving)
        yield drive


# Faults


def test_faults_are_told_in_words_and_forgotten_when_a_person_clears_them(arm, connected):
    assert connected.faults() == []
    arm.fault(base=1 << 4 | 1 << 23, joint=1 << 5)
    until(lambda: len(connected.faults()) == 3 + 7)
    said = connected.faults()
    assert "the arm is in fault" in said[0]
    assert {"base: joint fault", "base: emergency stop activated", "joint 7: maximum torque"} <= set(said)
    connected.clear_faults()
    until(lambda: connected.faults() == [])
    assert not arm.moving


def test_clearing_faults_waits_for_nothing_and_says_later_what_went_wrong(arm, connected):
    arm.refusing = {"ClearFaults"}
    connected.clear_faults()
    until(lambda: any("refuses ClearFaults (METHOD_FAILED)" in text for text in connected.faults()))
    arm.hung = True
    connected.clear_faults()
    until(lambda: any("lost the arm" in text for text in connected.faults()))


def test_a_fault_whose_cause_persists_is_still_told_after_clearing(arm, connected):
    arm.fault(base=1 << 23, persists=True)
    until(connected.faults)
    connected.clear_faults()
    until(lambda: len(arm.calls("ClearFaults")) == 1)
    assert "base: emergency stop activated" in connected.faults()


def test_a_bit_without_a_name_is_still_told(arm, connected):
    arm.fault(base=1 << 29)
    until(lambda: "base: fault 0x20000000" in connected.faults())


def test_a_fault_in_motion_ends_the_motion_and_what_is_refused_is_told(arm, connected, moving):
    arm.fault(joint=1 << 0)
    until(lambda: "joint 1: following error" in connected.faults())
    moving.twist = np.array((0.0, 0.02, 0.0)), np.zeros(3)
    until(lambda: any("refuses SendTwistCommand (ROBOT_IN_FAULT)" in text for text in connected.faults()))
    assert not arm.moving


@pytest.mark.parametrize(
    "state, words", [(6, "low level"), (8, "sequence"), (5, "not ready to move (ARMSTATE_MAINTENANCE)")]
)
def test_an_arm_that_is_not_ours_to_move_says_so(arm, connected, state, words):
    arm.state = state
    until(lambda: any(words in text for text in connected.faults()))


def test_an_arm_that_somebody_else_moves_is_not_ready_and_one_that_we_move_is(arm, connected, moving):
    until(lambda: arm.state == MANUAL)
    assert connected.faults() == [], "it executes the twist of this program"
    moving.twist = np.zeros(3), np.zeros(3)
    arm.until(lambda arm: not arm.moving)
    arm.state = MANUAL
    until(lambda: any("by hand, a joystick or another program" in text for text in connected.faults()))
    arm.state = READY
    until(lambda: connected.faults() == [])


def test_an_arm_without_its_gripper_says_so_and_reports_no_closure(arm, connected):
    arm.motors = 0
    until(lambda: any("reports no gripper" in text for text in connected.faults()))
    assert np.isnan(connected.read_state().closure)
    arm.motors = 1
    until(lambda: connected.faults() == [])
    assert connected.read_state().closure == pytest.approx(arm.closure)


def test_an_arm_in_fault_can_be_connected_to_and_cleared(arm, make):
    arm.fault(base=1 << 4)
    backend = make()
    backend.connect()
    assert "base: joint fault" in backend.faults()
    backend.clear_faults()
    until(lambda: backend.faults() == [])


# Nothing moves by itself


def test_connecting_moves_nothing(arm, connected):
    before = arm.pose()[0]
    with Drive(connected):
        arm.until(lambda arm, at=arm._now: arm._now > at + 0.1)
    np.testing.assert_array_equal(arm.pose()[0], before)
    assert not any(entry.detail.twist.linear_y for entry in arm.calls("SendTwistCommand"))


def test_closing_stops_the_arm_and_ends_both_sessions_and_the_watchdog(arm, connected):
    watchdog = watchdog_child()
    with Drive(connected, MOTION) as drive:
        arm.until(lambda arm: arm.moving)
        drive.freeze()
    connected.close()
    assert not arm.moving
    arm.until(lambda arm: len(arm.calls("CloseSession")) == 2)
    assert watchdog.pid not in psutil.pids()
    connected.close()


def test_a_stop_in_an_emergency_is_a_stop_at_once(arm, connected):
    with Drive(connected, MOTION) as drive:
        arm.until(lambda arm: arm.moving)
        drive.freeze()
        connected.stop()
        assert not arm.moving and arm.calls("Stop")


def test_a_loop_that_stands_still_ends_the_motion_and_is_named(arm, make):
    backend = make(watchdog_ms=200)
    backend.connect()
    with Drive(backend, MOTION) as drive:
        arm.until(lambda arm: arm.moving)
        drive.freeze()
        arm.until(lambda arm: not arm.moving)
    assert arm.calls("rest")[-1].detail != "inactivity", "not only because the session fell silent"
    until(
        lambda: any(
            "the arm node" in text and ("stalled" in text or "did not run" in text)
            for text in backend.faults()
        )
    )
    until(lambda: backend.faults() == [])


def test_an_arm_that_still_moves_is_stopped_by_the_log_in(arm, make):
    from kortex_api.autogen.messages import Base_pb2

    gone = Session(Login("127.0.0.1", arm.port, "admin", "admin", 2000))
    gone.call(
        gone.base.SetServoingMode,
        Base_pb2.ServoingModeInformation(servoing_mode=Base_pb2.SINGLE_LEVEL_SERVOING),
    )
    gone.call(
        gone.base.SendTwistCommand,
        Base_pb2.TwistCommand(reference_frame=BASE, twist=Base_pb2.Twist(linear_y=0.05)),
    )
    assert arm.moving
    make().connect()
    assert arm.rests(0.0).detail == "Stop"
    gone.close()


def test_an_arm_that_refuses_to_stop_as_it_is_in_fault_can_be_connected_to(arm, make):
    arm.fault(base=1 << 4)
    arm.refusing = {"Stop"}
    backend = make()
    backend.connect()
    assert "base: joint fault" in backend.faults()


def test_a_twist_that_has_waited_in_a_frozen_process_is_not_sent(arm, make, monkeypatch):
    beat = WatchdogClient.beat

    def freeze(watchdog, moving):
        beat(watchdog, moving)
        if moving:
            threading.Event().wait(0.3)

    backend = make(watchdog_ms=200)
    backend.connect()
    monkeypatch.setattr(WatchdogClient, "beat", freeze)
    with Drive(backend, MOTION):
        until(lambda: any("a twist was not sent because it was" in text for text in backend.faults()))
    assert not any(entry.detail.twist.linear_y for entry in arm.calls("SendTwistCommand"))


def test_without_a_finite_pose_the_arm_rests(arm, connected, moving):
    began = time.monotonic()
    arm.nowhere = True
    until(lambda: any("commanded_tool_pose that is not finite" in text for text in connected.faults()))
    assert connected.read_state().measured is None and connected.read_state().commanded is None
    assert arm.rests(began).detail == "twist"
    arm.nowhere = False
    moving.twist = np.zeros(3), np.zeros(3)
    until(lambda: connected.faults() == [])


def test_a_twist_that_is_not_finite_is_rest(arm, connected, moving):
    began = time.monotonic()
    moving.twist = np.array((0.0, np.nan, 0.0)), np.zeros(3)
    until(lambda: any("a twist was not sent because it is not finite" in text for text in connected.faults()))
    assert arm.rests(began).detail == "twist"
    assert np.isfinite([entry.detail.twist.linear_y for entry in arm.calls("SendTwistCommand")]).all()


def test_a_watchdog_that_cannot_stop_the_arm_never_says_that_it_has(arm, monkeypatch):
    said = []
    monkeypatch.setattr(watchdog_process, "_send", said.append)
    monkeypatch.setattr(watchdog_process, "_GIVE_UP_S", 0.1)
    arm.refusing = {"Stop"}
    ours, theirs = os.pipe()
    watchdog = watchdog_process.Watchdog(Login("127.0.0.1", arm.port, "admin", "admin", 2000), 0.1, ours)
    thread = threading.Thread(target=watchdog.run, daemon=True)
    thread.start()
    until(lambda: watchdog_process.READY in said)
    os.write(theirs, watchdog_process.MOVING)
    until(lambda: watchdog_process.LOST in said)
    assert watchdog_process.STOPPED not in said
    arm.refusing = set()
    until(lambda: watchdog_process.STOPPED in said)
    assert arm.calls("Stop")
    os.close(theirs)
    thread.join(20)
    assert not thread.is_alive()
    os.close(ours)


# Loss and return


def test_an_arm_that_hangs_up_is_stopped_by_the_watchdog_and_found_again(arm, connected, moving):
    began = time.monotonic()
    arm.hang_up()
    assert arm.rests(began).detail == "Stop"
    until(lambda: any("lost the arm" in text for text in connected.faults()))
    moving.twist = np.zeros(3), np.zeros(3)
    until(lambda: connected.faults() == [] and connected.read_state().measured is not None)
    stopped = len(arm.calls("SendTwistCommand"))
    moving.twist = np.array(MOTION), np.zeros(3)
    arm.until(lambda arm: arm.moving)
    assert len(arm.calls("SendTwistCommand")) > stopped


def test_a_lost_arm_has_no_pose_and_is_looked_for_until_it_is_there(arm, connected):
    arm.refuse_connections()
    arm.hang_up()
    until(lambda: any("cannot be reached" in text for text in connected.faults()))
    state = connected.read_state()
    assert state.measured is None and state.commanded is None
    with pytest.raises(ArmError, match="lost the arm"):
        connected.clear_faults()
    arm.accept_connections()
    until(lambda: connected.faults() == [])
    assert connected.read_state().measured is not None


def test_an_arm_that_no_longer_answers_stops_by_itself_for_its_sessions_were_asked_for_that(arm, make):
    def hang(arm):
        arm.hung = arm.moving
        return arm.hung

    backend = make(timeout_ms=500)
    backend.connect()
    assert {entry.detail.connection_inactivity_timeout for entry in arm.calls("CreateSession")} == {2000}
    with Drive(backend, MOTION):
        arm.until(hang)
        until(lambda: any("lost the arm" in text for text in backend.faults()))
        arm.until(lambda arm: not arm.moving)
    assert arm.calls("rest")[-1].detail == "inactivity"
    arm.hung = False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_watchdog_the_arm_does_not_move(arm, connected, moving, number):
    watchdog = watchdog_child()
    began = time.monotonic()
    watchdog.send_signal(number)
    try:
        assert arm.rests(began).detail != "inactivity"
        until(lambda: any("watchdog" in text for text in connected.faults()))
        moving.twist = np.zeros(3), np.zeros(3)
        until(lambda: connected.faults() == [])
        assert watchdog_child().pid != watchdog.pid
    finally:
        if watchdog.is_running() and number == signal.SIGSTOP:
            watchdog.send_signal(signal.SIGCONT)
            watchdog.wait(20)


# What a user can mend


def test_a_wrong_password_is_named(make):
    with pytest.raises(
        ArmError,
        match="session for user 'admin' .INVALID_CREDENTIALS.: check kinova_gen3.user and "
        "kinova_gen3.password",
    ):
        make(password="wrong").connect()


def test_an_arm_with_too_many_sessions_is_named(arm, make):
    arm.full = True
    with pytest.raises(ArmError, match="MAXIMUM_NUMBER_OF_SESSIONS_REACHED.*end other programs"):
        make().connect()


def test_an_address_where_no_arm_is_is_named(arm, make):
    arm.refuse_connections()
    with pytest.raises(
        ArmError,
        match=f"127.0.0.1:{arm.port} cannot be reached .*check its power, the cable and kinova_gen3.address",
    ):
        make().connect()


def test_an_arm_with_six_joints_is_refused(make):
    other = StandInArm(joints=6)
    with pytest.raises(ArmError, match="has 6 joints"):
        make(port=other.port).connect()
    other.close()


def test_a_rig_of_another_arm_is_refused(make):
    with pytest.raises(ArmError, match="rig 'calvin' does not fit a Gen3.*rig:=kinova_gen3"):
        make("calvin").connect()


@pytest.mark.parametrize(
    "limit, beyond, most", [("linear_speed", 0.6, "0.5"), ("angular_speed", 1.8, "1.74533")]
)
def test_a_rig_faster_than_the_arm_is_refused(make, limit, beyond, most):
    rig = Rig.load("kinova_gen3")
    vendor_limits = make().vendor_limits
    check_rig_limits(rig, vendor_limits)
    fast = dataclasses.replace(rig, limits=dataclasses.replace(rig.limits, **{limit: beyond}))
    with pytest.raises(
        RigError, match=f"limits.{limit} is {beyond}, but this arm's vendor allows at most {most}"
    ):
        check_rig_limits(fast, vendor_limits)


def program(tmp_path, package: str) -> str:
    """What `connect` says where kortex_api is that package."""
    (tmp_path / "kortex_api").mkdir()
    (tmp_path / "kortex_api" / "__init__.py").write_text(package)
    code = (
        "from gr1_robot.arm.drivers.kinova_gen3.session import *\n"
        "try: Session(Login('127.0.0.1', 1, 'admin', 'admin', 100))\n"
        "except KortexError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def test_without_kortex_api_it_says_where_that_is_to_be_had(tmp_path):
    said = program(tmp_path, "raise ModuleNotFoundError('no', name='kortex_api')")
    assert (
        "kortex_api is not installed" in said and "not on PyPI" in said and "Kinova-kortex2_Gen3_G3L" in said
    )


def test_a_protobuf_that_kortex_api_cannot_use_is_named(tmp_path):
    said = program(tmp_path, "raise TypeError('Descriptors cannot be created directly.')")
    assert "pip install protobuf==3.20.3" in said and "Descriptors cannot be created directly" in said
