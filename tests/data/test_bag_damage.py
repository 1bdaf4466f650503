"""A few of the random damages that `scripts/damage_bags.py` makes by the hundred (docs/results/log.md)."""

import sys
from pathlib import Path

from gr1_core.data.bag import Bag
from gr1_core.data.bag_writer import BagWriter
from tests.data.bag_fixture import demonstration

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import damage_bags  # noqa: E402


def test_a_damage_costs_at_most_the_chunk_that_was_hit_and_is_always_named(tmp_path):
    source = Bag(demonstration(steps=8).save(tmp_path / "source"))
    labels = {name: source.labels[name] for name in ("instruction", "operator", "rig")}
    with BagWriter(tmp_path / "bag", source.topics, labels, chunk_size=16_000) as writer:
        for message in source.messages():
            writer.write_message(message.topic, message.data, message.log_time, message.publish_time)
        writer.close({"outcome": "success"})
    figures = damage_bags.damage(tmp_path / "bag", flips=25, cuts=15, mutations=40, seed=5)
    for name, found in figures.items():
        assert found["failures"] == [], name
    assert figures["flips"]["chunks"] > 3 and figures["flips"]["lost_most"] < figures["flips"]["messages"]
