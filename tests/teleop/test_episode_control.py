"""Episodes by button: an accidental press costs none, and the recorder's refusals reach the operator."""

import threading

import pytest

from gr1_teleop.episode_control import CONFIRM_S, EpisodeControl, EpisodeError
from tests.teleop.fakes import FakeRecorder


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
    assert episodes.state() == {"busy": "", "confirm": None, "instruction": "", "refusal": recorder.refusal}
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
