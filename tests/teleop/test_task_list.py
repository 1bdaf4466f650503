"""The task list: the file's mistakes are named, and the order holds."""

import random

import pytest

from gr1_teleop.task_list import Task, TaskList, TaskListError


def test_a_file_is_read_with_short_entries(tmp_path):
    path = tmp_path / "tasks.yaml"
    path.write_text("order: random\ntasks:\n- instruction: open the drawer\n  episodes: 20\n- wave\n")
    listed = TaskList.load(path)
    assert listed.tasks == (Task("open the drawer", 20), Task("wave", 0)) and listed.order == "random"


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "has no tasks"),
        ("tasks: 3", "has no tasks"),
        ("tasks: [", "is not YAML"),
        ("tasks: [open]\norder: backwards", "expected given or random"),
        ("tasks: [open]\ntask: x", "unknown key 'task'"),
        ("tasks:\n- {text: open}", "entry 1 has no instruction"),
        ("tasks:\n- {instruction: open, episode: 3}", "unknown key 'episode'"),
        ("tasks:\n- {instruction: open, episodes: many}", "expected a whole number"),
        ("tasks:\n- {instruction: open, episodes: -1}", "expected a whole number"),
        ("tasks:\n- {instruction: ' '}", "one line of 1 to 300"),
        ("tasks: [open, open]", "'open' twice"),
    ],
)
def test_a_mistake_is_named_with_its_entry_and_remedy(tmp_path, text, words):
    path = tmp_path / "tasks.yaml"
    path.write_text(text)
    with pytest.raises(TaskListError, match=words):
        TaskList.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaskListError, match="cannot be read"):
        TaskList.load(tmp_path / "none.yaml")


def test_random_order_avoids_the_same_again_and_complete_ones():
    tasks = TaskList(tuple(Task(text, 2) for text in "abc"), "random", random.Random(1))
    done, now = dict.fromkeys("abc", 0), tasks.first({})
    for _ in range(6):
        done[now] += 1
        following = tasks.after_success(now, done)
        assert following != now or sum(count < 2 for count in done.values()) <= 1
        now = following
    assert done == {"a": 2, "b": 2, "c": 2}


def test_a_complete_list_changes_nothing():
    tasks = TaskList((Task("a", 1),))
    assert tasks.after_success("a", {"a": 1}) == "a" and tasks.first({"a": 1}) == "a"
