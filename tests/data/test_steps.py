"""Control steps of a recording: what was seen and what was commanded at each."""

from __future__ import annotations

import numpy as np
import pytest

from gr1_core import images
from gr1_core.data.bag import Bag
from gr1_core.data.command_timeline import true_spans
from gr1_core.data.steps import StepsError, read_steps, select_steps
from tests.data.bag_fixture import MS, START, Recording, demonstration
from tests.data.synthetic import SHAPES, make_image, tiny_rig

RIG = tiny_rig()
UNITS = RIG.period / RIG.action.translation_scale  # of action to 1 m/s


def recording(
    length_ms: int, kind: str = "jpeg", hole: tuple[int, int] | None = None, of: str = "static"
) -> Recording:
    """A resting arm and both cameras for that long, without commands.

    hole: ms in which camera `of` says nothing.
    """
    made = Recording()
    for at in range(0, length_ms, 50):
        for number, (role, shape) in enumerate(SHAPES.items()):
            if not (hole and role == of and hole[0] <= at < hole[1]):
                made.frame(at, role, make_image(2 * at + number, shape), kind)
    for at in range(0, length_ms, 20):
        made.arm(at)
    return made


def actions(made: Recording, folder) -> np.ndarray:
    return np.stack([step.action for step in read_steps(Bag(made.save(folder)))])


def test_the_grid_begins_with_the_first_command_and_ends_with_the_last(tmp_path):
    made = recording(1500)
    for at in (320, 420, 520, 620):
        made.twist(at)
    found = list(read_steps(Bag(made.save(tmp_path / "bag"))))
    assert [(step.time_ns - START) / MS for step in found] == [320, 420, 520, 620]


def test_a_command_holds_until_the_next_one(tmp_path):
    made = recording(1000)
    for at, speed in ((100, 0.1), (250, 0.2), (300, 0.0)):
        made.twist(at, (speed, 0, 0))
    found = actions(made, tmp_path / "bag")
    # 200-250 ms still has the first command, 250-300 ms the second
    np.testing.assert_allclose(found[:, 0], np.array([0.1, 0.15, 0.0]) * UNITS, atol=1e-6)


def test_a_command_expires_after_one_and_a_half_periods(tmp_path):
    made = recording(1500)
    made.twist(100, (0.1, 0, 0))
    made.twist(700, (0.0, 0, 0))
    found = actions(made, tmp_path / "bag")
    np.testing.assert_allclose(found[:, 0], np.array([0.1, 0.05, 0, 0, 0, 0, 0]) * UNITS, atol=1e-6)


def test_teleoperation_takes_precedence_until_it_expires(tmp_path):
    made = recording(1500)
    for at in range(100, 900, 100):
        made.twist(at, (0.1, 0, 0))
    made.twist(300, (-0.2, 0, 0), source="teleop")
    found = actions(made, tmp_path / "bag")
    # fresh from 300 to 450 ms: one whole period and half of the next
    np.testing.assert_allclose(
        found[:, 0], np.array([0.1, 0.1, -0.2, -0.05, 0.1, 0.1, 0.1, 0.1]) * UNITS, atol=1e-6
    )


def test_teleoperated_steps_are_marked_and_those_of_the_policy_are_not(tmp_path):
    made = recording(1500)
    for at in range(100, 1200, 100):
        made.twist(at, (0.1, 0, 0))
    for at in (310, 410, 510, 905):
        made.twist(at, source="teleop")
    # the last of the first three lives until 660 ms, the other until 1055 ms
    assert true_spans(select_steps(Bag(made.save(tmp_path / "bag"))).teleoperated) == [[2, 6], [8, 10]]
    assert not select_steps(Bag(demonstration().save(tmp_path / "policy"))).teleoperated.any()


def test_the_gripper_keeps_its_last_command_and_the_policy_does_not_interrupt_teleoperation(tmp_path):
    made = recording(1500)
    for at in range(100, 1000, 100):
        made.twist(at)
    made.grip(305, 1.0)
    made.twist(500, source="teleop")
    made.grip(505, 0.0, source="teleop")
    made.grip(600, 1.0)  # refused: teleoperation is in charge until 650 ms
    made.grip(805, 1.0)
    found = actions(made, tmp_path / "bag")
    assert found[:, 6].tolist() == [1, 1, -1, -1, 1, 1, 1, -1, -1]


def test_before_the_first_gripper_command_the_measured_state_counts(tmp_path):
    made = Recording()
    for at in range(0, 600, 50):
        made.arm(at, closure=1.0)
        for role, shape in SHAPES.items():
            made.frame(at, role, make_image(at, shape), "jpeg")
    for at in (100, 200, 300):
        made.twist(at)
    made.grip(210, 0.0)
    assert actions(made, tmp_path / "bag")[:, 6].tolist() == [-1, 1, 1]


def test_a_command_that_is_not_finite_is_rest(tmp_path):
    made = recording(800)
    made.twist(100, (0.1, 0, 0))
    made.twist(200, (np.nan, 0, 0))
    made.twist(300, (0.1, 0, 0))
    np.testing.assert_allclose(
        actions(made, tmp_path / "bag")[:, 0], np.array([0.1, 0, 0.1]) * UNITS, atol=1e-6
    )


def test_actions_are_the_commands_in_the_rigs_units(tmp_path):
    bag = Bag(demonstration(3).save(tmp_path / "bag"))
    for step in read_steps(bag):
        linear, angular = RIG.twist(step.action[:6], step.state[:6].astype(np.float64))
        again = RIG.delta(linear, angular, step.state[:6].astype(np.float64)).astype(np.float32)
        np.testing.assert_allclose(again, step.action[:6], atol=1e-6)


def test_the_observation_is_the_newest_that_had_been_sent(tmp_path):
    made = recording(600)
    made.twist(149)
    made.twist(249)
    first, second = read_steps(Bag(made.save(tmp_path / "bag")))
    assert [(frame.stamp - START) / MS for frame in (first.static, first.wrist, second.static)] == [
        100,
        100,
        200,
    ]


def test_arm_and_gripper_are_those_of_the_older_image_not_of_the_command(tmp_path):
    made = Recording()
    for at in range(0, 400, 10):
        made.arm(at, (0.001 * at, 0.0, 0.2), closure=float(at > 170))
    for role, offset in (("static", 0), ("wrist", 23)):
        for at in range(offset, 400, 50):
            made.frame(at, role, make_image(at, SHAPES[role]), "jpeg")
    made.twist(199)
    made.twist(299)
    states = np.stack([step.state for step in read_steps(Bag(made.save(tmp_path / "bag")))])
    np.testing.assert_allclose(
        states[:, 0], [0.150, 0.250], atol=1e-6
    )  # static 150, wrist 173; static 250, wrist 273
    assert states[:, 6].tolist() == [1, -1]


def test_if_no_pose_is_as_old_as_the_image_the_first_pose_is_used(tmp_path):
    made = Recording()
    for role in SHAPES:
        made.frame(0, role, make_image(0, SHAPES[role]), "jpeg")
    for at in (20, 30, 40):
        made.arm(at, (0.01 * at, 0.0, 0.2))
    made.twist(50)
    (step,) = read_steps(Bag(made.save(tmp_path / "bag")))
    assert step.state[0] == np.float32(0.2)


def test_the_order_of_arrival_does_not_matter(tmp_path):
    made = demonstration(4)
    straight = list(read_steps(Bag(made.save(tmp_path / "straight"))))
    late = demonstration(4)
    late.received = {message: 30.0 for message in range(0, len(late.messages), 7)}
    mixed = list(read_steps(Bag(late.save(tmp_path / "late"))))
    assert len(straight) == len(mixed) == 15
    for a, b in zip(straight, mixed):
        assert a.static.data == b.static.data and a.wrist.data == b.wrist.data
        assert a.state.tobytes() == b.state.tobytes() and a.action.tobytes() == b.action.tobytes()


@pytest.mark.parametrize("role", ["static", "wrist"])
def test_a_gap_cuts_the_episode_to_its_longest_part_and_is_reported(tmp_path, role):
    made = recording(3000, hole=(600, 1200), of=role)
    for at in range(100, 2600, 100):
        made.twist(at)
    chosen = select_steps(Bag(made.save(tmp_path / "bag")))
    assert (chosen.times[0] - START) / MS == 1200 and len(chosen.times) == 14 and chosen.recorded == 25
    assert any(f"camera/{role}" in problem and "150 ms" in problem for problem in chosen.problems)
    assert any("14 of 25 steps" in problem for problem in chosen.problems)


def test_frames_with_an_old_stamp_are_old_even_if_they_are_sent_late(tmp_path):
    made = recording(1000)
    made.messages = [(at + 200, topic, message) for at, topic, message in made.messages]
    made.twist(500)
    with pytest.raises(StepsError, match="younger than 0.15 s"):
        select_steps(Bag(made.save(tmp_path / "bag")))


@pytest.mark.parametrize(
    "missing", ["camera/static", "camera/wrist", "arm/pose", "arm/gripper", "command/policy/twist"]
)
def test_a_missing_stream_is_named(tmp_path, missing):
    made = demonstration(0, 5)
    made.messages = [message for message in made.messages if missing not in message[1]]
    with pytest.raises(StepsError, match=missing.removeprefix("camera/").replace("policy/", ".*")):
        select_steps(Bag(made.save(tmp_path / "bag")))


def test_a_gripper_without_its_command_is_named(tmp_path):
    made = recording(500)
    for _, topic, message in made.messages:
        if topic == "/arm/gripper":
            message.name = ["closure", "something"]
    made.twist(100)
    with pytest.raises(StepsError, match="closure_command"):
        select_steps(Bag(made.save(tmp_path / "bag")))


def test_a_stack_in_a_namespace_gives_the_same_steps(tmp_path):
    plain, spaced = demonstration(5), demonstration(5)
    spaced.namespace = "/left"
    for a, b in zip(
        read_steps(Bag(plain.save(tmp_path / "a"))), read_steps(Bag(spaced.save(tmp_path / "b"))), strict=True
    ):
        assert a.static.data == b.static.data and a.state.tobytes() == b.state.tobytes()


@pytest.mark.parametrize("kind", ["jpeg", "raw"])
def test_a_frame_is_what_was_recorded(tmp_path, kind):
    shape, made = SHAPES["static"], recording(600, kind)
    made.twist(100)
    step = next(read_steps(Bag(made.save(tmp_path / "bag"))))
    sent = make_image(2 * 100, shape)
    if kind == "raw":
        assert step.static.data is None
        np.testing.assert_array_equal(step.static.image(), sent)
    else:
        assert step.static.data == images.encode_jpeg(sent, 85)


def test_raw_images_are_preferred_to_compressed_ones(tmp_path):
    made = recording(600, "raw")
    made.messages += recording(600, "jpeg").messages
    made.twist(100)
    step = next(read_steps(Bag(made.save(tmp_path / "bag"))))
    np.testing.assert_array_equal(step.wrist.image(), make_image(2 * 100 + 1, SHAPES["wrist"]))
