"""Figures of instruction chains, and how `gr1 evaluate sim` counts and prints them."""

import numpy as np
import pytest
from rich.console import Console

from gr1_core.eval import table
from gr1_core.eval.chain_metrics import chain_rates
from gr1_core.eval.environment import Outcome
from gr1_core.sim.suites import trials


def test_rates_and_mean_are_those_of_calvin():
    row = chain_rates([5, 3, 0, 5], 5)
    assert row["chains"] == 4 and row["rates"] == [0.75, 0.75, 0.75, 0.5, 0.5] and row["mean"] == 3.25
    assert row["mean"] == pytest.approx(sum(row["rates"])), "the mean length is the sum of the rates"
    assert 0.0 <= row["low"] < row["mean"] < row["high"] <= 5.0


def test_the_interval_is_reproducible_and_narrows_with_the_number_of_chains():
    lengths = np.random.default_rng(0).integers(0, 6, 400).tolist()
    few, many = chain_rates(lengths[:40], 5), chain_rates(lengths, 5)
    assert chain_rates(lengths, 5) == many
    assert many["high"] - many["low"] < 0.5 * (few["high"] - few["low"])
    assert chain_rates([5] * 10, 5)["low"] == 5.0
    assert chain_rates([], 5)["chains"] == 0


def test_the_document_counts_instructions_and_the_table_shows_five_in_a_row():
    chains = trials("chains", 2)
    outcomes = [
        Outcome(chains[0], True, 30.0, "", False, (), completed=5),
        Outcome(chains[1], False, 30.0, "dropped", False, (), completed=2),
    ]
    document = table.document(outcomes)
    row = document["suites"]["chains"]
    assert row["rates"] == [1.0, 1.0, 0.5, 0.5, 0.5] and row["failures"] == {"dropped": 1}
    counts = document["tasks"]["chains"].values()
    assert sum(count["episodes"] for count in counts) == 8, "five, and three of which the last failed"
    assert sum(count["successes"] for count in counts) == 7
    rows = table.episode_rows(outcomes)
    assert [row["completed"] for row in rows] == [5, 2] and all(len(row["tasks"]) == 5 for row in rows)
    console = Console(record=True, width=140)
    table.print_tables(console, document | {"hz": 10.0}, "expert")
    text = console.export_text()
    assert "instructions in a row" in text and "3.50" in text and "1 dropped" in text
