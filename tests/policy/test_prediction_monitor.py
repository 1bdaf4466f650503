"""The prediction monitor on synthetic images: what it must notice and what it must not."""

import json
import shutil

import numpy as np
import pytest

from gr1_core import pretrained
from gr1_core.commands.arguments import Mistake
from gr1_policy import calibration
from gr1_policy.calibration_run import held_out_score, make_baseline, odd_runs
from gr1_policy.commands.calibrate import main as gr1_calibrate
from gr1_policy.prediction_monitor import SMALLEST_BASELINE, PredictionMonitor, Residual

PERIOD, AHEAD, SIZE = 0.1, 3, 112
BASELINE = {"static": SMALLEST_BASELINE, "wrist": SMALLEST_BASELINE}
BACKGROUND = (
    np.random.default_rng(1)
    .integers(90, 160, (SIZE // 8, SIZE // 8, 3))
    .repeat(8, 0)
    .repeat(8, 1)
    .astype(np.uint8)
)


def scene(step, patch=(80, 20), speed=1.0):
    """A dark arm that moves to the right, and an object on the table."""
    image = BACKGROUND.copy()
    x = int(10 + 2 * speed * step)
    image[:40, x : x + 14] = 20
    image[patch[0] : patch[0] + 12, patch[1] : patch[1] + 12] = (230, 30, 30)
    return image


def blurred(image):
    """What a small model would predict of it."""
    return (
        image.reshape(SIZE // 16, 16, SIZE // 16, 16, 3)
        .mean((1, 3))
        .astype(np.uint8)
        .repeat(16, 0)
        .repeat(16, 1)
    )


def run(monitor, seen, imagined, steps):
    """Shows `steps` steps of both functions of the step's number; returns what `see` said at each."""
    said = []
    for step in range(steps):
        views = {name: seen(step) for name in ("static", "wrist")}
        said.append(monitor.add_frames(step * PERIOD, views))
        future = imagined(step + AHEAD)
        monitor.add_prediction(step * PERIOD, {name: future for name in views})
    return said


@pytest.fixture
def monitor():
    return PredictionMonitor(AHEAD, PERIOD, BASELINE, limit=1.5)


@pytest.mark.parametrize(
    "imagined", [scene, lambda step: blurred(scene(step))], ids=["well predicted", "blurred"]
)
def test_an_arm_that_moves_is_as_predicted(monitor, imagined):
    assert not any(run(monitor, scene, imagined, 30))
    assert monitor.values()["compared"] == 24


DISTURBANCES = {
    "covered": lambda step: np.zeros((SIZE, SIZE, 3), np.uint8),
    "bumped": lambda step: np.roll(scene(step), 6, 1),
    "a patch moved": lambda step: scene(step, (80, 60)),
}


@pytest.mark.parametrize("after", DISTURBANCES.values(), ids=DISTURBANCES)
def test_a_disturbance_is_noticed_within_three_steps(monitor, after):
    said = run(
        monitor,
        lambda step: after(step) if step >= 12 else scene(step),
        lambda step: blurred(scene(step)),
        20,
    )
    assert not any(said[:12]) and any(said[12:15])
    first = next(filter(None, said))
    assert "camera: the image differs from the prediction (score " in first and "limit 1.5)" in first


def test_the_camera_that_was_disturbed_is_named(monitor):
    for step in range(16):
        views = {
            "static": scene(step),
            "wrist": scene(step) if step < 12 else np.zeros((SIZE, SIZE, 3), np.uint8),
        }
        said = monitor.add_frames(step * PERIOD, views)
        monitor.add_prediction(step * PERIOD, {name: scene(step + AHEAD) for name in views})
        if said:
            break
    assert said.startswith("wrist camera: ")
    assert (
        monitor.values()["score_wrist"] > 1.5 > monitor.values()["score_static"]
        and monitor.values()["worst"] > 1.5
    )


def test_the_evidence_is_what_was_predicted_beside_what_came_and_where_they_differ(monitor):
    moved = (80, 60)
    run(monitor, lambda step: scene(step, moved if step >= 12 else (80, 20)), scene, 16)
    found = monitor.evidence
    assert found.score > 1.5 and found.real.shape == found.predicted.shape
    row, column = (SIZE / 28 * (place + 0.5) for place in found.cell)
    near = [(row, column), (row, column)]
    places = [(86, 26), (86, 66)]
    assert min(np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in zip(near, places)) < 12
    assert tuple(found.real[86, 66]) == (230, 30, 30) and tuple(found.predicted[86, 66]) != (230, 30, 30)


def test_a_patch_that_the_model_says_will_move_is_as_predicted(monitor):
    """Quick motion that begins at step 12, exactly as predicted."""

    def motion(step):
        return scene(step, (80, 20 + 8 * max(0, step - 11)))

    assert not any(run(monitor, motion, motion, 20))


def test_without_a_limit_or_a_calibration_it_only_reports():
    for monitor in (
        PredictionMonitor(AHEAD, PERIOD, BASELINE, limit=0.0),
        PredictionMonitor(AHEAD, PERIOD, None, limit=1.5),
    ):
        assert not any(
            run(monitor, lambda step: scene(step) if step < 12 else np.zeros_like(BACKGROUND), scene, 15)
        )
        assert monitor.values()["static_whole"] > 50
    assert monitor.values()["score_static"] == "none" and "not calibrated" in monitor.summary()


def test_a_new_history_is_not_compared_with_the_old_one(monitor):
    run(monitor, scene, scene, 12)
    monitor.reset()
    assert not any(run(monitor, lambda step: 255 - scene(step), lambda step: 255 - scene(step), 12))


def test_steps_without_a_prediction_are_not_compared_and_counted(monitor):
    for step in range(40):
        assert not monitor.add_frames(
            step * PERIOD, {"static": BACKGROUND if step % 2 else 255 - BACKGROUND, "wrist": BACKGROUND}
        )
    assert monitor.values()["compared"] == 0 and monitor.blind()
    assert monitor.summary().startswith("cannot stop the arm: only 0 of the last 30 steps could be compared")


def test_histories_that_are_too_short_to_compare_cannot_stop_the_arm(monitor):
    for _ in range(8):
        run(monitor, scene, scene, 2 * AHEAD)
        monitor.reset()
    assert monitor.blind() and "cannot stop the arm" in monitor.summary()
    run(monitor, scene, scene, 30)
    assert not monitor.blind() and monitor.summary() == "calls the operator above 1.5"


def test_the_calibration_belongs_to_the_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert calibration.load(tmp_path) is None
    baseline = {"static": Residual(1.5, 20.0), "wrist": Residual(3.0, 90.0)}
    calibration.save(tmp_path, baseline, 1.5, {"a": baseline, "b": baseline})
    found = calibration.load(tmp_path)
    assert found.baseline == baseline
    assert [found.resolve(asked) for asked in (-1.0, 0.0, 2.5)] == [1.5, 0.0, 2.5]
    assert json.loads((tmp_path / "prediction.json").read_text())["recommended_limit"] == 1.5
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert calibration.load(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"baseline": {"static": {}}}', '{"weights": "x", "baseline": {"static": 3}}']
)
def test_a_damaged_calibration_is_named(tmp_path, text):
    (tmp_path / "prediction.json").write_text(text)
    with pytest.raises(ValueError, match="prediction.json is damaged .*calibrate"):
        calibration.load(tmp_path)


def test_the_baseline_is_the_largest_of_each_figure_and_odd_recordings_are_named():
    smallest = SMALLEST_BASELINE
    alike = {str(n): {"static": Residual(2.0, 40.0), "wrist": Residual(0.2, 3.0)} for n in range(4)}
    assert make_baseline(list(alike.values())) == {"static": Residual(2.0, 40.0), "wrist": smallest}
    odd = alike | {"odd": {"static": Residual(5.0, 30.0), "wrist": Residual(0.2, 30.0)}}
    baseline = make_baseline(list(odd.values()))
    assert baseline == {"static": Residual(5.0, 40.0), "wrist": Residual(smallest.whole, 30.0)}
    assert held_out_score(list(alike.values())) == 1.0 and held_out_score(list(odd.values())) == 2.5
    assert not odd_runs(alike)
    assert odd_runs(odd) == ["odd: static camera, 2.5 times the largest of all others"]


def test_it_is_calibrated_on_bags_or_in_the_twin_and_not_on_both(tmp_path):
    for given in ([], [str(tmp_path), "--twin", "3"]):
        with pytest.raises(Mistake, match="give bags, or --twin N"):
            gr1_calibrate([*given, "--checkpoint", str(tmp_path)])


@pytest.mark.slow
def test_the_twin_calibrates_a_checkpoint_while_it_acts(tmp_path, capsys):
    shutil.copytree(pretrained.resolve("demo"), tmp_path, dirs_exist_ok=True)
    assert gr1_calibrate(["--twin", "2", "--checkpoint", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert calibration.load(tmp_path).limit == printed["recommended_limit"] >= 1.5


def test_too_few_recordings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two are needed"):
        gr1_calibrate([str(tmp_path), "--checkpoint", str(tmp_path)])
