"""`gr1 evaluate sim`: the same timing and numbers as everywhere else, and what it does when something breaks."""

import dataclasses
import json
import multiprocessing
import os
import signal

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from gr1_core import GR1, GR1Config, Rig
from gr1_core.cli import main
from gr1_core.eval import table, workers
from gr1_core.eval.environment import Environment, Outcome, Play, SimulationError, require_twins
from gr1_core.model import checkpoint
from gr1_core.policy import PolicyError
from gr1_core.rig import ROLES
from gr1_core.sim import Expert, Renderer
from gr1_core.sim.state import View
from gr1_core.sim.suites import trials

RIG = Rig.load("kinova_gen2_small")
CONFIG = dataclasses.replace(
    GR1Config.small(), layers=1, width=48, heads=2, mlp_width=96, decoder_heads=2, vision_width=32
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained checkpoint."""
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("checkpoint")
    checkpoint.save(made, GR1(CONFIG).state_dict(), CONFIG, RIG)
    return made


def made_up(column="seen", count=4, success=lambda number: True):
    return [
        Outcome(trial, success(number), 4.0 + number, "" if success(number) else "missed grasp", False, ())
        for number, trial in enumerate(trials(column, count))
    ]


class ExpertBehind:
    """The connection's other end: answers each observation as a policy would that says what the expert says."""

    def __init__(self, trial):
        self.expert, self.seen = Expert(trial.task, RIG.control_hz, trial.props), []

    def send(self, observation):
        state = self.environment.twin.state()
        self.seen.append((state, observation))
        command = self.expert.act(state)
        self.answer = RIG.delta(command.linear, command.angular, observation["arm"]), command.closure

    def recv(self):
        return self.answer


@pytest.fixture(scope="module")
def asked():
    """A trial played by an expert that is asked over the connection: its outcome and what it was shown; and the expert's own outcome."""
    trial = trials("seen", 3)[0]
    connection = ExpertBehind(trial)
    remote = connection.environment = Environment(Play(RIG, 10.0, 3, expert=False), connection)
    outcome = remote.run(trial)
    remote.close()
    return trial, outcome, connection.seen, Environment(Play(RIG, 10.0, 0, expert=True), None).run(trial)


def test_actions_over_the_connection_move_the_arm_as_the_experts_own_do(asked):
    _, outcome, seen, alone = asked
    assert outcome.success and alone.success and not outcome.failure
    assert outcome.seconds == pytest.approx(alone.seconds, abs=0.11)
    assert len(seen) * RIG.period == pytest.approx(outcome.seconds)


def test_a_policy_is_shown_what_the_policy_node_shows_it(asked):
    trial, _, seen, _ = asked
    state, shown = seen[12]
    view = View(state)
    vector = RIG.state_vector(view.measured[:3], view.measured[3:], view.closure_target)
    np.testing.assert_array_equal(shown["arm"], vector[:6].astype(np.float64))
    assert shown["gripper"] == vector[6] == 1.0
    for role in ROLES:
        camera = RIG.cameras[role]
        with Renderer(role, camera.width, camera.height) as renderer:
            np.testing.assert_array_equal(shown[role], renderer.render(state))
    signs = [observation["gripper"] for _, observation in seen]
    closed = signs.index(-1.0)
    commanded = next(index for index, (past, _) in enumerate(seen) if View(past).closure_target > 0.5)
    assert closed == commanded, (
        "the state's gripper is the command that is in force, not the last one that was sent"
    )


def test_pictures_of_an_episode_are_kept_from_its_beginning_to_its_end(asked):
    _, outcome, seen, alone = asked
    first, _, last = (
        cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for picture in outcome.pictures
    )
    assert np.abs(first.astype(int) - seen[0][1]["static"]).mean() < 2
    assert np.abs(last.astype(int) - seen[-1][1]["static"]).mean() < 2
    assert np.abs(first.astype(int) - last).mean() > 3 and alone.pictures == ()


@pytest.mark.slow
def test_the_command_prints_tables_and_one_json_document_and_draws_sheets(folder, tmp_path, capsys):
    arguments = [
        "--columns",
        "seen,drawer",
        "--episodes",
        "2",
        "--seconds",
        "2",
        "--workers",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["evaluate", "sim", "--checkpoint", str(folder), *arguments]) == 0
    printed = capsys.readouterr().out
    document = json.loads(printed.splitlines()[-1])
    assert {"columns", "tasks", "hz", "seed", "prediction"} <= set(document) and document["hz"] == 10.0
    for column in ("seen", "drawer"):
        row = document["columns"][column]
        assert row["episodes"] == 2 and 0 <= row["low"] <= row["successes"] / 2 <= row["high"] <= 1
        assert sum(row["failures"].values()) == 2 - row["successes"]
        assert column in printed
    for role in ROLES:
        figures = document["prediction"][role]
        assert figures["frames"] == 4 * 4, "steps 0, 5, 10 and 15 of 20 in each of four episodes"
        assert 0 < figures["moving"]["copy"]["grey_levels"] and 0 < figures["all"]["model"]["grey_levels"]
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(row["column"], row["task"]) for row in saved["episodes"]] == [
        ("seen", "pick_eggplant"), ("seen", "put_eggplant_on_plate"), ("drawer", "close_drawer"), ("drawer", "open_drawer")
    ]  # fmt: skip
    assert all(
        {"seed", "instruction", "success", "seconds", "failure"} <= set(row) for row in saved["episodes"]
    )
    for name in ("rollouts-seen", "rollouts-drawer", "predicted"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")).std() > 10
    assert not multiprocessing.active_children()


def test_a_swap_ends_with_what_was_named_and_counts_what_was_not():
    trial = trials("swap", 1)[0]
    play = Play(RIG, 8.0, 0, expert=True)
    outcome = Environment(play, None).run(trial)
    assert outcome.success and not outcome.unnamed
    heedless = dataclasses.replace(trial, task="open_drawer", scene="pick_eggplant")
    connection = ExpertBehind(dataclasses.replace(trial, task="pick_eggplant"))
    remote = connection.environment = Environment(
        dataclasses.replace(play, expert=False, seconds=7.0), connection
    )
    outcome = remote.run(heedless)
    remote.close()
    assert not outcome.success and outcome.unnamed and outcome.failure == "wrong object"


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_evaluation_with_its_trial_and_the_others_go():
    running = workers.run(trials("drawer", 20), Play(RIG, 10.0, 0, expert=True), None, 2)
    assert next(running).success
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(
        SimulationError,
        match=r"played (open|close)_drawer with seed 10000\d\d ended with code -9: .* --workers",
    ):
        list(running)
    assert not multiprocessing.active_children()


def test_what_was_played_before_an_interruption_is_printed_and_saved(monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        yield from made_up(count=3, success=lambda number: number > 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "run", interrupted)
    assert (
        main(["evaluate", "sim", "--expert", "--columns", "seen", "--episodes", "9", "--out", str(tmp_path)])
        == 130
    )
    printed = capsys.readouterr().out
    document = json.loads(printed.splitlines()[-1])
    assert document["columns"]["seen"]["episodes"] == 3 and document["columns"]["seen"]["successes"] == 2
    assert document["interrupted"] == "3 of 9 episodes" and "INTERRUPTED after 3 of 9 episodes" in printed
    assert len(json.loads((tmp_path / "results.json").read_text())["episodes"]) == 3


@pytest.mark.parametrize(
    "error", [SimulationError("ended with code -9"), PolicyError("the action is not finite")]
)
def test_what_was_played_before_an_error_is_printed_and_saved_and_the_error_told(
    error, monkeypatch, tmp_path, capsys
):
    def breaks(*_):
        yield from made_up(count=3)
        raise error

    monkeypatch.setattr(workers, "run", breaks)
    assert (
        main(["evaluate", "sim", "--expert", "--columns", "seen", "--episodes", "9", "--out", str(tmp_path)])
        == 1
    )
    printed, told = capsys.readouterr()
    document = json.loads(printed.splitlines()[-1])
    assert document["columns"]["seen"]["successes"] == 3 and document["interrupted"] == "3 of 9 episodes"
    assert len(json.loads((tmp_path / "results.json").read_text())["episodes"]) == 3
    assert told == f"gr1: {error}\n"


def test_an_error_before_the_first_episode_ended_is_told_alone(monkeypatch, tmp_path, capsys):
    def breaks(*_):
        raise SimulationError("no display")
        yield

    monkeypatch.setattr(workers, "run", breaks)
    assert main(["evaluate", "sim", "--expert", "--columns", "seen", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr() == ("", "gr1: no display\n") and not list(tmp_path.iterdir())


def test_pick_put_and_take_are_summed_apart_and_chance_is_told(capsys):
    outcomes = made_up("categories", 18, lambda number: number < 9)
    table.show(Console(width=140), table.document(outcomes), "made up")
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    for kind in ("pick", "put", "take"):
        assert [f"{kind},", "all", "3", "/", "6"] in rows
    assert any(row[:4] == ["categories:", "chance", "is", "a"] for row in rows)


def test_intervals_are_wilsons():
    row = table.document(made_up(count=100, success=lambda number: number < 79))["columns"]["seen"]
    assert (row["low"], row["high"]) == pytest.approx((0.7003, 0.8583), abs=1e-3)
    assert row["failures"] == {"missed grasp": 21}
    none = table.share([False] * 100)
    assert none["low"] == 0.0 and none["high"] == pytest.approx(0.0370, abs=1e-3)


def test_an_unnamed_task_has_an_interval_of_its_own():
    outcomes = [
        dataclasses.replace(one, unnamed=number == 0) for number, one in enumerate(made_up("swap", 10))
    ]
    row = table.document(outcomes)["columns"]["swap"]
    assert (row["successes"], row["unnamed"]["successes"]) == (10, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "/nowhere"], "no checkpoint at /nowhere"),
        (["--expert", "--columns", "seen,drawers"], "unknown column 'drawers', did you mean 'drawer'"),
        (["--expert", "--tasks", "open_drawr"], "unknown task 'open_drawr', did you mean 'open_drawer'"),
        (["--expert", "--tasks", ""], "--tasks '': a name is empty"),
        (
            ["--expert", "--columns", "seen", "--tasks", "open_drawer"],
            "column 'seen' has none of the tasks open_drawer: leave",
        ),
        (["--expert", "--seed", "7"], "seed 7 belongs to the demonstrations"),
        (["--expert", "--out", "/proc/nothing"], "--out /proc/nothing cannot be made"),
    ],
)
def test_what_cannot_be_evaluated_is_named(arguments, said, capsys):
    assert main(["evaluate", "sim", *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what"), [("kinova_gen3", "reference"), ("calvin", "does not hold the twin's home")]
)
def test_a_rig_of_another_arm_is_refused(name, what):
    with pytest.raises(SimulationError, match=f"rig '{name}' is not the simulated arm's.*{what}"):
        require_twins(Rig.load(name))
    for fits in ("kinova_gen2", "kinova_gen2_small"):
        require_twins(Rig.load(fits))
