"""CALVIN's official layout becomes episodes; what is damaged is named and left out."""

import os
import pickle
import shutil

import numpy as np
import pytest

from gr1_core import images
from gr1_core.cli import main
from gr1_core.data.convert.sources.calvin import CalvinSource, Span, draw_subset, load_object
from gr1_core.data.convert.sources.source import Skipped, SourceError
from gr1_core.data.dataset import Dataset

from . import calvin_fixture
from .calvin_fixture import FIRST, TASKS


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return calvin_fixture.make(tmp_path_factory.mktemp("calvin"))


@pytest.fixture
def damaged(original, tmp_path):
    """A copy for a test to damage."""
    return shutil.copytree(original, tmp_path / "task_D_D")


def read(source):
    return [item for unit in source.units() for item in source.read(unit)]


def frame(root, number, split="training"):
    return root / split / f"episode_{number:07d}.npz"


def change(path, **arrays):
    """Rewrites a frame with other arrays; None takes one out."""
    with np.load(path) as archive:
        content = dict(archive) | arrays
    np.savez_compressed(path, **{key: value for key, value in content.items() if value is not None})


def annotate(root, texts, tasks, spans):
    content = {"language": {"ann": texts, "task": tasks}, "info": {"episodes": [], "indx": spans}}
    np.save(root / "training" / "lang_annotations" / "auto_lang_ann.npy", content, allow_pickle=True)


def test_every_annotated_span_is_an_episode_with_both_its_ends(original):
    episodes = read(CalvinSource(original))
    assert [episode.info["frames"] for episode in episodes] == [
        [FIRST + 25 * i, FIRST + 25 * i + 29] for i in range(6)
    ]
    assert [episode.task for episode in episodes[:2]] == [
        TASKS["push_red_block_left"][0],
        TASKS["open_drawer"][0],
    ]
    for episode in episodes:
        first, last = episode.info["frames"]
        assert (
            len(episode.state)
            == len(episode.action)
            == len(episode.images["static"])
            == len(episode.images["wrist"])
            == 30
        )
        for step, number in ((0, first), (29, last)):
            with np.load(frame(original, number)) as expected:
                state = np.append(expected["robot_obs"][:6], expected["robot_obs"][14]).astype(np.float32)
                np.testing.assert_array_equal(episode.state[step], state)
                np.testing.assert_array_equal(
                    episode.action[step], expected["rel_actions"].astype(np.float32)
                )
                shown = images.decode(episode.images["static"][step])
                assert np.abs(shown.astype(int) - expected["rgb_static"]).mean() < 1.5
                assert images.size(episode.images["wrist"][step]) == (84, 84)


def test_png_keeps_every_pixel(original):
    episode = read(CalvinSource(original, "validation", images="png"))[0]
    with np.load(frame(original, FIRST + 7, "validation")) as expected:
        np.testing.assert_array_equal(images.decode(episode.images["static"][7]), expected["rgb_static"])
        np.testing.assert_array_equal(images.decode(episode.images["wrist"][7]), expected["rgb_gripper"])


def test_the_subset_has_the_requested_number_of_spans_per_task(original):
    chosen = [episode.info for episode in read(CalvinSource(original, per_task=2))]
    assert sorted(info["task"] for info in chosen) == ["open_drawer"] * 2 + ["push_red_block_left"] * 2
    assert chosen == sorted(chosen, key=lambda info: info["frames"])
    assert chosen == [episode.info for episode in read(CalvinSource(original, per_task=2))]


def test_the_papers_ten_per_cent_are_2244_spans():
    spans = [Span(row, 70 * row, 70 * row + 64, f"task {row % 34}", "text") for row in range(34 * 150)]
    chosen = draw_subset(spans, 66, seed=0)
    assert len(chosen) == 2244 and chosen == sorted(chosen)
    assert draw_subset(spans, 66, seed=1) != chosen
    without = draw_subset([span for span in spans if span.task != "task 3"], 66, seed=0)
    assert without == [span for span in chosen if span.task != "task 3"]


def truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


DAMAGES = {
    "truncated": (truncate, "damaged or truncated"),
    "missing": (lambda path: path.unlink(), "the frame is missing"),
    "empty": (lambda path: path.write_bytes(b""), "damaged or truncated"),
    "no gripper camera": (lambda path: change(path, rgb_gripper=None), "rgb_gripper"),
    "another size": (
        lambda path: change(path, rgb_static=np.zeros((150, 200, 3), np.uint8)),
        "rgb_static is [150, 200, 3], expected [200, 200, 3]",
    ),
    "float pixels": (
        lambda path: change(path, rgb_static=np.zeros((200, 200, 3))),
        "rgb_static is float64, expected uint8",
    ),
    "not a number": (lambda path: change(path, robot_obs=np.full(15, np.nan)), "robot_obs is not all finite"),
    "half a gripper": (
        lambda path: change(path, rel_actions=np.zeros(7)),
        "the gripper in rel_actions[6] is 0.0, expected +1",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_frame_skips_its_span_and_is_named(damaged, damage):
    spoil, message = DAMAGES[damage]
    spoil(frame(damaged, FIRST + 60))
    items = read(CalvinSource(damaged))
    skipped = [item for item in items if isinstance(item, Skipped)]
    assert len(items) == 6 and len(skipped) == 1
    assert skipped[0].name == f"training_00002_{FIRST + 50:07d}_{FIRST + 79:07d}"
    assert frame(damaged, FIRST + 60).name in skipped[0].reason and message in skipped[0].reason


def test_depth_and_scene_are_not_needed(damaged):
    change(frame(damaged, FIRST + 60), depth_static=None, depth_gripper=None, scene_obs=None, actions=None)
    assert not [item for item in read(CalvinSource(damaged)) if isinstance(item, Skipped)]


def test_a_rewritten_frame_is_converted_again(damaged):
    def marks():
        return [unit.fingerprint for unit in CalvinSource(damaged).units()]

    path, seen = frame(damaged, FIRST + 60), [marks()]
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    seen.append(marks())
    truncate(path)
    seen.append(marks())
    path.unlink()
    seen.append(marks())
    assert len({tuple(each) for each in seen}) == 4 and marks() == seen[-1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("training", r"is one split: give .*task_D_D and --split training"),
        ("training/lang_annotations", r"holds annotations only: give .*task_D_D$"),
        ("..", r"did you mean .*task_D_D\?"),
        ("elsewhere", "no such folder"),
    ],
)
def test_the_right_folder_is_suggested(original, given, message):
    with pytest.raises(SourceError, match=message):
        CalvinSource((original / given).resolve())


def test_a_missing_split_suggests_the_existing_one(damaged):
    shutil.rmtree(damaged / "training")
    with pytest.raises(SourceError, match="add --split validation"):
        CalvinSource(damaged)


def test_annotations_without_frames_are_refused(damaged):
    for path in (damaged / "training").glob("episode_*.npz"):
        path.unlink()
    with pytest.raises(SourceError, match="none of the 6 annotated spans has its first frame"):
        CalvinSource(damaged).units()


def test_missing_annotations_are_named(damaged):
    (damaged / "training" / "lang_annotations" / "auto_lang_ann.npy").unlink()
    with pytest.raises(SourceError, match=r"auto_lang_ann\.npy is missing"):
        CalvinSource(damaged).units()


@pytest.mark.parametrize(
    ("texts", "tasks", "spans", "message"),
    [
        (["a", "b"], ["t"], [(FIRST, FIRST + 9)], "equal lengths"),
        (["a"], ["t"], [(FIRST + 9, FIRST)], f"row 0 spans {FIRST + 9} to {FIRST}"),
        ([], [], [], "no annotation in it"),
    ],
)
def test_annotations_that_contradict_themselves_are_refused(damaged, texts, tasks, spans, message):
    annotate(damaged, texts, tasks, spans)
    with pytest.raises(SourceError, match=message):
        CalvinSource(damaged).units()


def test_a_span_without_text_is_left_out(damaged):
    annotate(damaged, [" ", "open it"], ["open_drawer"] * 2, [(FIRST, FIRST + 9), (FIRST + 10, FIRST + 19)])
    first, second = read(CalvinSource(damaged))
    assert isinstance(first, Skipped) and "row 0" in first.reason and second.task == "open it"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_annotations_of_any_pickle_protocol_load(tmp_path, protocol):
    content = {
        "language": {"emb": np.ones((2, 1, 4), np.float32), "ann": np.array(["a", "b"])},
        "info": {"indx": [(np.int64(1), 2)]},
    }
    write_object(tmp_path / "a.npy", np.array(content, object), protocol)
    loaded = load_object(tmp_path / "a.npy")
    np.testing.assert_array_equal(loaded["language"]["emb"], np.ones((2, 1, 4)))
    assert loaded["info"]["indx"] == [(1, 2)]


def write_object(path, array, protocol):
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(array, file, protocol)


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def test_annotations_cannot_run_code(damaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = damaged / "training" / "lang_annotations" / "auto_lang_ann.npy"
    np.save(path, {"language": Attack()}, allow_pickle=True)
    with pytest.raises(SourceError, match="refused: the pickle asks for posix.mkdir"):
        CalvinSource(damaged).units()
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_annotations_that_are_no_array_are_named(damaged, content):
    path = damaged / "training" / "lang_annotations" / "auto_lang_ann.npy"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="auto_lang_ann"):
        CalvinSource(damaged).units()


def test_the_command_writes_a_dataset_and_lists_what_it_skipped(damaged, tmp_path, capsys):
    truncate(frame(damaged, FIRST + 60))
    assert main(["convert", "calvin", str(damaged), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    written = Dataset(tmp_path / "set")
    assert (written.kind, written.fps, written.rig.name, len(written.episodes), written.length) == (
        "demonstrations",
        30,
        "calvin",
        5,
        150,
    )
    episode = read(CalvinSource(damaged))[1]
    np.testing.assert_array_equal(written.action[30:60], episode.action)
    assert bytes(written.encoded("wrist", 30)) == episode.images["wrist"][0]
    assert frame(damaged, FIRST + 60).name in capsys.readouterr().out
