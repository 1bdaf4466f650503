"""An arm that was switched on takes no Cartesian commands before its own controller has moved it home, which
only a person asks for.
"""

import threading
import time

import numpy as np
import pytest

from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2 import driver

from .bench import TIMEOUT, Bench, until
from .standin import HOME_JOINTS, vendor_pose


@pytest.fixture
def cold(standin):
    """The backend connected to an arm that was just switched on."""
    standin.world.retract, standin.world.fingers_known = 6, 0
    standin.world.fingers[:] = (3000, 3000, 3000)
    bench = Bench(standin)
    bench.connect()
    yield bench
    bench.close()


def commands(bench) -> list[str]:
    return [call for call in bench.standin.calls() if not call.startswith("Get")]


def at_home(bench) -> bool:
    return np.allclose(bench.standin.advance().measured[:3], vendor_pose(HOME_JOINTS)[:3], atol=1e-6)


@pytest.mark.parametrize(
    ("retract", "fingers", "homing"),
    [
        (1, 1, ""),
        (5, 1, ""),
        (1, 0, "needed"),
        (5, 0, "needed"),
        *[(state, 1, "needed") for state in (0, 2, 3, 4, 6)],
    ],
)
def test_only_an_initialised_arm_with_known_fingers_is_ready(standin, retract, fingers, homing):
    standin.world.retract, standin.world.fingers_known = retract, fingers
    bench = Bench(standin)
    bench.connect()
    assert bench.arm.homing == homing and not bench.arm.faults()
    bench.close()


def test_before_its_home_nothing_is_sent_and_nothing_moves(cold):
    assert cold.arm.homing == "needed"
    before = list(cold.standin.world.measured)
    for _ in range(50):
        cold.arm.send_twist(np.array((0.1, 0.0, 0.0)), np.zeros(3))
        now = time.monotonic()
        cold.until(lambda state, now=now: state.at > now, "a newer state")
    assert cold.standin.world.sent == 0 and list(cold.standin.advance().measured) == before
    assert "MoveHome" not in cold.standin.calls()


@pytest.mark.parametrize(
    "blocking", [1, 0], ids=["MoveHome comes back at home", "MoveHome comes back at once"]
)
def test_homing_moves_home_then_the_fingers_then_takes_cartesian_commands(cold, blocking):
    cold.standin.world.blocking_home = blocking
    cold.arm.start_homing()
    assert cold.arm.homing == "running" and not at_home(cold)
    until(lambda: cold.arm.homing == "", "homed")
    assert at_home(cold) and list(cold.standin.world.fingers) == [0, 0, 0]
    assert commands(cold)[-3:] == ["MoveHome", "InitFingers", "SetCartesianControl"]
    assert not cold.arm.faults()
    before, _ = cold.standin.fingertips()
    cold.drive(20, (0.0, 0.05, 0.0))
    np.testing.assert_allclose(cold.standin.fingertips()[0] - before, (0, 0.01, 0), atol=1e-6)


@pytest.mark.parametrize(
    "blocking", [1, 0], ids=["MoveHome comes back at home", "MoveHome comes back at once"]
)
def test_a_stop_ends_homing_at_once_even_while_movehome_has_not_come_back(cold, blocking):
    world = cold.standin.world
    world.blocking_home, world.home_s = blocking, 30.0
    cold.arm.start_homing()
    until(lambda: world.home_begun > 0, "motion")
    cold.arm.stop()
    until(lambda: cold.arm.homing == "needed", "homing to end")
    assert world.home_begun == 0 and not at_home(cold) and not cold.arm.faults()
    before = list(cold.standin.advance().measured)
    assert "InitFingers" not in cold.standin.calls()
    world.home_s = 0.1
    cold.arm.stop()
    assert list(cold.standin.advance().measured) == before
    cold.arm.start_homing()
    until(lambda: cold.arm.homing == "", "homed")


class Doorkeeper:
    """The session's lock, in which the homing thread is held up when it asks for its turn the `at`-th
    time.
    """

    def __init__(self, lock, at: int):
        self._lock, self._left, self._depth = lock, at, 0
        self.came, self.go = threading.Event(), threading.Event()

    def acquire(self, blocking=True, timeout=-1) -> bool:
        homing = threading.current_thread().name == "kinova homing"
        if homing and self._depth == 0:
            self._left -= 1
            if self._left == 0:
                self.came.set()
                self.go.wait(TIMEOUT)
        taken = self._lock.acquire(blocking, timeout)
        self._depth += homing
        return taken

    def release(self) -> None:
        self._depth -= threading.current_thread().name == "kinova homing"
        self._lock.release()

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()


@pytest.mark.parametrize("turn", [1, 2], ids=["to take control", "to move home"])
def test_nothing_begins_after_a_stop_that_came_while_homing_waited_for_its_turn(cold, turn):
    session = cold.arm.driver._session
    door = session.lock = Doorkeeper(session.lock, turn)
    before = list(cold.standin.advance().measured)
    cold.arm.start_homing()
    assert door.came.wait(TIMEOUT)
    cold.arm.stop()
    begun = [cold.standin.function(name).calls for name in ("StartControlAPI", "MoveHome", "InitFingers")]
    door.go.set()
    until(lambda: cold.arm.homing == "needed", "homing to end")
    assert [
        cold.standin.function(name).calls for name in ("StartControlAPI", "MoveHome", "InitFingers")
    ] == begun
    assert list(cold.standin.advance().measured) == before and not cold.arm.faults()


def test_one_stop_is_enough_even_when_movehome_begins_after_it(cold):
    cold.standin.function("MoveHome").latency_us = 200_000
    cold.standin.world.home_s = 30.0
    cold.arm.start_homing()
    until(lambda: "MoveHome" in cold.standin.calls(), "MoveHome on its way to the arm")
    cold.arm.stop()
    until(lambda: cold.arm.homing == "needed", "homing to end")
    assert cold.standin.world.home_begun == 0 and "InitFingers" not in cold.standin.calls()


def test_every_stop_breaks_in_again(cold):
    cold.standin.function("MoveHome").latency_us = 1_000_000
    cold.arm.start_homing()
    until(lambda: "MoveHome" in cold.standin.calls(), "MoveHome")
    stopped = cold.standin.function("StopControlAPI")
    for _ in range(3):
        before = stopped.calls
        cold.arm.stop()
        assert stopped.calls > before
    until(lambda: cold.arm.homing == "needed", "homing to end")


def test_a_step_of_homing_that_fails_is_a_fault_until_it_is_cleared_and_homing_can_be_tried_again(cold):
    cold.standin.fail("InitFingers", 2005, times=1)
    cold.arm.start_homing()
    assert cold.fault("homing failed").startswith(
        "homing failed (InitFingers: error 2005, the arm refused the command (NACK)"
    )
    assert cold.arm.homing == "needed"
    cold.arm.clear_faults()
    assert not cold.arm.faults()
    cold.arm.start_homing()
    until(lambda: cold.arm.homing == "", "homed")


def test_an_error_of_the_drivers_own_ends_homing_in_its_words(cold, monkeypatch):
    def status():
        raise ValueError("no such state")

    monkeypatch.setattr(cold.arm._session, "status", status)
    cold.arm.start_homing()
    assert "homing failed (no such state)" in cold.fault("homing failed")
    assert cold.arm.homing == "needed" and "InitFingers" not in cold.standin.calls()


def test_an_arm_that_does_not_arrive_or_never_comes_back_is_named(cold, monkeypatch):
    monkeypatch.setattr(driver, "_HOMING_S", 0.3)
    cold.standin.world.blocking_home, cold.standin.world.home_s = 0, 600.0
    cold.arm.start_homing()
    assert "the arm is not home after 0 s (retract state 0)" in cold.fault("homing failed")
    cold.arm.clear_faults()
    cold.standin.world.blocking_home = 1
    cold.arm.start_homing()
    assert "look after the arm, then restart this node" in cold.fault("MoveHome has not returned for 0 s")
    cold.arm.stop()


def test_homing_is_only_for_an_arm_that_needs_it(bench):
    bench.arm.start_homing()
    assert bench.arm.homing == "" and "MoveHome" not in bench.standin.calls()


def test_closing_during_homing_stops_it(cold):
    cold.standin.world.home_s = 30.0
    cold.arm.start_homing()
    until(lambda: cold.standin.world.home_begun > 0, "motion")
    cold.close()
    assert cold.standin.world.home_begun == 0 and not at_home(cold)


def test_the_home_of_the_rig_is_in_its_workspace_with_the_hand_down(bench):
    home = bench.arm.home_pose()
    np.testing.assert_allclose(home.position, (0.36, -0.10, 0.27))
    np.testing.assert_allclose(home.quaternion, (1, 0, 0, 0))


def test_a_home_that_is_no_position_is_refused(standin):
    with pytest.raises(ArmError, match="kinova_gen2.home"):
        Bench(standin, home=[0.3, 0.0])
