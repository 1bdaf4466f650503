"""Marks of a bag: what conversion takes, what it says, and that every mark can be taken back."""

from __future__ import annotations

import hashlib
import json

import pytest

from gr1_core.cli import main
from gr1_core.data.bag import Bag, BagError, relabel_bag
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.dataset import Dataset
from gr1_core.data.marks import Marks, changed_labels, exclude_bag, keep_bag, marks_of, trim_bag
from gr1_core.data.steps import StepsError, select_steps
from tests.data.bag_fixture import demonstration

STEPS = 40


def converted(bags, out):
    summary = convert(BagSource(bags), out, workers=1, progress=False)
    return Dataset(out), summary


def rows(data):
    """Every byte of the dataset's frames, states and actions, one tuple a step."""
    return [
        (
            *(bytes(data.encoded(role, row)) for role in ("static", "wrist")),
            data.state[row].tobytes(),
            data.action[row].tobytes(),
        )
        for row in range(data.length)
    ]


def content(folder):
    return hashlib.sha256(next(folder.glob("*.mcap")).read_bytes()).hexdigest()


def test_a_trimmed_bag_gives_the_bytes_of_a_hand_cut_one_and_the_recording_stays(tmp_path):
    whole = demonstration(3, STEPS)
    bag = whole.save(tmp_path / "trimmed/a")
    before = content(bag)
    # The hand-cut bag: commands of the steps 12 .. 29 only; the sensors' messages from before are needed for
    # the first step's observation.
    cut = demonstration(3, STEPS)
    cut.messages = [
        message
        for message in cut.messages
        if not message[1].startswith("/command/") or 1200 <= message[0] < 3000
    ]
    cut.save(tmp_path / "cut/a")
    trim_bag(bag, start_s=1.2, end_s=3.0)
    assert content(bag) == before
    trimmed, _ = converted(tmp_path / "trimmed", tmp_path / "out/trimmed")
    by_hand, _ = converted(tmp_path / "cut", tmp_path / "out/cut")
    assert trimmed.length == by_hand.length == 18
    assert rows(trimmed) == rows(by_hand)
    keep_bag(bag)
    everything, _ = converted(tmp_path / "trimmed", tmp_path / "out/whole")
    assert rows(everything)[12:30] == rows(trimmed) and everything.length == STEPS


def test_conversion_leaves_excluded_bags_out_and_says_why(tmp_path, capsys):
    for name in ("a", "b"):
        demonstration(ord(name), 15).save(tmp_path / "bags" / name)
    exclude_bag(tmp_path / "bags/b", "the cup fell over")
    _, summary = converted(tmp_path / "bags", tmp_path / "set")
    assert summary.episodes == 1 and summary.left_out == [("b", "excluded: the cup fell over")]
    assert "the cup fell over" in summary.report.read_text()


def test_the_dataset_names_what_a_trim_left_out(tmp_path):
    bag = demonstration(1, STEPS).save(tmp_path / "bags/a")
    trim_bag(bag, end_s=2.0)
    converted(tmp_path / "bags", tmp_path / "set")
    (line,) = (tmp_path / "set/meta/sources.jsonl").read_text().splitlines()
    info = json.loads(line)
    assert info["trimmed_steps"] == 20 and info["marks"] == "trimmed to 0.00 s .. 2.00 s"


def test_a_changed_mark_is_converted_again_though_the_parts_exist(tmp_path):
    bag = demonstration(1, STEPS).save(tmp_path / "bags/a")
    source = BagSource(tmp_path / "bags")
    convert(source, tmp_path / "set", workers=1, shard=(0, 1), progress=False)
    trim_bag(bag, start_s=2.0)
    data, _ = converted(tmp_path / "bags", tmp_path / "set")
    assert data.length == 20


def test_a_gap_outside_of_the_trim_cuts_nothing(tmp_path):
    made = demonstration(1, STEPS)
    made.messages = [
        message for message in made.messages if not ("/arm/" in message[1] and 500 < message[0] < 1500)
    ]
    bag = made.save(tmp_path / "a")
    assert select_steps(Bag(bag)).problems
    trim_bag(bag, start_s=1.6)
    chosen = select_steps(Bag(bag))
    assert len(chosen.times) == STEPS - 16 and chosen.problems == () and chosen.trimmed == 16


@pytest.mark.parametrize(
    "start, end, words", [(1.0, 0.5, "empty"), (-1.0, None, "recording has"), (0.0, 99.0, "recording has")]
)
def test_a_span_that_holds_nothing_is_refused(tmp_path, start, end, words):
    bag = demonstration(1, 15).save(tmp_path / "a")
    with pytest.raises(BagError, match=words):
        trim_bag(bag, start, end)
    assert marks_of(Bag(bag).labels) == Marks()


def test_a_trim_without_a_control_step_names_the_remedy(tmp_path):
    bag = demonstration(1, 15).save(tmp_path / "a")
    trim_bag(bag, 0.52, 0.55)
    with pytest.raises(StepsError, match="gr1 bags keep"):
        select_steps(Bag(bag))


def test_a_mark_that_is_no_time_is_named(tmp_path):
    bag = demonstration(1, 15).save(tmp_path / "a")
    path = bag / "metadata.yaml"
    path.write_text(path.read_text().replace("custom_data:", "custom_data:\n    trim_start: soon"))
    with pytest.raises(BagError, match="trim_start is 'soon'"):
        select_steps(Bag(bag))


def test_keep_with_labels_restores_what_was_recorded(tmp_path):
    bag = demonstration(1, 15).save(tmp_path / "a", instruction="lift the cup")
    relabel_bag(bag, instruction="raise the mug", outcome="failure")
    exclude_bag(bag)
    assert changed_labels(Bag(bag)) == {
        "outcome": ("success", "failure"),
        "instruction": ("lift the cup", "raise the mug"),
    }
    keep_bag(bag)
    assert Bag(bag).instruction == "raise the mug" and not Bag(bag).labels.get("excluded")
    keep_bag(bag, labels=True)
    assert (Bag(bag).instruction, Bag(bag).outcome) == ("lift the cup", "success")


def test_the_commands_mark_list_and_restore(tmp_path, capsys):
    bag = str(demonstration(1, 15).save(tmp_path / "bags/a"))
    assert main(["bags", "trim", bag, "--start", "0.5"]) == 0
    assert main(["bags", "exclude", bag, "--why", "idle"]) == 0
    capsys.readouterr()
    assert main(["bags", "marks", str(tmp_path / "bags"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["trim_start_s"], row["trim_end_s"], row["excluded"]) == (0.5, None, "idle")
    assert main(["bags", "marks", str(tmp_path / "bags")]) == 0
    assert "1 of 1 bag with marks" in capsys.readouterr().out
    assert main(["bags", "keep", bag]) == 0
    assert main(["bags", "marks", str(tmp_path / "bags")]) == 0
    assert "0 of 1 bag with marks" in capsys.readouterr().out
    assert main(["bags", "trim", bag]) == 1 and "--start" in capsys.readouterr().err
