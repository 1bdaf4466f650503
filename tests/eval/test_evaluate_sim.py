"""`gr1 evaluate sim`: observations and timing equal those of the stack; interrupts and errors keep the
results so far.
"""

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
from gr1_core.eval import table
from gr1_core.eval import trials as trial_pool
from gr1_core.eval.environment import (
    Environment,
    Outcome,
    SimulationError,
    TrialSettings,
    require_simulated_rig,
)
from gr1_core.model import checkpoint
from gr1_core.policy import PolicyError
from gr1_core.rig import ROLES
from gr1_core.sim import Expert, Renderer
from gr1_core.sim.state import StateView
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


def synthetic_outcomes(suite="seen", count=4, success=lambda number: True):
    return [
        Outcome(trial, success(number), 4.0 + number, "" if success(number) else "missed grasp", False, ())
        for number, trial in enumerate(trials(suite, count))
    ]


class ExpertPolicy:
    """In the place of the policy: answers each observation with the expert's action."""

    def __init__(self, trial):
        self.expert, self.seen, self.instructions = Expert(trial.task, RIG.control_hz, trial.objects), [], []

    def begin(self, instruction, part):
        self.instructions.append(instruction)

    def act(self, observation):
        state = self.environment.twin.state()
        self.seen.append((state, observation))
        command = self.expert.act(state)
        return RIG.delta(command.linear, command.angular, observation["arm"]), 1.0 - 2.0 * command.closure


@pytest.fixture(scope="module")
def remote_trial():
    """A trial played by the expert over the connection: (trial, outcome, its observations, outcome of the
    expert without connection).
    """
    trial = trials("seen", 3)[0]
    policy = ExpertPolicy(trial)
    remote = policy.environment = Environment(TrialSettings(RIG, 10.0, 3, expert=False))
    outcome = remote.run(trial, policy)
    remote.close()
    assert policy.instructions == [trial.instruction]
    alone = Environment(TrialSettings(RIG, 10.0, 0, expert=True)).run(trial)
    return trial, outcome, policy.seen, alone


def test_actions_over_the_connection_move_the_arm_as_the_experts_own_do(remote_trial):
    _, outcome, seen, alone = remote_trial
    assert outcome.success and alone.success and not outcome.failure
    assert outcome.seconds == pytest.approx(alone.seconds, abs=0.11)
    assert len(seen) * RIG.period == pytest.approx(outcome.seconds)


def test_a_policy_gets_the_observations_that_the_policy_node_gives_it(remote_trial):
    trial, _, seen, _ = remote_trial
    state, shown = seen[12]
    view = StateView(state)
    vector = RIG.state_vector(view.measured[:3], view.measured[3:], view.closure_target)
    np.testing.assert_array_equal(shown["arm"], vector[:6].astype(np.float64))
    assert shown["gripper"] == vector[6] == 1.0
    for role in ROLES:
        camera = RIG.cameras[role]
        with Renderer(role, camera.width, camera.height) as renderer:
            np.testing.assert_array_equal(shown[role], renderer.render(state))
    signs = [observation["gripper"] for _, observation in seen]
    closed = signs.index(-1.0)
    commanded = next(index for index, (past, _) in enumerate(seen) if StateView(past).closure_target > 0.5)
    assert closed == commanded, "the state's gripper is the current command, not the last one that was sent"


def test_frames_of_an_episode_are_kept_from_its_beginning_to_its_end(remote_trial):
    _, outcome, seen, alone = remote_trial
    first, _, last = (
        cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for frame in outcome.frames
    )
    assert np.abs(first.astype(int) - seen[0][1]["static"]).mean() < 2
    assert np.abs(last.astype(int) - seen[-1][1]["static"]).mean() < 2
    assert np.abs(first.astype(int) - last).mean() > 3 and alone.frames == ()


@pytest.mark.slow
def test_the_command_prints_tables_and_one_json_document_and_draws_sheets(folder, tmp_path, capsys):
    arguments = [
        "--suites",
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
    assert {"suites", "tasks", "hz", "seed", "prediction"} <= set(document) and document["hz"] == 10.0
    for suite in ("seen", "drawer"):
        row = document["suites"][suite]
        assert row["episodes"] == 2 and 0 <= row["low"] <= row["successes"] / 2 <= row["high"] <= 1
        assert sum(row["failures"].values()) == 2 - row["successes"]
        assert suite in printed
    for role in ROLES:
        figures = document["prediction"][role]
        assert figures["frames"] == 4 * 4, "steps 0, 5, 10 and 15 of 20 in each of four episodes"
        assert 0 < figures["moving"]["copy"]["grey_levels"] and 0 < figures["all"]["model"]["grey_levels"]
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(row["suite"], row["task"]) for row in saved["episodes"]] == [
        ("seen", "pick_eggplant"), ("seen", "put_eggplant_on_plate"),
        ("drawer", "close_drawer"), ("drawer", "open_drawer"),
    ]  # fmt: skip
    assert all(
        {"seed", "instruction", "success", "seconds", "failure"} <= set(row) for row in saved["episodes"]
    )
    for name in ("rollouts-seen", "rollouts-drawer", "predicted"):
        assert cv2.imread(str(tmp_path / "out" / f"{name}.png")).std() > 10
    assert not multiprocessing.active_children()


def test_a_swap_succeeds_with_the_named_task_and_counts_the_unnamed_one():
    trial = trials("swap", 1)[0]
    settings = TrialSettings(RIG, 8.0, 0, expert=True)
    outcome = Environment(settings).run(trial)
    assert outcome.success and not outcome.unnamed
    ignoring = dataclasses.replace(trial, task="open_drawer", scene="pick_eggplant")
    policy = ExpertPolicy(dataclasses.replace(trial, task="pick_eggplant"))
    remote = policy.environment = Environment(dataclasses.replace(settings, expert=False, seconds=7.0))
    outcome = remote.run(ignoring, policy)
    remote.close()
    assert not outcome.success and outcome.unnamed and outcome.failure == "wrong object"


@pytest.mark.slow
def test_a_dead_worker_ends_the_evaluation_with_its_trial_named_and_ends_the_others():
    running = trial_pool.run_trials(trials("drawer", 20), TrialSettings(RIG, 10.0, 0, expert=True), None, 2)
    assert next(running).success
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(
        SimulationError,
        match=r"played (open|close)_drawer with seed 10000\d\d ended with code -9: .* --workers",
    ):
        list(running)
    assert not multiprocessing.active_children()


def test_outcomes_before_an_interrupt_are_printed_and_saved(monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        yield from synthetic_outcomes(count=3, success=lambda number: number > 0)
        raise KeyboardInterrupt

    monkeypatch.setattr(trial_pool, "run_trials", interrupted)
    assert (
        main(["evaluate", "sim", "--expert", "--suites", "seen", "--episodes", "9", "--out", str(tmp_path)])
        == 130
    )
    printed = capsys.readouterr().out
    document = json.loads(printed.splitlines()[-1])
    assert document["suites"]["seen"]["episodes"] == 3 and document["suites"]["seen"]["successes"] == 2
    assert document["interrupted"] == "3 of 9 episodes" and "INTERRUPTED after 3 of 9 episodes" in printed
    assert len(json.loads((tmp_path / "results.json").read_text())["episodes"]) == 3


@pytest.mark.parametrize(
    "error", [SimulationError("ended with code -9"), PolicyError("the action is not finite")]
)
def test_outcomes_before_an_error_are_printed_and_saved_and_the_error_named(
    error, monkeypatch, tmp_path, capsys
):
    def breaks(*_):
        yield from synthetic_outcomes(count=3)
        raise error

    monkeypatch.setattr(trial_pool, "run_trials", breaks)
    assert (
        main(["evaluate", "sim", "--expert", "--suites", "seen", "--episodes", "9", "--out", str(tmp_path)])
        == 1
    )
    printed, stderr = capsys.readouterr()
    document = json.loads(printed.splitlines()[-1])
    assert document["suites"]["seen"]["successes"] == 3 and document["interrupted"] == "3 of 9 episodes"
    assert len(json.loads((tmp_path / "results.json").read_text())["episodes"]) == 3
    assert stderr == f"gr1: {error}\n"


def test_an_error_before_the_first_outcome_is_printed_alone(monkeypatch, tmp_path, capsys):
    def breaks(*_):
        raise SimulationError("no display")
        yield

    monkeypatch.setattr(trial_pool, "run_trials", breaks)
    assert main(["evaluate", "sim", "--expert", "--suites", "seen", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr() == ("", "gr1: no display\n") and not list(tmp_path.iterdir())


def test_pick_put_and_take_have_separate_sums_and_chance_is_stated(capsys):
    outcomes = synthetic_outcomes("categories", 18, lambda number: number < 9)
    table.print_tables(Console(width=140), table.document(outcomes), "synthetic")
    rows = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    for kind in ("pick", "put", "take"):
        assert [f"{kind},", "all", "3", "/", "6"] in rows
    assert any(row[:4] == ["categories:", "chance", "is", "one"] for row in rows)


def test_intervals_are_wilson_intervals():
    row = table.document(synthetic_outcomes(count=100, success=lambda number: number < 79))["suites"]["seen"]
    assert (row["low"], row["high"]) == pytest.approx((0.7003, 0.8583), abs=1e-3)
    assert row["failures"] == {"missed grasp": 21}
    none = table.rate([False] * 100)
    assert none["low"] == 0.0 and none["high"] == pytest.approx(0.0370, abs=1e-3)


def test_the_unnamed_task_has_its_own_interval():
    outcomes = [
        dataclasses.replace(one, unnamed=number == 0)
        for number, one in enumerate(synthetic_outcomes("swap", 10))
    ]
    row = table.document(outcomes)["suites"]["swap"]
    assert (row["successes"], row["unnamed"]["successes"]) == (10, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "/nowhere"], "no checkpoint '/nowhere'"),
        (["--expert", "--suites", "seen,drawers"], "unknown suite 'drawers', did you mean 'drawer'"),
        (["--expert", "--tasks", "open_drawr"], "unknown task 'open_drawr', did you mean 'open_drawer'"),
        (["--expert", "--tasks", ""], "'': a name is empty"),
        (
            ["--expert", "--suites", "seen", "--tasks", "open_drawer"],
            "suite 'seen' has none of the tasks open_drawer: leave",
        ),
        (["--expert", "--seed", "7"], "seed 7 belongs to the demonstrations"),
        (["--expert", "--out", "/proc/nothing"], "--out /proc/nothing cannot be made"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message, capsys):
    assert main(["evaluate", "sim", *arguments]) == (1 if "--out" in arguments else 2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "what"), [("kinova_gen3", "reference"), ("calvin", "does not hold the twin's home")]
)
def test_a_rig_of_another_arm_is_refused(name, what):
    with pytest.raises(SimulationError, match=f"rig '{name}' is not the simulated arm's.*{what}"):
        require_simulated_rig(Rig.load(name))
    for fits in ("kinova_gen2", "kinova_gen2_small"):
        require_simulated_rig(Rig.load(fits))
