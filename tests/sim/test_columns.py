"""The columns of `gr1 evaluate sim`: what they hold, and that nobody has trained on it."""

import pytest

from gr1_core.sim import TASKS
from gr1_core.sim.instructions import said
from gr1_core.sim.objects.catalogue import SLOTS, STANDARD
from gr1_core.sim.suites import COLUMNS, FIRST, TRAINING_SEEDS, ColumnError, sentences_of_others, trials
from gr1_core.sim.tasks import find

VEGETABLES = [name for name, task in TASKS.items() if task.vegetable]
TRAINED_NOUNS = {STANDARD.noun(slot) for slot in SLOTS}


def sentences(trial):
    task = find(trial.task)
    return said(task.kind, trial.props.noun(task.vegetable) if task.vegetable else None)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_is_the_same_each_time_and_its_beginning_does_not_depend_on_its_length(column):
    assert trials(column, 25) == trials(column, 40)[:25]
    assert len(set(trials(column, 40))) == 40


@pytest.mark.parametrize("column", COLUMNS)
def test_the_tasks_take_turns_on_seeds_that_no_demonstration_has(column):
    names = ["open_drawer", "close_drawer"] if column == "drawer" else VEGETABLES
    made = trials(column, 2 * len(names))
    assert [trial.scene for trial in made] == names * 2
    assert {trial.seed for trial in made} == {FIRST, FIRST + 1} and FIRST >= TRAINING_SEEDS
    with pytest.raises(ColumnError, match="seed 99999 belongs to the demonstrations"):
        trials(column, 1, 99_999)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_trial_says_a_sentence_of_its_task_and_only_phrasing_says_held_out_ones(column):
    made = trials(column, 90)
    for trial in made:
        assert trial.instruction in sentences(trial)[column == "phrasing"]
    said_of_one = {trial.instruction for trial in made if trial.task == made[0].task}
    assert len(said_of_one) > 3, "the sentences vary"


def test_phrasing_differs_from_seen_in_nothing_but_the_sentence():
    for seen, phrasing in zip(trials("seen", 30), trials("phrasing", 30)):
        assert (seen.scene, seen.task, seen.seed, seen.props, seen.look) == (
            phrasing.scene, phrasing.task, phrasing.seed, phrasing.props, phrasing.look
        )  # fmt: skip


def test_instances_are_other_things_of_the_same_names_and_categories_have_names_that_are_never_trained():
    for column in ("instances", "categories"):
        rounds = {trial.props for trial in trials(column, 90)}
        assert len(rounds) == 10, "one table a round of the nine tasks, since each costs a model"
        for props in rounds:
            nouns = {props.noun(slot) for slot in SLOTS}
            assert len(nouns) == 3
            assert nouns == TRAINED_NOUNS if column == "instances" else not nouns & TRAINED_NOUNS
            assert all(props[slot] != STANDARD[slot] for slot in SLOTS)
    for column in ("seen", "drawer", "phrasing", "swap"):
        assert {trial.props for trial in trials(column, 20)} == {STANDARD}


def test_a_swap_asks_for_something_else_that_does_not_include_what_the_scene_was_laid_for():
    made = trials("swap", 180)
    for trial in made:
        scene, named = find(trial.scene), find(trial.task)
        assert trial.swapped and trial.instruction not in scene.instructions
        assert named in sentences_of_others(scene)
        assert not (scene.kind == "pick" and named.vegetable == scene.vegetable), (
            "to put it somewhere it must be picked up"
        )
        assert named.kind != "take" and named.kind != "close", (
            "nothing else lies on the plate, and the drawer is closed"
        )
    for name in VEGETABLES:
        asked = {trial.task for trial in made if trial.scene == name}
        assert asked == {task.name for task in sentences_of_others(TASKS[name])}, "each of them in its turn"


def test_an_unknown_column_is_refused_with_the_nearest_name():
    with pytest.raises(ColumnError, match="unknown column 'catgories', did you mean 'categories'"):
        trials("catgories")


def test_of_a_column_only_the_wanted_tasks_in_the_very_same_layouts():
    wanted = ["take_broccoli_from_plate", "take_eggplant_from_plate"]
    for column in ("seen", "instances", "swap"):
        made = trials(column, 6, tasks=wanted)
        assert [trial.scene for trial in made[:2]] == [name for name in TASKS if name in wanted]
        assert {trial.seed for trial in made} == {trial.seed for trial in trials(column, 27)}
        assert set(made) <= set(trials(column, 27))


def test_tasks_that_a_column_lacks_are_refused():
    with pytest.raises(
        ColumnError, match="column 'drawer' has none of the tasks pick_eggplant: leave the column out"
    ):
        trials("drawer", 1, tasks=["pick_eggplant"])
