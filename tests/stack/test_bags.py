"""The summary of `gr1 up --record`: the bags of this run, their outcomes, their losses, the next command."""

import json

import pytest

from gr1_bringup.bag_summary import BagSummary
from gr1_core import Rig
from gr1_core.data.bag_writer import BagWriter


@pytest.fixture
def record(tmp_path):
    """record(name, outcome, lost, gaps) writes a bag into tmp_path / "demos"."""
    Rig.load("kinova_gen2").save(tmp_path / "rig.yaml")
    labels = {"instruction": "open the drawer", "rig": (tmp_path / "rig.yaml").read_text()}

    def make(name, outcome="success", lost=0, gaps=0):
        with BagWriter(
            tmp_path / "demos" / name, {"/arm/pose": "geometry_msgs/msg/PoseStamped"}, labels
        ) as bag:
            bag.write_message("/arm/pose", b"\0\1\0\0", 1, 1)
            counts = {
                "type": "geometry_msgs/msg/PoseStamped",
                "expected": 2,
                "received": 1,
                "gaps": gaps,
                "longest_gap_ms": 0,
            }
            bag.close(
                {
                    "outcome": outcome,
                    "topics": json.dumps({"/arm/pose": counts | {"lost": lost, "dropped": 1 if lost else 0}}),
                }
            )

    return make


def test_only_the_bags_of_this_run_are_counted(record, tmp_path):
    record("before", "failure")
    bags = BagSummary(tmp_path / "demos")
    for name, outcome in (("a", "success"), ("b", "success"), ("c", "unfinished")):
        record(name, outcome)
    said = bags.summary("demos").splitlines()
    assert said == [
        "3 bags in demos: 2 success, 1 unfinished; no messages lost, no gaps",
        "next: gr1 convert bags demos --out demos_data",
    ]


def test_lost_messages_are_named_with_their_topic(record, tmp_path):
    bags = BagSummary(tmp_path / "demos")
    record("a", lost=2, gaps=1)
    record("b")
    assert "2 bags in demos: 2 success; 3 messages lost (/arm/pose 3), 1 gaps (/arm/pose 1)" in bags.summary(
        "demos"
    )


def test_a_recording_that_was_cut_off_is_named_with_what_saves_it(record, tmp_path):
    bags = BagSummary(tmp_path / "demos")
    record("a")
    (tmp_path / "demos" / "a" / "metadata.yaml").unlink()
    assert (
        bags.summary("demos")
        == "no bag was recorded in demos\ncut off: a; gr1 bags recover demos saves what is there"
    )


def test_a_run_without_a_bag_says_so(tmp_path):
    assert BagSummary(tmp_path / "demos").summary("demos") == "no bag was recorded in demos"
