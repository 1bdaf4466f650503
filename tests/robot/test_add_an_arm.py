"""The driver of docs/how-to/add_an_arm.md works: through the gate in this process, and in a real arm node."""

import importlib
import sys
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from std_srvs.srv import Trigger

from gr1_common.conventions import STOPPED, TICK
from gr1_common.messages import from_pose, to_twist
from gr1_core.rig import Rig
from gr1_robot.arm import drivers
from gr1_robot.arm.backend import (
    ArmError,
    backend_names,
    backend_options,
    check_rig_limits,
    load_backend,
)
from gr1_robot.arm.controller import ArmController
from tests.support.documents import code_blocks
from tests.support.ros_graph import NodeProcess, PeriodicPublisher
from tests.support.waiting import eventually

RIG = Rig.load("kinova_gen2")
LEFT = (np.array([0.0, 0.05, 0.0]), np.zeros(3))
STARTS_NODE = """
import sys
from gr1_robot.arm import drivers, node
drivers.__path__.append({folder!r})
sys.exit(node.main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's code as the package my_arm."""
    folder = tmp_path_factory.mktemp("drivers")
    (folder / "my_arm").mkdir()
    (folder / "my_arm" / "__init__.py").write_text('"""My arm."""\n')
    for title, code in code_blocks("how-to/add_an_arm.md").items():
        (folder / title).write_text(code)
    return folder


@pytest.fixture
def backend(folder, monkeypatch):
    """The page's driver, connected."""
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(folder)])
    importlib.invalidate_caches()
    settings = {option.name: option.default for option in backend_options("my_arm")}
    backend = load_backend("my_arm", RIG, settings)
    backend.connect()
    yield backend
    backend.close()
    for name in [name for name in sys.modules if name.startswith(f"{drivers.__name__}.my_arm")]:
        del sys.modules[name]


@pytest.fixture
def controller(backend):
    return ArmController(RIG, backend, armed=True)


def drive(controller, seconds, command=None):
    """Runs the control loop on the real clock, as the arm node does."""
    for index in range(round(seconds / TICK)):
        if command and index % 10 == 0:
            assert controller.submit_command("policy", *command, time.monotonic()) in ("", "stopped")
        snapshot = controller.step()
        time.sleep(TICK)
    return snapshot


def test_it_is_found_by_name_and_fits_the_rig(backend):
    assert "my_arm" in backend_names()
    check_rig_limits(RIG, backend.vendor_limits)
    assert backend.jacobian(backend.read_state().joints).shape == (6, len(backend.joint_names))


def test_the_arm_moves_as_commanded_and_rests_after_a_stop(controller):
    start, begun = controller.step().state.measured.position, time.monotonic()
    moved = drive(controller, 1.0, LEFT).state.measured.position - start
    most = LEFT[0][1] * (time.monotonic() - begun)
    assert 0.01 < moved[1] < 1.05 * most and abs(moved[[0, 2]]).max() < 0.002
    eventually(
        lambda: (
            drive(controller, 0.05, LEFT) and not controller.submit_gripper("policy", 1.0, time.monotonic())
        ),
        "a gripper command of the source in charge",
    )
    assert drive(controller, 0.1, LEFT).state.closure == 1.0
    controller.stop()
    assert drive(controller, 0.2).motion.state == STOPPED and controller.at_rest.is_set()
    at_rest = controller.step().state.measured.position
    np.testing.assert_allclose(drive(controller, 0.2, LEFT).state.measured.position, at_rest, atol=1e-9)


def test_it_goes_home_through_the_gate(controller):
    assert controller.go_home() == ""
    home = controller.backend.home_pose().position
    eventually(
        lambda: np.linalg.norm(drive(controller, 0.1).state.measured.position - home) < 0.003, "home", 60
    )


def test_a_lost_arm_is_named_stops_the_gate_and_is_found_again(controller):
    drive(controller, 0.1)
    controller.backend._vendor.connected = False
    lost = drive(controller, 0.1)
    assert lost.state.measured is None and lost.motion.state == STOPPED
    assert "is lost (no answer): searching for it" in lost.motion.detail
    controller.backend._vendor.connected = True
    eventually(lambda: not controller.step().faults, "the arm again")
    assert controller.step().state.measured is not None and controller.reset() == ""


def test_a_wrong_address_is_refused_by_name(backend):
    with pytest.raises(ArmError, match="my_arm.address: no arm at ''"):
        load_backend("my_arm", RIG, {"address": ""}).connect()


def test_a_real_arm_node_drives_it(ros, folder):
    process = NodeProcess(
        "", "robot:=my_arm", "my_arm.address:=10.0.0.9", code=STARTS_NODE.format(folder=str(folder))
    )
    try:
        _, values = ros.status("arm: backend", lambda status: status.message == "ready")
        assert values["device"] == "my arm at 10.0.0.9"
        assert ros.call(Trigger, "arm/reset", Trigger.Request()).success
        ros.subscribe("arm/pose", PoseStamped)
        twists = ros.publisher("command/policy/twist", TwistStamped)
        start, _ = from_pose(ros.until("arm/pose").pose)

        def command():
            message = TwistStamped(twist=to_twist(*LEFT))
            message.header.stamp, message.header.frame_id = ros.node.get_clock().now().to_msg(), "base_link"
            return message

        with PeriodicPublisher(twists, command):
            ros.until("arm/pose", lambda message: from_pose(message.pose)[0][1] > start[1] + 0.03)
    finally:
        process.end()
