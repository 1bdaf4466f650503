"""Whatever the arm, its cable or its library does: the driver says so, the loop is never held up, and nothing
moves by itself.
"""

import threading
import time

import numpy as np
import pytest

from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2 import driver
from gr1_robot.arm.drivers.kinova_gen2.faults import CONNECTION_LOST, TEXTS

from .bench import TIMEOUT, Bench, until
from .standin import Point

STEADY = 0.01


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A lost arm is looked for at once."""
    monkeypatch.setattr(driver, "_BACK_OFF_S", (0.02, 0.05))


def lost(bench) -> str:
    fault = bench.fault("the arm is lost")
    assert bench.arm.read_state().measured is None and bench.arm.read_state().commanded is None
    return fault


def found(bench) -> None:
    until(lambda: not bench.arm.faults(), "no fault")
    assert bench.arm.read_state().measured is not None


# Connecting


def refusal(standin, **settings) -> str:
    with pytest.raises(ArmError) as refused:
        Bench(standin, **settings).connect()
    return str(refused.value)


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_a_code_at_the_start_is_told_with_its_meaning_and_what_to_do(standin, code):
    standin.fail("InitAPI", code)
    meaning, remedy = TEXTS[code]
    text = refusal(standin)
    assert (
        text.startswith(f"InitAPI: error {code}, {meaning}: ")
        and (remedy or "export LD_LIBRARY_PATH=") in text
    )


@pytest.mark.parametrize(
    "function",
    ["SetActiveDevice", "StartControlAPI", "GetQuickStatus", "GetCartesianPosition", "GetAngularVelocity"],
)
def test_any_call_that_fails_at_the_start_is_named_and_the_library_closed(standin, function):
    standin.fail(function, 1022)
    assert refusal(standin).startswith(f"{function}: error 1022, the arm does not answer")
    assert standin.calls()[-1] == "CloseAPI"


def test_no_arm(standin):
    standin.unplug()
    assert "InitAPI: error 1015, no arm found: check that the arm is switched on" in refusal(standin)
    standin.plug()
    standin.world.devices = 0
    assert "GetDevices: error 1015" in refusal(standin)
    standin.unplug()
    assert "error 10" in refusal(standin, connection="ethernet")  # whose start says 1 without an arm


def test_the_start_is_not_believed_before_the_arm_answers_a_reading(standin):
    for name in ("GetQuickStatus", "GetCartesianPosition"):
        standin.fail(name, 1022)
    assert "error 1022" in refusal(standin)
    assert standin.function("StartControlAPI").calls == 2  # and said 1 both times


def test_which_of_several_arms_has_to_be_said(standin):
    standin.world.devices = 2
    assert "there are 2 arms (PJ00000000, PJ00000001): set kinova_gen2.serial to one of them" in refusal(
        standin
    )
    assert "no arm 'PJ7', but PJ00000000, PJ00000001" in refusal(standin, serial="PJ7")
    bench = Bench(standin, serial="PJ00000001")
    bench.connect()
    assert "serial PJ00000001" in bench.arm.describe()
    bench.close()


def test_another_model_is_refused(standin):
    standin.world.robot_type = 3
    assert (
        "type 3 (Jaco 2 with 6 joints): this driver is for type 8 (7 joints, spherical wrist) only"
        in refusal(standin)
    )


def test_an_arm_on_the_network(standin):
    bench = Bench(standin, connection="ethernet", robot_address="10.0.0.7")
    bench.connect()
    addresses = [bytes(number.to_bytes(4, "little")) for number in standin.world.config[:3]]
    assert addresses == [bytes((192, 168, 100, 100)), bytes((255, 255, 255, 0)), bytes((10, 0, 0, 7))]
    assert list(standin.world.config[3:]) == [25000, 25025, 55000, 1000]
    bench.drive(5, (0.05, 0, 0))
    assert "over ethernet" in bench.arm.describe()
    bench.close()


def test_a_wrong_address_or_home_is_refused_by_name(standin):
    assert "kinova_gen2.robot_address: 'arm' is not an IPv4 address" in refusal(
        standin, connection="ethernet", robot_address="arm"
    )
    assert (
        "kinova_gen2.home: [1.0, 0.0, 0.2] is not a position in the workspace of rig 'kinova_gen2'"
        in refusal(standin, home=[1.0, 0.0, 0.2])
    )


def test_nothing_moves_at_connect_and_what_a_predecessor_left_is_erased(standin):
    world = standin.world
    world.control = world.cartesian = 1
    world.next = time.monotonic() + 60.0  # until then the arm takes no point from its queue
    for number in range(30):
        world.fifo[number] = Point(v=(0.1, 0, 0, 0, 0, 0), type=7)
    world.waiting = 30
    before = list(world.measured)
    bench = Bench(standin)
    bench.connect()
    made, waiting, erased = standin.calls(), world.waiting, world.erased
    bench.close()
    assert waiting == 0 and erased == 30 and list(world.measured) == before
    assert not {"MoveHome", "InitFingers", "SendAdvanceTrajectory"} & set(made)


# While it runs


@pytest.mark.parametrize("code", [666, 1020, 1022, 2004, 2005, 9999])
def test_a_reading_that_fails_once_costs_one_pose_and_no_fault(bench, code):
    bench.standin.fail("GetCartesianPosition", code, times=1)
    bench.until(lambda state: state.measured is None, "a state without a pose")
    bench.until(lambda state: state.measured is not None, "the pose again")
    assert not bench.arm.faults() and bench.arm.driver.counts["errors"] == 1


@pytest.mark.parametrize("function", ["GetCartesianPosition", "GetCartesianCommand", "SendAdvanceTrajectory"])
@pytest.mark.parametrize("code", [666, 1007, 1010, 1015, 1022, 2005])
def test_a_call_that_goes_on_failing_loses_the_arm_which_is_found_when_it_works_again(bench, function, code):
    bench.standin.fail(function, code)
    begun = threading.Event()

    def failed():
        bench.arm.send_twist(np.zeros(3), np.zeros(3))
        begun.wait(0.005)
        return bench.arm.faults()

    until(failed, "a fault")
    assert f"{function}: error {code}, {TEXTS[code][0]}" in lost(bench)
    errors = bench.arm.driver.counts["errors"]
    assert errors == 1 if code in CONNECTION_LOST else errors >= 3
    bench.standin.fail(function, 0, times=0)
    found(bench)


@pytest.mark.parametrize("function", ["GetAngularPosition", "GetAngularVelocity", "GetGlobalTrajectoryInfo"])
def test_any_other_reading_that_fails_costs_poses_too(bench, function):
    bench.standin.fail(function, 2005)
    bench.until(lambda state: state.measured is None, "a state without a pose")
    bench.standin.fail(function, 0, times=0)
    bench.until(lambda state: state.measured is not None, "the pose again")


def test_a_pose_that_is_not_finite_is_no_pose_and_only_rest_is_sent_on_it(bench):
    bench.drive(3, (0.05, 0, 0))
    bench.standin.world.held, bench.standin.world.measured[0] = 1, float("nan")
    bench.until(lambda state: state.measured is None, "a state without a pose")
    bench.tick((0.05, 0, 0))
    assert not any(bench.standin.points()[-1].point.v) and not bench.arm.faults()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["finger", "twist"])
def test_a_number_that_is_not_finite_never_gets_into_a_point_but_rest_does_with_a_fault(bench, where, number):
    bench.arm.send_gripper(1.0)
    bench.drive(3, (0.05, 0, 0))
    if where == "finger":
        bench.standin.world.finger_stop = bench.standin.world.fingers[1] = number
        bench.settle()
    sent = bench.standin.world.sent
    for _ in range(5):
        bench.tick((0.05, 0, 0) if where == "finger" else (0.05, 0, number))
    for entry in bench.standin.points()[sent - bench.standin.world.sent :]:
        assert not any(entry.point.v) and not any(entry.point.fingers)
    assert str(number) in bench.fault("a number is not finite, a zero twist was sent")
    bench.standin.world.finger_stop, bench.standin.world.fingers[1] = 6800.0, 0.0
    until(lambda: not bench.arm.faults(), "the fault to pass")


def test_an_arm_without_torque_sensors_is_whole(bench):
    bench.standin.fail("GetCartesianForce", 2005)
    state = bench.until(lambda state: state.force is None, "no force")
    assert state.torque is None and state.measured is not None and not bench.arm.faults()


def test_an_unplugged_arm_is_lost_and_found_and_keeps_still(bench):
    bench.arm.send_gripper(1.0)
    bench.drive(10, (0.05, 0, 0))
    bench.standin.unplug()
    lost(bench)
    assert bench.standin.function("StartControlAPI").calls == 2
    starts = bench.standin.function("InitAPI").calls
    until(lambda: bench.standin.function("InitAPI").calls > starts + 2, "attempts to find it")
    assert "error 1015, no arm found" in bench.fault("lost")
    fingers, sent = list(bench.standin.advance().fingers), bench.standin.world.sent
    bench.arm.send_twist(np.array((0.1, 0, 0)), np.zeros(3))
    bench.standin.plug()
    found(bench)
    assert bench.standin.world.sent == sent, "nothing is sent that was asked for while the arm was away"
    assert bench.arm.homing == ""
    before = list(bench.standin.world.measured)
    bench.drive(5)
    assert list(bench.standin.world.measured) == before and list(bench.standin.world.fingers) == fingers
    bench.drive(5, (0.05, 0, 0))
    assert list(bench.standin.world.measured) != before and list(bench.standin.world.fingers) != fingers


def test_an_arm_that_lost_its_power_needs_its_home_again(bench):
    bench.drive(10, (0.05, 0, 0))
    bench.standin.unplug()
    lost(bench)
    bench.standin.plug(powered=False)
    found(bench)
    assert bench.arm.homing == "needed"


def test_a_call_that_hangs_never_holds_up_the_loop_and_is_named(bench):
    bench.drive(5, (0.05, 0, 0))
    bench.standin.function("GetCartesianPosition").latency_us = 1_500_000

    def tick():
        bench.arm.read_state()
        bench.arm.send_twist(np.array((0.05, 0, 0)), np.zeros(3))
        return bench.arm.faults()

    # The loop hears of it while the call still hangs: no tick has waited for it.
    until(tick, "a fault")
    assert "the vendor's library has not returned from GetCartesianPosition for " in bench.arm.faults()[0]
    assert bench.arm.read_state().measured is None
    bench.standin.function("GetCartesianPosition").latency_us = 0
    found(bench)


def test_twists_that_waited_behind_a_call_that_hung_are_not_sent_afterwards(bench, monkeypatch):
    bench.drive(5, (0.05, 0, 0))
    hanging, free, joints = threading.Event(), threading.Event(), bench.arm._session.joints

    def hang():
        hanging.set()
        free.wait(TIMEOUT)
        return joints()

    monkeypatch.setattr(bench.arm._session, "joints", hang)
    assert hanging.wait(TIMEOUT)
    sent, dropped = bench.standin.world.sent, bench.arm.driver.counts["dropped"]
    for _ in range(2):
        bench.arm.send_twist(np.array((0.05, 0, 0)), np.zeros(3))
    handed = time.monotonic()
    until(lambda: time.monotonic() - handed > 1.5 * driver._TWIST_MAX_AGE_S, "twists that are too old")
    monkeypatch.setattr(bench.arm._session, "joints", joints)
    free.set()
    until(lambda: bench.arm.driver.counts["dropped"] == dropped + 2, "both twists dropped")
    assert bench.standin.world.sent == sent
    bench.drive(5, (0.05, 0, 0))
    assert bench.standin.world.sent == sent + 5, "new ones are sent"


def test_an_error_of_the_drivers_own_is_told_in_its_words_and_leaves_the_arm_at_rest(bench, monkeypatch):
    bench.drive(5, (0.05, 0, 0))

    def joints():
        raise ValueError("eight joints")

    monkeypatch.setattr(bench.arm._session, "joints", joints)
    assert "the driver has ended (ValueError: eight joints)" in bench.fault("ended")
    until(lambda: bench.standin.world.control == 0, "control given up")
    until(
        lambda: time.monotonic() - bench.arm.driver._answered_at > 2 * driver._SILENT_S,
        "silence that is not the vendor's",
    )
    assert len(bench.arm.faults()) == 1 and bench.arm.read_state().measured is None
    sent = bench.standin.world.sent
    bench.arm.send_twist(np.array((0.05, 0, 0)), np.zeros(3))
    bench.close()
    assert bench.standin.world.sent == sent


def test_close_does_not_wait_for_a_library_that_hangs(bench):
    bench.standin.function("GetCartesianPosition").latency_us = 8_000_000
    bench.fault("has not returned")
    bench.close()
    assert bench.arm.driver._thread.is_alive(), "the call still hangs"
    bench.standin.function("GetCartesianPosition").latency_us = 0
    # The library is one for all tests of this process: what hangs in it would be inside during the next ones,
    # too.
    bench.arm.driver._thread.join(TIMEOUT)


def test_the_drivers_counts_are_there_for_diagnostics(bench):
    assert Bench(bench.standin).arm.diagnostic_values() == {}, "nothing is counted before connect"
    bench.drive(5, (0.05, 0, 0))
    bench.standin.fail("GetCartesianPosition", 1022, times=1)
    until(lambda: bench.arm.diagnostic_values()["errors"] == 1, "an error counted")
    values = bench.arm.diagnostic_values()
    assert values["sent"] == 5 and set(values) == {
        "sent",
        "dropped",
        "skipped",
        "queue_erased",
        "queue_max",
        "errors",
        "lost",
    }


# The queue in the arm


def steady(bench, seconds: float, linear=(0.05, 0, 0)) -> None:
    """Ticks at the arm node's rate."""
    rate, due = threading.Event(), time.monotonic()
    for _ in range(int(seconds / STEADY)):
        bench.arm.read_state()
        bench.arm.send_twist(np.array(linear, np.float64), np.zeros(3))
        due += STEADY
        rate.wait(max(0.0, due - time.monotonic()))


@pytest.mark.parametrize("period", [0.01, 0.0103], ids=["same clock", "the arm's clock 3 percent slow"])
def test_the_queue_never_holds_more_than_a_few_points(bench, period):
    bench.standin.world.period = period
    steady(bench, 3.0)
    assert bench.standin.world.deepest <= driver.QUEUE_MAX and not bench.arm.faults()
    assert bench.standin.world.overlaps == 0


def test_points_of_another_program_are_erased_with_a_fault_that_passes(bench):
    world = bench.standin.world
    world.period = 0.01
    bench.drive(3)
    for number in range(200):
        world.fifo[(world.first + number) % 2000] = Point(v=(0.1, 0, 0, 0, 0, 0), type=7)
    before, _ = bench.standin.fingertips()
    world.waiting = 200
    assert "points waited in the arm and were erased: another program commands it" in bench.fault("waited")
    until(lambda: not bench.arm.faults(), "the fault to pass")
    assert world.erased > 100 and np.linalg.norm(bench.standin.fingertips()[0] - before) < 0.1
    assert bench.arm.driver.counts["queue_erased"] == 1


def test_a_queue_that_was_overfull_for_a_moment_is_told_for_a_second_so_that_no_tick_misses_it(bench):
    bench.standin.world.next = time.monotonic() + 60.0  # until then the arm takes no point from its queue
    bench.standin.world.waiting = 20
    until(lambda: bench.arm.driver.counts["queue_erased"], "the queue erased")
    assert bench.standin.world.waiting == 0
    erased = time.monotonic()
    bench.until(lambda state: state.at > erased + 0.5, "many readings of an empty queue")
    assert "20 points waited" in bench.arm.faults()[0]
    until(lambda: not bench.arm.faults(), "the fault to pass")


# Rest


def test_stop_sends_rest_erases_and_gives_up_control_until_the_next_twist(bench):
    bench.drive(5, (0.05, 0, 0))
    bench.arm.stop()
    made = [call for call in bench.standin.calls() if not call.startswith("Get")]
    assert made[-3:] == ["SendAdvanceTrajectory", "EraseAllTrajectories", "StopControlAPI"]
    assert not any(bench.standin.points()[-1].point.v) and bench.standin.world.control == 0
    before = list(bench.standin.advance().measured)
    bench.drive(3)
    assert list(bench.standin.world.measured) == before
    bench.drive(5, (0.05, 0, 0))
    assert bench.standin.world.control == 1 and bench.standin.world.ignored == 0


def test_close_leaves_the_arm_at_rest_lets_go_and_may_be_called_twice(bench):
    bench.drive(5, (0.05, 0, 0))
    bench.close()
    assert [call for call in bench.standin.calls() if not call.startswith("Get")][-3:] == [
        "EraseAllTrajectories",
        "StopControlAPI",
        "CloseAPI",
    ]
    assert bench.standin.world.waiting == 0 and bench.standin.world.control == 0
    calls = bench.standin.world.ordered
    bench.close()
    assert bench.standin.world.ordered == calls


def test_close_before_connect_does_nothing(standin):
    Bench(standin).close()
    assert standin.world.ordered == 0


def test_the_library_is_never_called_twice_at_a_time(bench):
    done = threading.Event()

    def hammer(call):
        while not done.wait(0.001):
            call()

    calls = [
        bench.arm.read_state,
        bench.arm.faults,
        bench.arm.stop,
        lambda: bench.arm.send_gripper(0.5),
        bench.arm.describe,
    ]
    threads = [threading.Thread(target=hammer, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for _ in range(100):
        bench.arm.send_twist(np.array((0.01, 0, 0)), np.zeros(3))
        done.wait(0.002)
    done.set()
    for thread in threads:
        thread.join()
    assert bench.standin.world.overlaps == 0
