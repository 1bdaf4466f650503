"""An evaluation on the rig: blinded order, early end, redo, resumption after any end, the report."""

import base64
import json
import os
import signal
import subprocess
import sys

import pytest

from gr1_evaluation.commands import evaluate_rig
from gr1_evaluation.rig import order, report
from gr1_evaluation.rig.judging import FAILURE_KINDS, Verdict, VerdictQueue
from gr1_evaluation.rig.records import Records
from gr1_evaluation.rig.trials import ARRANGE, RUNNING, Interrupted, RigEvaluation

from .stand_in import A, B, StandInRig, plan


def evaluate(folder, rig, verdicts=None, asked=None, seed=None):
    said = []
    records = Records(folder, asked or plan(), seed)
    decided = RigEvaluation(records, rig, verdicts or VerdictQueue(), said.append).run()
    return records, decided, said


def test_it_ends_when_it_is_decided_and_names_the_better_one_only_then(tmp_path):
    rig = StandInRig({A: 1.0, B: 0.0})
    records, decided, said = evaluate(tmp_path, rig)
    assert decided == "a" and records.counts().pairs == 7 and len(rig.loaded) == rig.stops == 14
    assert not any(name in line for line in said for name in (A, B, "strong", "weak"))
    shown = json.dumps([state for _, state, _ in rig.shown])
    assert "strong" not in shown and "weak" not in shown
    lines = (tmp_path / "results.jsonl").read_text()
    assert "strong" not in lines and "weak" not in lines
    document = report.document(records)
    assert (document["better"], document["pairs"], document["blind"]) == ("a", 7, True)
    assert document["a"]["successes"] == 7 and document["b"]["successes"] == 0
    assert "A is better after 7 pairs" in report.table(records)


def test_equal_ones_take_all_pairs_and_both_see_the_same_layouts(tmp_path):
    rig = StandInRig({A: 1.0, B: 1.0})
    records, decided, _ = evaluate(tmp_path, rig, asked=plan(trials=5, tasks=("open_drawer", "x")))
    assert decided == "" and len(rig.loaded) == 10
    assert rig.arranged[0::2] == rig.arranged[1::2]
    assert [task for task, _, _ in rig.arranged[::2]] == [
        "open_drawer",
        "x",
        "open_drawer",
        "x",
        "open_drawer",
    ]
    assert [seed for _, seed, _ in rig.arranged[::2]] == [1000, 1000, 1001, 1001, 1002]
    assert "not decided after 5 pairs" in report.table(records)


def test_the_order_is_sealed_balanced_and_bound_to_the_results(tmp_path):
    records = Records(tmp_path, plan(trials=40), seed=3)
    firsts = records.order.first
    assert all(sum(firsts[block : block + 4]) == 2 for block in range(0, 40, 4))
    assert {records.order.checkpoint(0, 0), records.order.checkpoint(0, 1)} == {0, 1}
    text = (tmp_path / order.FILE).read_text()
    assert (
        "first" not in text
        and records.order.sha256 == json.loads((tmp_path / "plan.json").read_text())["order_sha256"]
    )
    assert Records(tmp_path, plan(trials=40)).order == records.order
    assert (
        Records(tmp_path / "other", plan(trials=40)).order.first
        != Records(tmp_path / "third", plan(trials=40)).order.first
    )
    _, _, _ = evaluate(tmp_path / "run", StandInRig({A: 1.0, B: 0.0}))
    content = json.dumps({"seed": 1, "first": [0] * 20, "salt": ""})
    (tmp_path / "run" / order.FILE).write_text(base64.b64encode(content.encode()).decode() + "\n")
    with pytest.raises(ValueError, match="belongs to another order"):
        Records(tmp_path / "run", plan())


def test_a_person_judges_with_the_first_start_scene_over_the_second_layout(tmp_path):
    verdicts = VerdictQueue()
    rig = StandInRig({A: 1.0, B: 0.0}, verdicts)
    rig.answers = [
        Verdict("redo", by="desk"),
        Verdict("success", by="desk"),
        Verdict("failure", "unsafe", "desk"),
    ]
    records, _, said = evaluate(tmp_path, rig, verdicts, plan(trials=1))
    assert [one.outcome for one in records.results] == ["redo", "success", "failure"]
    assert records.results[2].kind == "unsafe" and records.results[2].calls == ("static camera differs",)
    assert rig.loaded[0] == rig.loaded[1] != rig.loaded[2]  # the redone trial is that of the same checkpoint
    assert rig.homed == 1 + 3
    overlays = [overlay for phase, _, overlay in rig.shown if phase == ARRANGE]
    assert overlays[0] is None and overlays[-1] == tmp_path / "trial_001_1.jpg"
    assert all(state["pair"] == 1 for phase, state, _ in rig.shown if phase == RUNNING)


def test_after_the_time_a_person_is_asked(tmp_path):
    verdicts = VerdictQueue()
    rig = StandInRig({A: 1.0, B: 1.0}, verdicts)
    rig.late = True
    records, _, said = evaluate(tmp_path, rig, verdicts, plan(trials=1, seconds=0.3))
    assert len(records.judged()) == 2 and any("time is over" in line for line in said)
    assert rig.stops == 2


def test_the_same_command_goes_on_after_an_interruption(tmp_path):
    rig = StandInRig({A: 1.0, B: 0.0})
    records = Records(tmp_path, plan())
    evaluation = RigEvaluation(records, rig, VerdictQueue(), lambda text: None)
    rig.judgement, judge, seen = None, rig.judgement, []

    def interrupted():
        seen.append(1)
        if len(seen) == 4:
            evaluation.end()
            return None
        return judge()

    rig.judgement = interrupted
    with pytest.raises(Interrupted):
        evaluation.run()
    assert not rig.active and len(records.judged()) == 3
    again = StandInRig({A: 1.0, B: 0.0})
    records, decided, _ = evaluate(tmp_path, again)
    assert decided == "a" and len(again.loaded) == 14 - 3


KILLED = """
import os, signal, sys
from pathlib import Path
from gr1_evaluation.rig.judging import VerdictQueue
from gr1_evaluation.rig.records import Records
from gr1_evaluation.rig.trials import RigEvaluation
from tests.evaluation_rig.stand_in import A, B, StandInRig, plan
rig = StandInRig({A: 1.0, B: 0.0})
judge = rig.judgement
def judgement():
    if len(rig.loaded) == 6:
        with open(Path(sys.argv[1]) / "results.jsonl", "a") as file:
            file.write('{"pair": 2, "posi')
        os.kill(os.getpid(), signal.SIGKILL)
    return judge()
rig.judgement = judgement
RigEvaluation(Records(Path(sys.argv[1]), plan()), rig, VerdictQueue(), print).run()
"""


def test_a_process_that_is_killed_while_it_writes_costs_the_running_trial_alone(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=os.getcwd(), check=False)
    assert ended.returncode == -signal.SIGKILL
    again = StandInRig({A: 1.0, B: 0.0})
    records, decided, _ = evaluate(tmp_path, again)
    assert decided == "a" and len(again.loaded) == 14 - 5


def test_another_plan_needs_another_folder_and_damage_is_named(tmp_path):
    Records(tmp_path, plan())
    with pytest.raises(ValueError, match="holds an evaluation with trials 20, not 30"):
        Records(tmp_path, plan(trials=30))
    (tmp_path / "results.jsonl").write_text("nonsense\n")
    with pytest.raises(ValueError, match=r"results.jsonl, line 1 is damaged"):
        Records(tmp_path, plan())
    (tmp_path / "order.sealed").write_text("nonsense\n")
    with pytest.raises(ValueError, match="order.sealed is damaged"):
        Records(tmp_path, plan())


def test_who_opens_the_order_before_the_end_is_noted(tmp_path):
    records = Records(tmp_path, plan(trials=2))
    records.reveal()
    records, _, _ = evaluate(tmp_path, StandInRig({A: 1.0, B: 0.0}), asked=plan(trials=2))
    assert not report.document(records)["blind"] and "NOT blind" in report.table(records)


def test_the_page_has_both_videos_of_each_pair_side_by_side(tmp_path):
    records, _, _ = evaluate(tmp_path, StandInRig({A: 1.0, B: 0.0}))
    page = report.write_page(records).read_text()
    assert page.count("<video") == 14 and records.order.sha256 in page and "A is better" in page
    row = page.split("<tr><th>1<br>")[1].split("</tr>")[0]
    position = records.order.first[0]
    assert row.index(f"trial_001_{position + 1}.mp4") < row.index(f"trial_001_{2 - position}.mp4")
    assert 'class="success"' in row.split("</td>")[0] and 'class="failure"' in row.split("</td>")[1]


@pytest.mark.parametrize(
    "text, what, kind",
    [
        ("s", "success", ""),
        ("", "start", ""),
        ("f", "failure", "other"),
        ("f 2", "failure", FAILURE_KINDS[1]),
        ("failure:dropped", "failure", "dropped"),
        ("failure: missed grasp", "failure", "missed grasp"),
        ("r", "redo", ""),
    ],
)
def test_verdicts_in_words_and_keys(text, what, kind):
    verdict = Verdict.parse(text, "terminal")
    assert (verdict.what, verdict.kind) == (what, kind)


@pytest.mark.parametrize("text", ["x", "s dropped", "f 99", "failure:explosion"])
def test_what_is_no_verdict_is_named(text):
    with pytest.raises(ValueError, match="'"):
        Verdict.parse(text)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--checkpoints", "demo"], "give two, separated by a comma"),
        (["--checkpoints", "demo,demo"], "both have the same weights"),
        (["--checkpoints", "demo,nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_named_before_anything_runs(tmp_path, words, said):
    with pytest.raises(ValueError, match=said):
        evaluate_rig.main([*words, "--tasks", "open_drawer", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
