"""The twin's physics: the vendor's kinematics, the commanded pose, layouts that are the same everywhere."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gr1_core import Rig
from gr1_core.sim import TASKS, TICK, Twin
from gr1_core.sim.control import Controller
from gr1_core.sim.kinova import SPEED_LIMIT
from gr1_core.sim.objects.catalogue import SLOTS
from gr1_core.sim.scene import PLATE_RADIUS, build
from gr1_core.sim.state import SIZE, StateView
from gr1_core.sim.tasks import sample_layout
from gr1_core.sim.twin import MAX_FOLLOWING_ERROR

PI = np.pi
# The vendor's URDF of j2s7s300: xyz and rpy of each joint in its parent's frame, then the end effector's
PUBLISHED = (
    ((0, 0, 0.15675), (0, PI, 0)),
    ((0, 0.0016, -0.11875), (-PI / 2, 0, PI)),
    ((0, -0.205, 0), (-PI / 2, 0, 0)),
    ((0, 0, -0.205), (PI / 2, 0, PI)),
    ((0, 0.2073, -0.0114), (-PI / 2, 0, PI)),
    ((0, 0, -0.10375), (PI / 2, 0, PI)),
    ((0, 0.10375, 0), (-PI / 2, 0, PI)),
)
FINGERTIPS_BELOW_END_EFFECTOR = 0.022  # m: 0.182 below link 7 against the URDF's 0.160


@pytest.fixture(scope="module")
def twin():
    return Twin()


def chain(joints):
    """Position and rotation of the URDF's end effector."""
    position, rotation = np.zeros(3), Rotation.identity()
    for (xyz, rpy), angle in zip(PUBLISHED, joints):
        position = position + rotation.apply(xyz)
        rotation = rotation * Rotation.from_euler("xyz", rpy) * Rotation.from_euler("z", angle)
    return position + rotation.apply([0, 0, -0.16]), rotation * Rotation.from_euler("xyz", [PI, 0, PI / 2])


def test_the_arm_is_the_vendors_chain():
    controller, rng = Controller(build()), np.random.default_rng(0)
    for joints in rng.uniform(-PI, PI, (50, 7)):
        position, rotation = chain(joints)
        pose = controller.forward(joints)
        np.testing.assert_allclose(
            pose.position, position + rotation.apply([0, 0, FINGERTIPS_BELOW_END_EFFECTOR]), atol=1e-8
        )
        assert (pose.rotation * rotation.inv()).magnitude() < 1e-7


def test_the_vendors_home_angles_give_the_vendors_home_pose():
    position, rotation = chain(np.radians([283.12, 162.71, 0, 43.41, 265.88, 257.58, 288.12]))
    # The home pose that the vendor's examples quote, measured on an arm: metres and intrinsic XYZ Euler
    # angles
    np.testing.assert_allclose(position, [0.2123, -0.2572, 0.5096], atol=0.01)
    published = Rotation.from_euler("XYZ", [1.6377, 1.1132, 0.1341])
    assert (rotation * published.inv()).magnitude() < 0.05


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_starts_at_home_with_an_open_gripper_and_without_success(twin, task):
    twin.reset(task, 1234)
    np.testing.assert_allclose(twin.measured.position, twin.home().position, atol=2e-3)
    np.testing.assert_allclose(np.abs(twin.measured.quaternion), [1, 0, 0, 0], atol=5e-3)
    np.testing.assert_array_equal(twin.commanded.position, twin.home().position)
    assert twin.closure < 0.02
    assert twin.time == 0.0
    assert not twin.success()
    assert twin.instruction in twin.task.instructions
    view = StateView(twin.state())
    if twin.task.kind == "take":
        offset = view.position(twin.task.slot) - view.position("plate")
        assert np.hypot(*offset[:2]) < PLATE_RADIUS - 0.03 and 0 < offset[2] < 0.06


def test_eleven_tasks_with_enough_instructions():
    assert len(TASKS) == 11
    texts = [text for task in TASKS.values() for text in task.instructions + task.held_out]
    assert len(texts) == len(set(texts)), "two tasks share an instruction"
    assert all(
        task.name == name and len(task.instructions) >= 4 and len(task.held_out) >= 2
        for name, task in TASKS.items()
    )


def test_an_unknown_task_is_refused_with_the_closest_name(twin):
    with pytest.raises(ValueError, match="'pick_egplant', did you mean 'pick_eggplant'"):
        twin.reset("pick_egplant", 0)


def test_the_commanded_pose_moves_by_the_twist_and_the_arm_follows(twin):
    twin.reset("open_drawer", 0)
    start = twin.commanded
    for _ in range(60):
        twin.tick([0.10, 0.05, -0.10], [0.0, 0.0, 0.8])
    np.testing.assert_allclose(twin.commanded.position - start.position, [0.06, 0.03, -0.06], atol=1e-9)
    np.testing.assert_allclose(
        (twin.commanded.rotation * start.rotation.inv()).as_rotvec(), [0, 0, 0.48], atol=1e-9
    )
    for _ in range(50):
        twin.tick(np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(twin.measured.position, twin.commanded.position, atol=1.5e-3)
    assert (twin.measured.rotation * twin.commanded.rotation.inv()).magnitude() < 0.01
    assert twin.time == pytest.approx(110 * TICK)


def test_the_following_error_and_the_joint_speeds_are_limited(twin):
    assert MAX_FOLLOWING_ERROR == Rig.load("kinova_gen2").limits.max_following_error
    twin.reset("open_drawer", 0)
    fastest, ahead = np.zeros(7), 0.0
    for step in range(300):
        # Full speed towards a place far out of reach, then straight back
        twin.tick([0.2 if step < 220 else -0.2, 0.1, 0.0], [0.0, 0.0, 1.0])
        fastest = np.maximum(fastest, np.abs(twin.joint_velocities))
        ahead = max(ahead, float(np.linalg.norm(twin.commanded.position - twin.measured.position)))
    assert 0.05 < ahead < MAX_FOLLOWING_ERROR + 0.003
    assert (fastest < SPEED_LIMIT * 1.15).all()


@pytest.mark.parametrize("twist", [([np.nan, 0, 0], [0, 0, 0]), ([0, 0], [0, 0, 0])])
def test_an_invalid_twist_is_refused(twin, twist):
    with pytest.raises(ValueError, match="twist must be 3 \\+ 3 finite numbers"):
        twin.tick(*twist)


def test_the_gripper_reaches_its_target(twin):
    twin.reset("open_drawer", 0)
    measured = {}
    for target in (1.0, 0.5, 0.0):
        twin.grip(target)
        for _ in range(120):
            twin.tick(np.zeros(3), np.zeros(3))
        measured[target] = twin.closure
    assert measured == pytest.approx({1.0: 1.0, 0.5: 0.5, 0.0: 0.0}, abs=0.08)


@pytest.mark.parametrize("task", TASKS)
def test_every_layout_leaves_room_and_lies_within_reach(task):
    limits = Rig.load("kinova_gen2").limits
    for seed in range(200):
        layout = sample_layout(TASKS[task], seed)
        positions = {name: np.array(place[:2]) for name, place in layout.poses.items()}
        assert set(positions) == {"plate", *SLOTS}
        for name, position in positions.items():
            assert (position > limits.workspace_min[:2]).all() and (position < limits.workspace_max[:2]).all()
            for other, other_position in positions.items():
                if name < other and layout.on_plate not in (name, other):
                    assert np.linalg.norm(position - other_position) > 0.10, (
                        f"seed {seed}: {name} and {other} collide"
                    )


def test_seeds_differ_and_repeat(twin):
    def state(seed):
        twin.reset("put_broccoli_on_plate", seed)
        return twin.state()

    first = state(7)
    assert first.shape == (SIZE,) and np.isfinite(first).all()
    assert np.abs(state(8) - first).max() > 0.01
    np.testing.assert_array_equal(state(7), first)


RUN = """
import sys
from gr1_core.sim import Twin
twin = Twin()
twin.reset("take_eggplant_from_plate", 21)
twin.grip(0.7)
for step in range(80):
    twin.tick([0.1, 0.02, -0.15], [0.1, 0.0, 0.3])
assert "OpenGL" not in sys.modules, "physics must not load graphics"
print(twin.state().tobytes().hex())
"""


def test_two_processes_give_the_same_state_without_graphics():
    # With this variable set, mujoco itself loads OpenGL when it is imported.
    clean = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    runs = [
        subprocess.run(
            [sys.executable, "-c", RUN], capture_output=True, text=True, check=True, env=clean
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] and len(runs[0].strip()) == SIZE * 16


def test_the_package_imports_without_mujoco_being_loaded():
    code = "import sys, gr1_core.sim; from gr1_core.sim import TASKS; print('mujoco' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
