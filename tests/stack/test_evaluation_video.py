"""The video of an evaluation: what is recorded for it, and what is drawn from the recording."""

import json

import av
import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.sim import Twin
from gr1_evaluation import evaluation, evaluation_video, session
from gr1_evaluation.rollout_recording import Recording

RIG = Rig.load("kinova_gen2_small")


@pytest.fixture
def recorded():
    """Two trials of six states each, the first a success."""
    made = Recording(0.1, 0.3)
    twin = Twin()
    for number, success in enumerate((True, False)):
        twin.reset("open_drawer", number)
        made.add_state(99.0, twin.state())  # between trials: not of any
        made.begin("open the drawer", "open_drawer")
        for step in range(12):
            stamp = 100.0 + 10 * number + 0.05 * step
            made.add_state(stamp, twin.state())
            made.add_predicted("static", stamp, np.full((96, 96, 3), 10 * step, np.uint8))
        made.end(success)
    return made


def test_the_recording_keeps_a_state_a_period_and_finds_what_was_expected_of_a_moment(recorded, tmp_path):
    recorded.save(tmp_path / "recording.npz")
    for made in (recorded, Recording.load(tmp_path / "recording.npz")):
        assert [number for _, number, _ in made.states] == [0] * 6 + [1] * 6
        assert np.diff([stamp for stamp, number, _ in made.states if number == 0]) == pytest.approx([0.1] * 5)
        assert made.predicted_for("static", 100.30).mean() == pytest.approx(0, abs=2)
        assert made.predicted_for("static", 100.50).mean() == pytest.approx(40, abs=2)
        assert made.predicted_for("static", 100.0) is None and made.predicted_for("wrist", 100.5) is None
        assert [trial.success for trial in made.trials] == [True, False]


def test_the_video_shows_truth_beside_prediction_and_a_tick_or_a_cross(recorded, tmp_path):
    drawn = [image for _, image in evaluation_video.frames(recorded, RIG)]
    held = round(evaluation_video.HELD_S * 10)
    assert len(drawn) == 12 + 2 * held and drawn[0].shape == (640, 1280, 3)
    left, top = evaluation_video.OUTSIDE[0] + evaluation_video.SMALL, evaluation_video.LABEL
    predicted = [
        image[top : top + evaluation_video.SMALL, left : left + evaluation_video.SMALL].mean()
        for image in (drawn[0], drawn[5])
    ]
    assert predicted[0] > 240 and predicted[1] == pytest.approx(40, abs=3)
    sign = [
        image[evaluation_video.OUTSIDE[1] :, :64].reshape(-1, 3).astype(int)
        for image in (drawn[0], drawn[5], drawn[-1])
    ]
    reddish = [(one[:, 0] - one[:, 1]).max() for one in sign]
    greenish = [(one[:, 1] - one[:, 0]).max() for one in sign]
    assert greenish[1] > 60 > greenish[0] and reddish[2] > 60 > reddish[0] and greenish[2] < 60
    assert evaluation_video.write_video(tmp_path / "video.mp4", recorded, RIG) == len(drawn)
    with av.open(str(tmp_path / "video.mp4")) as made:
        assert sum(1 for _ in made.decode(video=0)) == len(drawn)


def test_an_interrupted_video_is_whole_as_far_as_it_goes(recorded, tmp_path):
    count = evaluation_video.write_video(
        tmp_path / "video.mp4", recorded, RIG, go_on=lambda share: share < 0.5
    )
    with av.open(str(tmp_path / "video.mp4")) as made:
        assert sum(1 for _ in made.decode(video=0)) == count > 0


@pytest.mark.parametrize(
    ("training", "note"),
    [
        (None, ""),
        ({"recipe": {"loss": {"static": 0.1, "wrist": 0.1}}}, ""),
        ({"recipe": {"loss": {"static": 0.0}}}, "untrained"),
        ({"recipe": "finetune-demo"}, ""),
        ({"recipe": {"loss": [0.0]}}, ""),
    ],
)
def test_the_video_says_so_of_frames_that_the_model_was_not_trained_to_predict(training, note, tmp_path):
    (tmp_path / "config.json").write_text('{"future_steps": 5}')
    if training:
        (tmp_path / "training.json").write_text(json.dumps(training))
    chosen = {"checkpoint": str(tmp_path), "rig": "kinova_gen2_small"}
    made = session.EvaluationSession(evaluation.parse("tasks", None, None), chosen).new_recording()
    assert (made.note, made.ahead) == (note, 0.5)
