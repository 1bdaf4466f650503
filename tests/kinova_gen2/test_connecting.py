"""Connecting to a Gen2: every refusal names what is wrong and what to do; nothing moves."""

import time

import pytest

from gr1_robot.arm.backend import ArmError
from gr1_robot.arm.drivers.kinova_gen2 import driver
from gr1_robot.arm.drivers.kinova_gen2.faults import TEXTS

from .bench import Bench
from .standin import Point

STEADY = 0.01


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A lost arm is looked for at once."""
    monkeypatch.setattr(driver, "_BACK_OFF_S", (0.02, 0.05))


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
