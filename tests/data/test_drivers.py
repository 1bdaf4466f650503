"""The column `driver`: who drove each frame."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gr1_core.data.bag import relabel_bag
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.sources.bags import BagSource
from gr1_core.data.convert.sources.joined import JoinedSource
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.dataset import Dataset, DatasetError
from tests.data.bag_fixture import demonstration


def corrected(folder, seed=0, outcome="success", first=5, last=9):
    """A policy's episode of 20 steps in which a person drives the steps first .. last."""
    made = demonstration(seed, 20)
    for step in range(first, last + 1):
        made.twist(100 * step + 5, (0.1, 0, 0), source="teleop")
    return made.save(folder, operator="policy", outcome=outcome)


def converted(bags, out):
    convert(BagSource(bags, ("success", "failure")), out, workers=1, progress=False)
    return Dataset(out)


def test_a_take_over_is_an_operators_and_the_rest_the_policys(tmp_path):
    corrected(tmp_path / "bags/a", outcome="failure")
    data = converted(tmp_path / "bags", tmp_path / "set")
    assert data.driver.tolist() == [1] * 5 + [2] * 5 + [1] * 10
    assert data.outcomes == ["failure"]
    feature = json.loads((tmp_path / "set/meta/info.json").read_text())["features"]["driver"]
    assert feature == {"dtype": "int64", "shape": [1], "names": None}


def test_demonstrations_of_a_person_and_of_the_expert_are_the_demonstrators(tmp_path):
    demonstration(1, 20).save(tmp_path / "bags/a", operator="teleop")
    demonstration(2, 20).save(tmp_path / "bags/b", operator="expert")
    assert not converted(tmp_path / "bags", tmp_path / "set").driver.any()


def test_a_changed_label_does_not_change_who_drove(tmp_path):
    relabel_bag(corrected(tmp_path / "bags/a"), operator="Ada")
    assert converted(tmp_path / "bags", tmp_path / "set").driver.tolist().count(2) == 5


def test_joining_keeps_drivers_and_outcomes(tmp_path):
    corrected(tmp_path / "one/a", 1, "failure")
    corrected(tmp_path / "two/a", 2, "success", 0, 2)
    for name in ("one", "two"):
        converted(tmp_path / name, tmp_path / f"set_{name}")
    sources = JoinedSource([LeRobotSource(tmp_path / f"set_{name}") for name in ("one", "two")])
    convert(sources, tmp_path / "joined", workers=1, progress=False)
    data = Dataset(tmp_path / "joined")
    assert data.driver.tolist() == [1] * 5 + [2] * 5 + [1] * 10 + [2] * 3 + [1] * 17
    assert data.outcomes == ["failure", "success"]


def _rewrite(root, change):
    path = root / "data/chunk-000/file-000.parquet"
    table = change(pq.read_table(path))
    pq.write_table(table, path, compression="NONE", use_dictionary=False)


def test_a_dataset_without_the_column_is_read_and_an_unknown_driver_is_refused(tmp_path):
    corrected(tmp_path / "bags/a")
    root = tmp_path / "set"
    converted(tmp_path / "bags", root)
    info = Dataset(root).info

    def third(table):
        return table.set_column(
            table.column_names.index("driver"), "driver", pa.array(np.full(len(table), 3, np.int64))
        )

    _rewrite(root, third)
    with pytest.raises(DatasetError, match=r"driver of row 0 is 3, expected 0"):
        Dataset(root)
    _rewrite(root, lambda table: table.drop_columns("driver"))
    del info["features"]["driver"]
    (root / "meta/info.json").write_text(json.dumps(info))
    assert Dataset(root).driver is None
