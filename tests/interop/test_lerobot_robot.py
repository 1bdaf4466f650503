"""The rig as a robot of the real lerobot library, over real topics."""

import numpy as np
import pytest

pytestmark = pytest.mark.lerobot
pytest.importorskip(
    "lerobot.robots.utils",
    reason="lerobot is not in this environment: make test-lerobot",
    exc_type=ImportError,
)

from lerobot.robots.config import RobotConfig  # noqa: E402
from lerobot.robots.utils import make_robot_from_config  # noqa: E402
from lerobot.utils.errors import DeviceNotConnectedError  # noqa: E402
from lerobot.utils.import_utils import register_third_party_plugins  # noqa: E402

from gr1_common import messages  # noqa: E402
from tests.stack.fake import FakeRig  # noqa: E402
from tests.support.waiting import eventually  # noqa: E402

register_third_party_plugins()


@pytest.fixture
def make_robot(tmp_path):
    def make(**options):
        kind = RobotConfig.get_choice_class("gr1")
        return make_robot_from_config(kind(id="test", calibration_dir=tmp_path, **options))

    return make


@pytest.fixture
def rig():
    made = FakeRig()
    yield made
    made.close()


def test_observations_and_actions_are_those_of_our_datasets(rig, make_robot):
    robot = make_robot()
    with robot:
        seen = robot.get_observation()
        assert set(seen) == set(robot.observation_features)
        assert seen["static"].shape == robot.observation_features["static"]
        np.testing.assert_allclose([seen[name] for name in ("x", "y", "z")], [0.45, 0.0, 0.25], atol=1e-6)
        assert seen["gripper"] == 1.0
        action = dict.fromkeys(robot.action_features, 0.0) | {"dx": 0.5, "drz": 0.5, "gripper": -1.0}
        assert robot.send_action(action) == action
        eventually(lambda: rig.twists and rig.heard["command/policy/gripper"], "a command")
        linear, angular = messages.from_twist(rig.twists[-1][1].twist)
        # 0.5 units of 2 cm and of 0.1 rad in a control period of 0.1 s.
        np.testing.assert_allclose([*linear, *angular], [0.1, 0, 0, 0, 0, 0.5], atol=1e-9)
        assert rig.heard["command/policy/gripper"][-1][1].data == 1.0
    eventually(lambda: not any(messages.from_twist(rig.twists[-1][1].twist)[0]), "a zero twist at the end")
    assert not robot.is_connected


def test_a_stream_that_does_not_deliver_is_named(rig, make_robot):
    rig.streams.discard("wrist")
    with pytest.raises(DeviceNotConnectedError, match="wrist camera: nothing received yet"):
        make_robot(timeout_s=1.0).connect()
    rig.streams.add("wrist")
    robot = make_robot()
    robot.connect()
    rig.streams.discard("arm")

    def refused():
        try:
            robot.get_observation()
        except DeviceNotConnectedError as error:
            return "arm/pose: nothing new" in str(error)

    eventually(refused, "that the lost pose is named")
    robot.disconnect()


def test_an_action_needs_an_observation_and_finite_numbers(rig, make_robot):
    robot = make_robot()
    action = dict.fromkeys(robot.action_features, 0.0)
    with pytest.raises(DeviceNotConnectedError, match="call connect"):
        robot.send_action(action)
    with robot:
        with pytest.raises(DeviceNotConnectedError, match="call get_observation"):
            robot.send_action(action)
        robot.get_observation()
        with pytest.raises(ValueError, match="not finite"):
            robot.send_action(action | {"dx": float("nan")})
