"""`gr1 convert lerobot A B --out C`: several datasets become one, and what does not belong together is
refused.
"""

import json
import shutil

import numpy as np
import pytest

from gr1_core import cli
from gr1_core.data.convert import conversion
from gr1_core.data.convert.sources.joined import JoinedSource
from gr1_core.data.convert.sources.lerobot import LeRobotSource
from gr1_core.data.convert.sources.source import SourceError
from gr1_core.data.dataset import Dataset
from gr1_core.rig import RigError

from . import lerobot_fixture
from .lerobot_fixture import FPS, write_mapping


@pytest.fixture(scope="module")
def monday(tmp_path_factory):
    """Three demonstrations of this package's names."""
    work = tmp_path_factory.mktemp("days")
    lerobot_fixture.rig(FPS).save(work / "rig.yaml")
    source = LeRobotSource(
        lerobot_fixture.make(work / "cups"), write_mapping(work / "mapping.yaml"), str(work / "rig.yaml")
    )
    conversion.convert(source, work / "monday", workers=1, progress=False)
    return work / "monday"


@pytest.fixture
def tuesday(monday, tmp_path):
    return shutil.copytree(monday, tmp_path / "tuesday")


def test_the_episodes_of_one_follow_those_of_the_other(monday, tuesday, tmp_path):
    assert (
        cli.main(
            [
                "convert",
                "lerobot",
                str(monday),
                str(tuesday),
                "--out",
                str(tmp_path / "week"),
                "--workers",
                "1",
            ]
        )
        == 0
    )
    one, week = Dataset(monday), Dataset(tmp_path / "week")
    assert len(week.episodes) == 2 * len(one.episodes) == 6 and week.tasks == one.tasks
    for array in ("state", "action"):
        np.testing.assert_array_equal(getattr(week, array), np.concatenate([getattr(one, array)] * 2))
    frames = len(one.state)
    assert all(
        bytes(week.encoded("wrist", row + frames)) == bytes(one.encoded("wrist", row))
        for row in range(frames)
    )
    named = [
        json.loads(line) for line in (tmp_path / "week" / "meta" / "sources.jsonl").read_text().splitlines()
    ]
    assert len({row["name"] for row in named}) == 6 and {row["source"].split("/")[0] for row in named} == {
        "monday",
        "tuesday",
    }


def test_a_folder_given_twice_is_refused(monday, tuesday):
    with pytest.raises(SourceError, match="monday is given twice"):
        JoinedSource([LeRobotSource(monday), LeRobotSource(tuesday), LeRobotSource(monday)])


def test_datasets_of_another_rate_or_rig_are_refused_with_the_difference(monday, tuesday):
    path = tuesday / "meta" / "rig.yaml"
    path.write_text(path.read_text().replace("translation_scale: ", "translation_scale: 1"))
    with pytest.raises(RigError, match="tuesday does not fit .*translation_scale is 1"):
        JoinedSource([LeRobotSource(monday), LeRobotSource(tuesday)])
    path.unlink()
    lerobot_fixture.rig(FPS // 2).save(path)
    with pytest.raises(
        SourceError,
        match=f"tuesday cannot be joined with .*monday: frames per second {FPS // 2} there, {FPS} here",
    ):
        JoinedSource([LeRobotSource(monday), LeRobotSource(tuesday)])
