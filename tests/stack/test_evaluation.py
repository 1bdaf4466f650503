"""`gr1 up --evaluate`, which `make demo` runs: trials, results, the keyboard, the whole."""

import json
import os
import pty
import signal
import sys
import threading

import av
import pytest
from rich.console import Console

from gr1_bringup import stack
from gr1_bringup.commands.up import main as gr1_up
from gr1_bringup.keyboard import Keyboard
from gr1_core import Rig, pretrained
from gr1_core.sim import TASKS, suites
from gr1_evaluation import evaluation, score_table, session
from gr1_evaluation.evaluation import Evaluation, Result, Trial
from tests.support.program import Program
from tests.support.waiting import eventually

RIG = Rig.load("kinova_gen2_small")


# What is asked


def test_the_tasks_come_in_turn_each_round_with_the_next_seed():
    asked = evaluation.parse("open_drawer,pick_broccoli", 4, 7_000_000)
    trials = [asked.next() for _ in range(5)]
    assert [(one.scene, one.seed, one.task) for one in trials[:4]] == [
        ("open_drawer", 7_000_000, "open_drawer"), ("pick_broccoli", 7_000_000, "pick_broccoli"),
        ("open_drawer", 7_000_001, "open_drawer"), ("pick_broccoli", 7_000_001, "pick_broccoli"),
    ]  # fmt: skip
    assert trials[4] is None


def test_the_demo_shows_tables_that_no_demonstration_had():
    asked = evaluation.parse("tasks", None, None)
    trials = [asked.next() for _ in range(2 * len(TASKS))]
    assert {one.scene for one in trials} == set(TASKS) and min(
        one.seed for one in trials
    ) >= suites.TRAINING_SEEDS_END


@pytest.mark.parametrize("suite", ["seen", "drawer", "phrasing", "swap"])
def test_a_suite_has_the_trials_of_the_direct_evaluation(suite):
    asked = evaluation.parse(suite, 20, None)
    for theirs in suites.trials(suite, 20):
        ours = asked.next()
        assert (ours.scene, ours.seed, ours.task, ours.instruction) == (
            theirs.scene,
            theirs.seed,
            theirs.task,
            theirs.instruction,
        )
    assert asked.next() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--evaluate", "categories"), "other objects on the table"),
        (("--evaluate", "chains"), "events or several instructions per episode"),
        (("--evaluate", "moved"), "events or several instructions per episode"),
        (("--evaluate", "pick_banana"), "'pick_banana' is not one of tasks"),
        (("--evaluate", "seen", "--seed", "5"), "belongs to the demonstrations"),
        (("--evaluate", "tasks", "--task", "open_drawer"), "--evaluate a,b"),
        (("--evaluate", "tasks", "--driver", "expert"), "driver 'policy'"),
        (("--trials", "3"), "--evaluate"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_starts(words, said, capsys, tmp_path):
    assert gr1_up(["--out", str(tmp_path / "run"), *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split()) and not (tmp_path / "run").exists()


def test_every_instruction_of_a_task_is_recognised_as_that_task():
    for task in TASKS.values():
        for instruction in (*task.instructions, *task.held_out):
            assert evaluation.task_of(f"Please, {instruction.upper()}!") == task.name
    assert evaluation.task_of("put the banana on the plate") == evaluation.task_of("") == ""


def test_a_typed_instruction_is_tried_on_table_after_table_until_an_empty_line():
    asked = evaluation.parse("open_drawer,pick_broccoli", None, None)
    assert asked.next().scene == "open_drawer"
    asked.request("  Put the eggplant on  the plate ")
    assert asked.interrupted
    first, second = asked.next(), asked.next()
    assert (
        first.scene == first.task == second.task == "put_eggplant_on_plate"
        and first.instruction == "Put the eggplant on the plate"
    )
    assert first.seed != second.seed and not asked.interrupted
    asked.request("")
    assert asked.next().scene == "pick_broccoli"


def test_an_unknown_instruction_is_tried_on_the_present_table_without_an_outcome():
    asked = evaluation.parse("close_drawer", None, None)
    asked.next()
    asked.request("make coffee")
    trial = asked.next()
    assert (trial.scene, trial.task, trial.instruction) == ("close_drawer", "", "make coffee")
    asked.add(Result(trial, trial.instruction, False, 20.0))
    asked.skip(trial)
    assert (
        asked.results == []
        and "no trial has an outcome" in asked.summary()
        and json.loads(asked.document([], 0.0))["skipped"] == 0
    )


def test_the_score_and_its_interval():
    asked = Evaluation(iter(()), 10, 0)
    for number in range(10):
        asked.add(
            Result(Trial("pick_broccoli", number, "pick_broccoli"), "pick up the broccoli", number != 3, 5.0)
        )
    document = json.loads(asked.document([0.02] * 99 + [0.06], acted=10.0))
    assert (document["episodes"], document["successes"], document["hz"]) == (10, 9, 10.0)
    # Wilson's interval for 9 of 10, as tables have it.
    assert document["low"] == pytest.approx(0.596, abs=1e-3) and document["high"] == pytest.approx(
        0.982, abs=1e-3
    )
    assert (
        document["camera_to_command_p50_ms"] == 20.0 and 20.0 < document["camera_to_command_p99_ms"] <= 60.0
    )
    assert asked.tally() == {"pick_broccoli": (9, 10)} and "9 of 10 trials succeeded" in asked.summary()


def test_the_screen_shows_instruction_scores_and_what_is_being_typed():
    asked = evaluation.parse("open_drawer", None, None)
    trial = asked.next()
    asked.add(Result(trial, "open the drawer", True, 4.0))
    console = Console(width=100, record=True, file=open(os.devnull, "w"))
    console.print(score_table.scores(asked, (trial, "pull it \x1b[31mopen", 3.2), "close the dr"))
    said = console.export_text()
    assert (
        "3.2 of 20 s" in said
        and "1/1 open drawer" in said
        and "> close the dr" in said
        and "pull it \\x1b[31mopen" in said
    )


# The keyboard


@pytest.mark.parametrize(
    ("keys", "lines", "typed"),
    [
        (b"open it\n", ["open it"], ""),
        (b"opne\x7f\x7fen\n\nclo", ["open", ""], "clo"),
        (b"wrong\x15right\x1b[A\r", ["right"], ""),
        ("größer\n".encode(), ["größer"], ""),
    ],
)
def test_lines_are_edited_as_on_a_terminal(keys, lines, typed):
    reader, writer = os.pipe()
    with os.fdopen(reader) as stream, Keyboard(stream) as keyboard:
        assert keyboard.lines() == []
        os.write(writer, keys)
        assert keyboard.lines() == lines and keyboard.typed == typed
        os.close(writer)
        assert keyboard.lines() == []


# The shipped checkpoint


def test_a_checkpoint_that_comes_along_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    (tmp_path / "pantry").mkdir()
    (tmp_path / "pantry" / "config.json").write_text("{}")
    assert pretrained.resolve("pantry") == tmp_path / "pantry"
    assert (
        str(pretrained.resolve("runs/pantry")) == "runs/pantry"
        and str(pretrained.resolve("cellar")) == "cellar"
    )


def test_a_checkpoint_where_you_stand_wins_over_a_shipped_one_other_folders_of_its_name_do_not(
    tmp_path, monkeypatch
):
    here, ours = tmp_path / "here", tmp_path / "shipped"
    for folder in (here / "pantry", here / "cellar", ours / "pantry"):
        folder.mkdir(parents=True)
    (ours / "pantry" / "config.json").write_text("{}")
    monkeypatch.setattr(pretrained, "FOLDER", ours)
    monkeypatch.chdir(here)
    assert pretrained.resolve("pantry") == ours / "pantry"
    assert str(pretrained.resolve("cellar")) == "cellar" and str(pretrained.resolve("..")) == ".."
    (here / "pantry" / "config.json").write_text("{}")
    assert str(pretrained.resolve("pantry")) == "pantry"


def test_the_simulated_cameras_take_pictures_of_the_size_that_the_checkpoint_knows(tmp_path):
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_text("")
    RIG.save(tmp_path / "rig.yaml")
    assert Rig.load(stack.settings(checkpoint=str(tmp_path))["rig"]) == RIG
    with pytest.raises(stack.SettingError, match="cameras.static.width"):
        stack.settings(checkpoint=str(tmp_path), robot="kinova_gen2")


# The whole


@pytest.mark.slow
def test_a_trial_over_the_real_topics_leaves_a_score_and_a_video(tmp_path, running):
    words = (
        "--checkpoint",
        "untrained",
        "--evaluate",
        "open_drawer",
        "--trials",
        "1",
        "--seed",
        "3000000",
        "--out",
        tmp_path,
    )
    up = running(Program("-m", "gr1_core", "up", *words))
    assert up.wait() == 0, up.said
    document = json.loads(up.said.splitlines()[-1])
    assert document["tasks"]["open_drawer"]["episodes"] == 1 and document["seed"] == 3_000_000
    assert "0 of 1 trial succeeded" in up.said and (tmp_path / session.RECORDING).is_file()
    with av.open(str(tmp_path / "video.mp4")) as made:
        assert sum(1 for _ in made.decode(video=0)) > 100


@pytest.mark.slow
def test_on_a_terminal_an_instruction_is_typed_and_ctrl_c_leaves_the_video_and_a_summary(tmp_path):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(
            sys.executable,
            [sys.executable, "-m", "gr1_core", "up", "--evaluate", "tasks", "--out", str(tmp_path)],
        )
    said, ended, code = bytearray(), threading.Event(), None

    def read():
        while not ended.is_set():
            try:
                said.extend(os.read(terminal, 65536))
            except OSError:  # the terminal's other side has been closed
                ended.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        eventually(lambda: b"of 20 s" in said, "a trial", 90)
        os.write(terminal, b"shut the drawer\n")
        eventually(
            lambda: b"shut the drawer" in said[said.rfind(b"setting up the table") :],
            "the typed instruction",
            60,
        )
        os.write(terminal, b"\x03")
        eventually(ended.is_set, "the end", 120)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert code == 0 and b"Traceback" not in said
    assert (tmp_path / "video.mp4").stat().st_size > 0
