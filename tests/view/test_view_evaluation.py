"""Results folders in the viewer: episodes at their times, contact sheets, chains beside predicted frames."""

import json

import cv2
import numpy as np
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.eval.calvin import video
from tests.view.rrd import read

ROW = {"suite": "seen", "task": "pick_broccoli", "scene": "pick_broccoli", "seed": 7, "objects": ["broccoli"]}
SIM = {
    "suites": {"seen": {"episodes": 3, "successes": 2, "low": 0.2, "high": 0.9}},
    "policy": "demo",
    "episodes": [
        ROW | {"instruction": "lift the broccoli", "success": True, "seconds": 4.0, "failure": ""},
        ROW | {"instruction": "raise it", "success": False, "seconds": 20.0, "failure": "missed grasp"},
        ROW | {"instruction": "up with it", "success": True, "seconds": 5.0, "failure": ""},
    ],
}


def shown(folder, tmp_path):
    assert main(["view", str(folder), "--save", str(tmp_path / "e.rrd")]) == 0
    return read(tmp_path / "e.rrd")


def test_episodes_of_the_simulated_rig_stand_at_their_times(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(SIM))
    sheet = np.full((60, 80, 3), 90, np.uint8)
    for name in ("rollouts-seen.png", "predicted.png"):
        cv2.imwrite(str(folder / name), sheet)
    entities = shown(folder, tmp_path)
    outcomes = entities["lanes/outcome"].values("StateChange:state")
    assert outcomes[:3] == [(0.0, "success"), (4.0, "missed grasp"), (24.0, "success")]
    rates = [value for _, value in entities["success_rate/all"].values("Scalars:scalars")]
    assert rates == pytest.approx([1.0, 0.5, 2 / 3])
    text = entities["instruction"].at(5.0, "TextDocument:text")
    assert "raise it" in text and "missed grasp" in text and "2 of 3" in text
    blob = entities["sheets/rollouts-seen"].at(0.0, "EncodedImage:blob")
    assert images.decode(blob).shape == sheet.shape and "sheets/predicted" in entities


def test_a_recorded_chain_shows_real_and_predicted_frames(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    document = {"chains": 2, "rates": [0.5, 0, 0, 0, 0], "mean": 0.5, "low": 0.0, "high": 1.0}
    (folder / "results.json").write_text(json.dumps(document))
    tasks = {"tasks": ["open_drawer", "turn_on_led"], "instructions": ["open it", "light on"]}
    rows = [
        {"chain": 0, "done": 1, "steps": [6, 9], "seconds": 1.0, "waiting": 0.1} | tasks,
        {"chain": 4, "done": 0, "steps": [9], "seconds": 1.0, "waiting": 0.1} | tasks,
    ]
    lines = [json.dumps({"settings": {}}), *map(json.dumps, rows)]
    (folder / "results.jsonl").write_text("\n".join(lines) + "\n")
    levels = (40, 90, 150, 210)  # static and wrist camera, and both as predicted
    tiles = [np.full((video.SIDE, video.SIDE, 3), level, np.uint8) for level in levels]
    height, width = video.LINE, 4 * video.SIDE
    frame = np.concatenate(
        [
            np.zeros((height, width, 3), np.uint8),
            np.concatenate(tiles, 1),
            np.zeros((2 * height, width, 3), np.uint8),
        ]
    )
    video.write_mp4(folder / "chain-0000.mp4", [frame] * 15, 30)
    entities = shown(folder, tmp_path)
    groups = ("cameras/static", "cameras/wrist", "predicted/static", "predicted/wrist")
    for group, level in zip(groups, levels):
        found = entities[group].values("EncodedImage:blob")
        assert len(found) == 15 and found[6][0] == pytest.approx(0.2)
        assert abs(int(images.decode(found[6][1]).mean()) - level) < 6, group
    outcomes = entities["lanes/outcome"].values("StateChange:state")
    assert [(round(at, 2), state) for at, state in outcomes] == [
        (0.0, "success"), (0.2, "failure"), (0.8, None),
    ]  # fmt: skip
    assert [value for _, value in entities["tasks_in_a_row/mean"].values("Scalars:scalars")] == [1.0, 0.5]


@pytest.mark.parametrize(
    "document, words",
    [
        ("{", "not complete JSON"),
        ("[]", "expected a JSON object"),
        ('{"a": 1}', "neither `episodes` nor `chains`"),
        ('{"suites": {}, "episodes": []}', "holds no episode"),
        ('{"suites": {}, "episodes": [{"suite": "seen"}]}', "another version"),
    ],
)
def test_results_that_cannot_be_used_are_named(tmp_path, capsys, document, words):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "results.json").write_text(document)
    assert main(["view", str(folder), "--save", str(tmp_path / "e.rrd")]) == 1
    assert words in capsys.readouterr().err
