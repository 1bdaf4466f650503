"""Chains: feasible orders of tasks, the same for a seed, which the expert completes on one table."""

from collections import Counter

import pytest

from gr1_core import Rig
from gr1_core.sim import TASKS, Expert, Twin
from gr1_core.sim.chains import CHAIN_LENGTH, TableState, initial_state, sample_chain
from gr1_core.sim.rollout import SUCCESS_PERIODS, run_episode
from gr1_core.sim.state import StateView
from gr1_core.sim.suites import FIRST_TEST_SEED, SuiteError, suites_with, trials
from gr1_core.sim.tasks import find_task, sample_layout

RIG = Rig.load("kinova_gen2")
CHAINS = [sample_chain(seed) for seed in range(1000, 1100)]


def test_a_seed_gives_the_same_chain_and_seeds_differ():
    assert [sample_chain(seed) for seed in range(1000, 1100)] == CHAINS
    assert len({tasks for _, tasks in CHAINS}) > 40
    counts = Counter(find_task(task).kind for _, tasks in CHAINS for task in tasks)
    assert set(counts) == {"pick", "put", "take", "open", "close"} and min(counts.values()) > 25


def test_each_task_is_feasible_after_those_before_it():
    """Followed with the layout: what is on the plate, in the gripper and in the drawer's way."""
    for seed, (scene, tasks) in zip(range(1000, 1100), CHAINS):
        layout = sample_layout(TASKS[scene], seed)
        on_plate, held, is_open = layout.on_plate, None, layout.drawer > 0.0
        assert len(tasks) == len(set(tasks)) == CHAIN_LENGTH
        for number, task in enumerate(map(find_task, tasks)):
            assert held in (None, task.slot), f"{tasks}: the gripper still holds the {held}"
            if task.kind == "pick":
                assert on_plate != task.slot
                held = task.slot
            elif task.kind == "put":
                assert on_plate is None
                on_plate, held = task.slot, None
            elif task.kind == "take":
                assert on_plate == task.slot
                on_plate = None
            else:
                assert is_open == (task.kind == "close")
                is_open = task.kind == "open"
            assert not (held and on_plate) or number == CHAIN_LENGTH - 1, "no way to put it down"


def test_two_objects_are_never_put_down_at_the_same_position():
    state = TableState(on_plate="eggplant").after(TASKS["take_eggplant_from_plate"])
    state = state.after(TASKS["put_broccoli_on_plate"])
    assert not state.is_feasible(TASKS["take_broccoli_from_plate"])
    lifted = TableState(set_down="eggplant").after(TASKS["pick_eggplant"])
    assert lifted.set_down is None and lifted.held == "eggplant"


def test_the_initial_state_is_that_of_the_layout():
    assert initial_state(TASKS["take_broccoli_from_plate"], 7).on_plate == "broccoli"
    assert initial_state(TASKS["take_broccoli_from_plate"], 7).can_set_down
    assert initial_state(TASKS["close_drawer"], 7).drawer_open
    assert not initial_state(TASKS["put_broccoli_on_plate"], 7).drawer_open


def test_a_chain_is_one_trial_with_an_instruction_of_each_task():
    for trial in trials("chains", 10):
        stages = trial.stages()
        assert (trial.scene, tuple(stage.task for stage in stages)) == sample_chain(trial.seed)
        assert all(stage.instruction in TASKS[stage.task].instructions for stage in stages)
        assert all(stage.stages() == [stage] and stage.scene == trial.scene for stage in stages)
    assert [trial.seed for trial in trials("chains", 3)] == [FIRST_TEST_SEED + number for number in range(3)]


def test_chains_need_all_tasks():
    with pytest.raises(SuiteError, match="'chains' needs all tasks: leave the suite out"):
        trials("chains", 1, tasks=["open_drawer"])
    assert "chains" in suites_with(list(TASKS)) and "chains" not in suites_with(
        ["open_drawer", "pick_eggplant"]
    )
    assert suites_with(["open_drawer"]) == ["drawer"]


def test_the_expert_completes_a_chain_and_an_object_stays_in_the_gripper_between_two_instructions():
    twin = Twin()
    seed = next(
        seed
        for seed in range(1000, 1100)
        if [find_task(t).kind for t in sample_chain(seed)[1]][:2] == ["pick", "put"]
    )
    scene, tasks = sample_chain(seed)
    twin.reset(scene, seed)
    for task in tasks:
        twin.task = find_task(task)
        before = StateView(twin.state())
        run = [
            (StateView(state), success)
            for state, _, success in run_episode(twin, Expert(task, RIG.control_hz), RIG)
        ]
        assert all(success for _, success in run[-SUCCESS_PERIODS:]), f"{task} failed"
        assert run[1][0].closure_target == before.closure_target, "the gripper moves before the first command"
