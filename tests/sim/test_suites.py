"""Suites of `gr1 evaluate sim`: what they hold, and that no demonstration uses their layouts."""

import pytest

from gr1_core.sim import TASKS
from gr1_core.sim.instructions import instructions_for
from gr1_core.sim.objects.catalogue import SLOTS, STANDARD_OBJECTS
from gr1_core.sim.suites import (
    FIRST_TEST_SEED,
    SUITES,
    TRAINING_SEEDS_END,
    SuiteError,
    trials,
    unrelated_tasks,
)
from gr1_core.sim.tasks import find_task

OBJECT_TASKS = [name for name, task in TASKS.items() if task.slot]
TRAINED_NOUNS = {STANDARD_OBJECTS.noun(slot) for slot in SLOTS}


def instructions(trial):
    task = find_task(trial.task)
    return instructions_for(task.kind, trial.objects.noun(task.slot) if task.slot else None)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_the_same_each_time_and_its_start_does_not_depend_on_its_length(suite):
    assert trials(suite, 25) == trials(suite, 40)[:25]
    assert len(set(trials(suite, 40))) == 40


@pytest.mark.parametrize("suite", [suite for suite in SUITES if suite != "chains"])
def test_the_tasks_take_turns_on_seeds_that_no_demonstration_has(suite):
    names = ["open_drawer", "close_drawer"] if suite == "drawer" else OBJECT_TASKS
    chosen = trials(suite, 2 * len(names))
    assert [trial.scene for trial in chosen] == names * 2
    assert {trial.seed for trial in chosen} == {FIRST_TEST_SEED, FIRST_TEST_SEED + 1}


@pytest.mark.parametrize("suite", SUITES)
def test_seeds_of_demonstrations_are_refused(suite):
    assert FIRST_TEST_SEED >= TRAINING_SEEDS_END
    with pytest.raises(SuiteError, match="seed 99999 belongs to the demonstrations"):
        trials(suite, 1, 99_999)


@pytest.mark.parametrize("suite", SUITES)
def test_a_trial_has_an_instruction_of_its_task_and_only_phrasing_has_held_out_ones(suite):
    chosen = trials(suite, 90)
    for trial in chosen:
        assert trial.instruction in instructions(trial)[suite == "phrasing"]
    given = {trial.instruction for trial in chosen if trial.task == chosen[0].task}
    assert len(given) > 3, "the instructions vary"


def test_phrasing_differs_from_seen_only_in_the_instruction():
    for seen, phrasing in zip(trials("seen", 30), trials("phrasing", 30)):
        assert (seen.scene, seen.task, seen.seed, seen.objects, seen.appearance) == (
            phrasing.scene, phrasing.task, phrasing.seed, phrasing.objects, phrasing.appearance
        )  # fmt: skip


def test_instances_have_the_trained_nouns_and_categories_have_none_of_them():
    for suite in ("instances", "categories"):
        rounds = {trial.objects for trial in trials(suite, 90)}
        assert len(rounds) == 10, "one table a round of the nine tasks, since each costs a model"
        for objects in rounds:
            nouns = {objects.noun(slot) for slot in SLOTS}
            assert len(nouns) == 3
            assert nouns == TRAINED_NOUNS if suite == "instances" else not nouns & TRAINED_NOUNS
            assert all(objects[slot] != STANDARD_OBJECTS[slot] for slot in SLOTS)
    for suite in ("seen", "drawer", "phrasing", "swap", "chains", "moved", "occluded"):
        assert {trial.objects for trial in trials(suite, 20)} == {STANDARD_OBJECTS}


def test_a_swap_asks_for_a_task_that_does_not_include_that_of_its_layout():
    chosen = trials("swap", 180)
    for trial in chosen:
        scene, named = find_task(trial.scene), find_task(trial.task)
        assert trial.swapped and trial.instruction not in scene.instructions
        assert named in unrelated_tasks(scene)
        assert not (scene.kind == "pick" and named.slot == scene.slot), (
            "putting an object includes picking it up"
        )
        assert named.kind != "take" and named.kind != "close", (
            "nothing else lies on the plate, and the drawer is closed"
        )
    for name in OBJECT_TASKS:
        asked = {trial.task for trial in chosen if trial.scene == name}
        assert asked == {task.name for task in unrelated_tasks(TASKS[name])}, "all in turn"


def test_an_unknown_suite_is_refused_with_the_nearest_name():
    with pytest.raises(SuiteError, match="unknown suite 'catgories', did you mean 'categories'"):
        trials("catgories")


def test_selected_tasks_keep_their_layouts():
    wanted = ["take_broccoli_from_plate", "take_eggplant_from_plate"]
    for suite in ("seen", "instances", "swap"):
        chosen = trials(suite, 6, tasks=wanted)
        assert [trial.scene for trial in chosen[:2]] == [name for name in TASKS if name in wanted]
        assert {trial.seed for trial in chosen} == {trial.seed for trial in trials(suite, 27)}
        assert set(chosen) <= set(trials(suite, 27))


def test_tasks_that_a_suite_lacks_are_refused():
    with pytest.raises(
        SuiteError, match="suite 'drawer' has none of the tasks pick_eggplant: leave the suite out"
    ):
        trials("drawer", 1, tasks=["pick_eggplant"])
