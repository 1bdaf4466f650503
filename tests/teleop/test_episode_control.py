"""Episodes by button: an accidental press costs none, and the recorder's refusals reach the operator."""

import threading

import pytest

from gr1_teleop.episode_control import CONFIRM_S, READ_S, EpisodeControl, EpisodeError
from gr1_teleop.task_list import Task, TaskList
from tests.teleop.fakes import FakeRecorder
from tests.teleop.test_episode_index import record


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def episodes(recorder, clock, tmp_path) -> EpisodeControl:
    return EpisodeControl(recorder, tmp_path, clock)


def kinds(episodes: EpisodeControl) -> list[str]:
    return [pulse["kind"] for pulse in episodes.pop_haptics()]


# Two steps


@pytest.mark.parametrize("action", ["success", "discard"])
def test_on_a_headset_the_first_press_asks_and_the_second_does(episodes, recorder, action):
    assert episodes.press(action, two_steps=True) is None
    assert episodes.state()["confirm"] == action and recorder.calls == []
    done = episodes.press(action, two_steps=True)
    assert episodes.state()["confirm"] is None and episodes.state()["busy"] == "ending"
    assert done() == "20240501-141503-open_drawer"
    assert recorder.calls == [action] and episodes.state()["busy"] == ""
    assert kinds(episodes) == ["record", "record"] and kinds(episodes) == []


def test_a_question_is_forgotten_after_three_seconds(episodes, recorder, clock):
    episodes.press("discard", two_steps=True)
    clock.now += CONFIRM_S - 0.01
    assert episodes.state()["confirm"] == "discard"
    clock.now += 0.02
    assert episodes.state()["confirm"] is None
    assert episodes.press("discard", two_steps=True) is None, "a late second press is a first one"
    assert recorder.calls == []


@pytest.mark.parametrize(("between", "asked"), [("success", "success"), ("start", None), ("failure", None)])
def test_another_press_in_between_means_no(episodes, recorder, between, asked):
    episodes.press("discard", two_steps=True)
    if done := episodes.press(between, two_steps=True):
        done()
    assert episodes.state()["confirm"] == asked
    assert episodes.press("discard", two_steps=True) is None
    assert "discard" not in recorder.calls


def test_a_refused_press_takes_the_question_back_too(episodes):
    episodes.press("discard", two_steps=True)
    with pytest.raises(EpisodeError):
        episodes.press("relabel", two_steps=True)
    assert episodes.state()["confirm"] is None


@pytest.mark.parametrize("action", ["success", "discard", "failure", "start"])
def test_a_page_with_a_mouse_presses_once(episodes, recorder, action):
    episodes.press(action)()
    assert recorder.calls == [action]


# The recorder


def test_the_instruction_is_told_before_the_episode_begins(episodes, recorder):
    episodes.press("start", "  open the drawer ")()
    assert recorder.calls == ["instruct: open the drawer", "start"]
    assert episodes.state()["instruction"] == "open the drawer"
    episodes.press("start")()
    assert recorder.calls[2:] == ["start"], "as before"
    episodes.set_instruction("close the drawer")()
    assert (
        recorder.calls[3:] == ["instruct: close the drawer"]
        and episodes.state()["instruction"] == "close the drawer"
    )


def test_relabelling_changes_the_last_bag_and_not_what_comes_next(episodes, recorder):
    episodes.press("relabel", "close the drawer")()
    assert recorder.calls == ["relabel: close the drawer"] and episodes.state()["instruction"] == ""


@pytest.mark.parametrize(
    ("instruction", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\nb", "line breaks"),
        ("x\x1b[31m", "control"),
        ("x" * 301, "301 characters"),
    ],
)
def test_an_instruction_that_cannot_be_one_is_refused_at_once(episodes, recorder, instruction, says):
    for press in (
        lambda: episodes.press("relabel", instruction),
        lambda: episodes.set_instruction(instruction),
    ):
        with pytest.raises(EpisodeError, match=says):
            press()
    assert recorder.calls == [] and episodes.state()["busy"] == ""


def test_what_the_recorder_refuses_is_felt_and_shown_for_five_seconds(episodes, recorder, clock):
    recorder.refusal = "not arriving: camera/wrist/image_raw/compressed (is its node running?)"
    with pytest.raises(EpisodeError, match="not arriving: camera/wrist"):
        episodes.press("start")()
    assert kinds(episodes) == ["refused"]
    assert episodes.state() == {
        "busy": "",
        "confirm": None,
        "confirm_why": "",
        "instruction": "",
        "tasks": [],
        "refusal": recorder.refusal,
    }
    clock.now += 5.1
    assert episodes.state()["refusal"] == ""


def test_what_goes_well_takes_the_refusal_away(episodes, recorder):
    recorder.refusal = "no instruction"
    with pytest.raises(EpisodeError):
        episodes.press("start")()
    recorder.refusal = ""
    episodes.press("start")()
    assert episodes.state()["refusal"] == ""


def test_a_recorder_that_breaks_down_is_a_refusal_and_the_next_press_is_taken(
    episodes, recorder, monkeypatch
):
    monkeypatch.setattr(recorder, "success", lambda: 1 / 0)
    with pytest.raises(EpisodeError, match="could not be called.*ZeroDivisionError.*terminal"):
        episodes.press("success")()
    assert episodes.press("failure")() == "20240501-141503-open_drawer"


def test_presses_while_the_recorder_works_are_refused_and_not_queued(episodes, recorder):
    recorder.hold = threading.Event()
    starting = threading.Thread(target=episodes.press("start"))
    starting.start()
    for press in (
        lambda: episodes.press("start"),
        lambda: episodes.press("success", two_steps=True),
        lambda: episodes.set_instruction("go"),
    ):
        with pytest.raises(EpisodeError, match="still starting: wait"):
            press()
    recorder.hold.set()
    starting.join(5)
    assert recorder.calls == ["start"] and episodes.state()["busy"] == ""


def test_an_unknown_action_is_named_with_those_there_are(episodes):
    with pytest.raises(
        EpisodeError, match="unknown episode action 'delete'.*start, success, failure, discard, relabel"
    ):
        episodes.press("delete")


# What conversion would leave out


@pytest.mark.parametrize("two_steps", [False, True])
def test_a_success_that_conversion_would_cut_is_asked_for_with_the_figure(
    episodes, recorder, clock, two_steps
):
    recorder.loses = "conversion would keep 1 of 100 steps: camera/static came at 7 Hz or with gaps"
    assert episodes.press("success", two_steps=two_steps) is None
    assert (episodes.state()["confirm"], episodes.state()["confirm_why"]) == ("success", recorder.loses)
    clock.now += READ_S - 0.1
    episodes.press("success", two_steps=two_steps)()
    assert recorder.calls == ["success"] and episodes.state()["confirm_why"] == ""


@pytest.mark.parametrize("action", ["failure", "discard"])
def test_other_ends_are_not_asked_for_because_of_it(episodes, recorder, action):
    recorder.loses = "conversion would keep 1 of 100 steps"
    episodes.press(action)()
    assert recorder.calls == [action]


# The task list


@pytest.fixture
def listed(recorder, clock, tmp_path):
    tasks = TaskList((Task("open the drawer", 2), Task("close the drawer", 1), Task("wave", 0)))
    return EpisodeControl(recorder, tmp_path, clock, tasks)


def success(episodes, folder, number):
    """Presses success; the recorder's bag is there when it has answered."""
    record(folder / f"e{number}", instruction=episodes.instruction)
    episodes.press("success")()


def test_the_list_goes_on_by_itself_once_an_instruction_is_complete(listed, recorder, tmp_path):
    listed.begin("")
    said = []
    for number in range(5):
        said.append(listed.instruction)
        success(listed, tmp_path, number)
    assert said == ["open the drawer", "open the drawer", "close the drawer", "wave", "wave"]
    assert listed.state()["tasks"] == [
        {"instruction": "open the drawer", "done": 2, "episodes": 2},
        {"instruction": "close the drawer", "done": 1, "episodes": 1},
        {"instruction": "wave", "done": 2, "episodes": 0},
    ]
    published = [call for call in recorder.calls if call.startswith("instruct")]
    assert published == [f"instruct: {text}" for text in ("open the drawer", "close the drawer", "wave")]


def test_next_and_previous_choose_from_the_list_around_its_ends(listed, recorder):
    listed.begin("")
    for action in ("next_task", "next_task", "next_task", "previous_task"):
        listed.press(action, two_steps=True)()
    assert listed.instruction == "wave"


def test_an_instruction_of_the_users_own_stays_after_every_success(listed, tmp_path):
    listed.begin("stack the red cup on the blue cup")
    for number in range(3):
        success(listed, tmp_path, number)
        assert listed.instruction == "stack the red cup on the blue cup"


def test_without_a_list_the_buttons_say_what_to_do(episodes):
    with pytest.raises(EpisodeError, match="--task-list FILE"):
        episodes.press("next_task")
