"""The expert under the rig's conditions: 10 Hz, one period of latency, acceleration limits, workspace."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.sim import TASKS, TICK, Command, Expert, Twin
from gr1_core.sim.rollout import SUCCESS_PERIODS, TwistLimiter, run_episode, run_expert_episode
from gr1_core.sim.state import FREE_BODY_QPOS, StateView

RIG = Rig.load("kinova_gen2")


@pytest.fixture(scope="module")
def twin():
    return Twin()


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_every_task_on_an_unseen_layout(twin, task):
    solved, seconds = run_expert_episode(twin, task, 1001, RIG)
    assert solved, f"not solved after {seconds:.1f} simulated seconds"


@pytest.mark.parametrize("task", ["put_eggplant_on_plate", "take_bell_pepper_from_plate", "open_drawer"])
def test_the_expert_answers_any_state(twin, task):
    """It succeeds although its memory is cleared every second and the arm is pushed every half second."""
    rng = np.random.default_rng(5)

    class DisturbedExpert(Expert):
        def __init__(self):
            super().__init__(task)
            self.calls = 0

        def act(self, state):
            self.calls += 1
            command = (Expert(task) if self.calls % 10 == 0 else super()).act(state)
            push = rng.normal(0, 0.06, 3) if self.calls % 5 == 0 else np.zeros(3)
            return Command(command.linear + push, command.angular, command.closure)

    twin.reset(task, 1002)
    run = [done for _, _, done in run_episode(twin, DisturbedExpert(), RIG, seconds=40)]
    assert all(run[-SUCCESS_PERIODS:]), f"not solved in {len(run)} steps"


@pytest.mark.parametrize("task", ["pick_eggplant", "put_broccoli_on_plate", "open_drawer", "close_drawer"])
def test_commands_stay_within_the_experts_own_speeds(twin, task):
    twin.reset(task, 1003)
    for _, command, _ in run_episode(twin, Expert(task), RIG):
        assert np.linalg.norm(command.linear) <= 0.2 + 1e-9 and np.linalg.norm(command.angular) <= 0.8 + 1e-9
        assert command.closure in (0.0, 1.0)


def moved(state, body, offset, turn=0.0):
    changed = state.copy()
    qpos = StateView(changed).qpos
    start = FREE_BODY_QPOS[body]
    qpos[start : start + 3] += offset
    w, z = np.cos(turn / 2), np.sin(turn / 2)
    old_w, old_z = qpos[start + 3], qpos[start + 6]
    qpos[start + 3], qpos[start + 6] = w * old_w - z * old_z, w * old_z + z * old_w
    return changed


@pytest.mark.parametrize("task", ["pick_eggplant", "pick_broccoli", "put_bell_pepper_on_plate"])
def test_labels_are_a_smooth_function_of_the_state(twin, task):
    """A millimetre or a degree changes the twist only slightly, anywhere on the approach."""
    slot = TASKS[task].slot
    twin.reset(task, 1004)
    states = [state for state, command, _ in run_episode(twin, Expert(task), RIG) if command.closure == 0.0][
        :25
    ]
    assert len(states) > 10
    for state in states:
        label = Expert(task).act(state)
        if label.closure != 0.0:
            continue
        for offset in ([0.001, 0, 0], [0, 0.001, 0]):
            other = Expert(task).act(moved(state, slot, offset))
            assert np.linalg.norm(other.linear - label.linear) < 0.03
        other = Expert(task).act(moved(state, slot, [0, 0, 0], np.radians(1.0)))
        assert np.linalg.norm(other.angular - label.angular) < 0.06


def test_a_reversed_eggplant_is_grasped_the_same_way_and_round_objects_need_no_turn(twin):
    twin.reset("pick_eggplant", 1005)
    state = twin.state()
    label, other = (
        Expert("pick_eggplant").act(moved(state, "eggplant", [0, 0, 0], turn)) for turn in (0.0, np.pi)
    )
    np.testing.assert_allclose(other.angular, label.angular, atol=1e-6)
    assert np.linalg.norm(label.angular) > 0.05
    for task in ("pick_broccoli", "pick_bell_pepper"):
        twin.reset(task, 1005)
        assert np.linalg.norm(Expert(task).act(twin.state()).angular) < 1e-3


def test_the_twist_limiter_keeps_the_limits_of_the_gate():
    limiter, limits = TwistLimiter(RIG.limits), RIG.limits
    speeds = [limiter.step([1.0, 0, 0], [0, 0, 9.0], TICK) for _ in range(60)]
    linear, angular = (np.array([np.linalg.norm(step[k]) for step in speeds]) for k in (0, 1))
    assert linear[-1] == pytest.approx(limits.linear_speed) and angular[-1] == pytest.approx(
        limits.angular_speed
    )
    assert np.diff(linear).max() <= limits.linear_acceleration * TICK + 1e-9
    assert np.diff(angular).max() <= limits.angular_acceleration * TICK + 1e-9
    np.testing.assert_array_equal(limiter.step(np.zeros(3), np.zeros(3), TICK)[0], np.zeros(3))


def test_an_unknown_task_is_refused_with_the_closest_name():
    with pytest.raises(ValueError, match="did you mean 'open_drawer'"):
        Expert("open_the_drawer")


def test_the_evaluation_of_the_expert_ends_with_one_json_line():
    words = ["--suites", "drawer", "--tasks", "close_drawer", "--episodes", "1", "--workers", "1"]
    # In a process of its own: torch crashes where it is loaded after Mesa's OpenGL.
    command = [sys.executable, "-m", "gr1_core", "evaluate", "sim", "--expert", *words]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    last = json.loads(out.strip().splitlines()[-1])
    assert last["tasks"] == {"drawer": {"close_drawer": {"episodes": 1, "successes": 1}}}
    assert last["suites"]["drawer"]["successes"] == 1 and last["policy"] == "expert"


def test_a_rate_that_is_no_multiple_of_the_tick_keeps_simulated_time(twin):
    rig = dataclasses.replace(RIG, control_hz=15.0)
    twin.reset("open_drawer", 1000)
    run = run_episode(twin, Expert("open_drawer", rig.control_hz, twin.objects), rig, 1.0)
    times = [float(state[0]) for state, _, _ in run]
    assert len(times) == 15 and np.diff(times).round(6).min() == 0.06 and np.diff(times).max() < 0.0701
    assert times[-1] - times[0] == pytest.approx(14 / 15, abs=0.0051)
