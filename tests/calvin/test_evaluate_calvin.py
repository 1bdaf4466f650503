"""`gr1 evaluate calvin` on a stand-in of the simulator: the official protocol, resumed without repeating a
chain, refusals by name.
"""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
import yaml

from gr1_core import GR1, GR1Config, Rig
from gr1_core.calvin.chains import Chain
from gr1_core.calvin.checkout import Checkout
from gr1_core.calvin.expert import TASKS
from gr1_core.cli import main
from gr1_core.eval import workers
from gr1_core.eval.batch import BatchPolicy
from gr1_core.eval.calvin import instructions, summary
from gr1_core.eval.calvin.log import ChainResult
from gr1_core.eval.calvin.protocol import ChainJob, ChainSettings
from gr1_core.model import checkpoint
from tests.calvin.stand_in import PLAYED

CONFIG = dataclasses.replace(
    GR1Config.small(), layers=1, width=48, heads=2, mlp_width=96, decoder_heads=2, vision_width=32, window=3
)


def make_checkpoint(folder, rig):
    torch.manual_seed(0)
    checkpoint.save(folder, GR1(CONFIG).state_dict(), CONFIG, Rig.load(rig))
    return folder


@pytest.fixture(scope="module")
def policy_folder(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), "calvin")


def evaluate(capsys, *arguments):
    """Exit code, the JSON document of the last line, everything printed, stderr."""
    code = main(["evaluate", "calvin", *map(str, arguments)])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    return code, json.loads(lines[-1]) if lines else None, printed.out, printed.err


def test_the_expert_does_what_can_be_done_and_the_first_failure_ends_a_chain(calvin_root, capsys, tmp_path):
    code, document, printed, _ = evaluate(
        capsys,
        "--expert",
        "--calvin-root",
        calvin_root,
        "--chains",
        3,
        "--workers",
        2,
        "--out",
        tmp_path,
        "--videos",
        0,
    )
    assert code == 0
    assert document["chains"] == 3 and document["rates"] == [1, 1, 1, 1, 0] and document["mean"] == 4
    assert document["tasks"]["lift_red_block_table"] == {"tried": 3, "successes": 0}
    assert all(document["tasks"][task] == {"tried": 3, "successes": 3} for task in PLAYED[:4])
    assert {"low", "high", "renderer", "calvin_env", "sequences_sha256"} <= set(document)
    assert document["renderer"] == "egl" and len(document["sequences_sha256"]) == 64
    assert re.search(r"GR-1 +│ ABCD->D +│ +94.9 │ +89.6 │ +84.4 │ +78.9 │ +73.1 │ +4.21 │", printed)
    assert max(map(len, printed.split("success by task")[0].splitlines())) <= 100
    assert "4.84" not in printed and re.search(r"GR-MG .* 4.04 \*", printed)
    page = (tmp_path / "report.html").read_text()
    assert (
        "mean length <b>4.00</b>" in page and "open_drawer" in page and document["sequences_sha256"] in page
    )


def test_a_policy_that_does_nothing_does_nothing(calvin_root, capsys):
    _, document, _, _ = evaluate(
        capsys, "--nothing", "--calvin-root", calvin_root, "--chains", 2, "--workers", 1
    )
    assert document["mean"] == 0 and document["rates"] == [0] * 5 and document["policy"] == "nothing"
    assert sum(row["tried"] for row in document["tasks"].values()) == 2


def test_a_policy_is_evaluated_with_videos_of_what_it_saw_and_predicted(
    calvin_root, policy_folder, capsys, tmp_path
):
    import av

    code, document, _, _ = evaluate(
        capsys, "--checkpoint", policy_folder, "--calvin-root", calvin_root,
        "--chains", 2, "--workers", 2, "--out", tmp_path, "--videos", 1,
    )  # fmt: skip
    assert code == 0 and document["chains"] == 2 and document["rig"] == "calvin"
    assert len(document["weights"]) == 64
    with av.open(str(tmp_path / "chain-0000.mp4")) as container:
        assert container.streams.video[0].width == 4 * 240 and container.streams.video[0].frames == 360
    assert (tmp_path / "chain-0000.png").stat().st_size > 1000 and not (tmp_path / "chain-0001.mp4").exists()
    assert "chain-0000.mp4" in (tmp_path / "report.html").read_text()


def test_an_evaluation_that_was_cut_off_goes_on_with_the_same_results_and_no_chain_twice(
    calvin_root, capsys, tmp_path
):
    common = ("--expert", "--calvin-root", calvin_root, "--workers", 1, "--videos", 0)
    _, whole, _, _ = evaluate(capsys, *common, "--chains", 4, "--out", tmp_path / "whole")
    evaluate(capsys, *common, "--chains", 2, "--out", tmp_path / "cut")
    with (tmp_path / "cut/results.jsonl").open("a") as log:
        log.write('{"chain": 2, "tasks": ["turn_o')  # a line that SIGKILL cut off
    _, resumed, _, _ = evaluate(capsys, *common, "--chains", 4, "--out", tmp_path / "cut")
    assert resumed == whole
    rows = [json.loads(line) for line in (tmp_path / "cut/results.jsonl").read_text().splitlines()]
    assert [row["chain"] for row in rows[1:]] == [0, 1, 2, 3]


def test_results_of_other_settings_are_not_mixed(calvin_root, capsys, tmp_path):
    common = ("--calvin-root", calvin_root, "--chains", 1, "--workers", 1, "--out", tmp_path, "--videos", 0)
    evaluate(capsys, "--expert", *common)
    code, _, _, stderr = evaluate(capsys, "--nothing", *common)
    assert (
        code == 1
        and "holds results of other settings (policy is 'nothing', was 'expert'): choose another --out"
        in stderr
    )


def test_a_checkpoint_of_another_robot_is_refused_by_name(calvin_root, capsys, tmp_path):
    other = make_checkpoint(tmp_path, "kinova_gen2_small")
    code, document, _, stderr = evaluate(capsys, "--checkpoint", other, "--calvin-root", calvin_root)
    assert code == 1 and document is None
    assert "is for rig 'kinova_gen2_small'; CALVIN's simulator is rig 'calvin'" in stderr


def test_a_simulator_that_fails_ends_the_evaluation_with_its_chain_named(calvin_root, capsys):
    path = calvin_root / "calvin_env/calvin_env/envs/tasks.py"
    path.write_text(path.read_text().replace("moved = ", "moved = 1 / 0 or "))
    code, _, _, stderr = evaluate(
        capsys, "--expert", "--calvin-root", calvin_root, "--chains", 1, "--workers", 1
    )
    assert code == 1 and "chain 0: division by zero" in stderr


def test_a_missing_checkout_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv("CALVIN_ROOT", raising=False)
    code, _, _, stderr = evaluate(capsys, "--nothing")
    assert code == 1 and stderr.startswith("gr1: no checkout of CALVIN") and stderr.count("\n") == 1


def test_history_is_cleared_and_the_instruction_set_at_each_task_and_the_world_reset_at_a_chains_start_only(
    calvin_root, policy_folder
):
    checkout = Checkout.open(calvin_root)
    policy, begun = Recording.from_pretrained(policy_folder), []
    policy.begun = begun
    condition = {"led": 0, "drawer": "closed"}
    jobs = [ChainJob(number, condition, PLAYED[:3], ("one", "two", "three")) for number in range(2)]
    settings = ChainSettings(checkout.root, "D", "tiny", "policy")
    outcomes = list(workers.run_jobs(jobs, settings, policy, 1))
    assert [one.done for one in outcomes] == [3, 3]
    assert begun == ["one", "two", "three"] * 2
    assert policy.longest == [0] * 6


class Recording(BatchPolicy):
    """Acts as the expert of the stand-in would, and notes how long the history is when a rollout begins."""

    def start_rollout(self, rollout, instruction):
        super().start_rollout(rollout, instruction)
        self.begun.append(instruction)
        self.longest = [*getattr(self, "longest", []), len(self._rollouts[rollout].window)]
        self.task = PLAYED[["one", "two", "three"].index(instruction)]

    def act(self, observations):
        actions = super().act(observations)
        ((rollout, observation),) = observations.items()
        action = actions[rollout]
        hand, button, handle = (
            observation.arm[:3],
            np.array([-0.12, -0.12, 0.485]),
            np.array([0.18, -0.2475, 0.387]),
        )
        if "led" in self.task:
            way, logit = button - hand, 1.0
        else:
            near = np.linalg.norm(handle - hand) < 0.02 or observation.gripper < 0
            way, logit = (np.array([0, -0.02, 0]), -1.0) if near else (handle - hand, 1.0)
        step = np.clip(way / 0.02, -1, 1)
        return {rollout: dataclasses.replace(action, delta=np.append(step, np.zeros(3)), gripper_logit=logit)}


def test_unseen_instructions_are_fifty_for_each_task_without_repetition():
    texts = yaml.safe_load(instructions.UNSEEN.read_text())
    assert set(texts) == set(TASKS) and {len(lines) for lines in texts.values()} == {50}
    everything = [re.sub(r"\W+", " ", line.lower()).strip() for lines in texts.values() for line in lines]
    assert len(set(everything)) == 34 * 50


def test_each_chain_draws_its_own_instructions_the_same_ones_every_time(calvin_root):
    wording = instructions.load("unseen", Checkout.open(calvin_root))
    drawn = {instructions.chosen(Chain(number, {}, TASKS[:5]), wording) for number in range(20)}
    assert len(drawn) == 20 and drawn == {
        instructions.chosen(Chain(number, {}, TASKS[:5]), wording) for number in range(20)
    }
    assert all(text in wording[task] for texts in drawn for task, text in zip(TASKS, texts))


def test_a_file_of_instructions_must_have_every_task(calvin_root, tmp_path):
    checkout = Checkout.open(calvin_root)
    path = tmp_path / "texts.yaml"
    path.write_text(yaml.safe_dump({task: ["do it"] for task in TASKS[1:]}))
    with pytest.raises(
        instructions.InstructionsError,
        match=f"no instructions for {TASKS[0]}: each of the 34 tasks needs a list",
    ):
        instructions.load(str(path), checkout)
    with pytest.raises(instructions.InstructionsError, match="official, unseen or a YAML file"):
        instructions.load("unsen", checkout)


def test_rates_mean_and_counts_by_task():
    tasks = ("a", "b", "c", "d", "e")
    results = [
        ChainResult(number, tasks, tasks, done, (), 1.0, 0.5) for number, done in enumerate((0, 1, 3, 5))
    ]
    document = summary.document(results)
    assert document["rates"] == [0.75, 0.5, 0.5, 0.25, 0.25] and document["mean"] == 2.25
    assert document["low"] < 2.25 < document["high"]
    assert document["tasks"]["a"] == {"tried": 4, "successes": 3} and document["tasks"]["e"] == {
        "tried": 1,
        "successes": 1,
    }
    assert all(low < rate < high for rate, (low, high) in zip(document["rates"], document["intervals"]))
