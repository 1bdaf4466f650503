from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gr1_core.data.dataset import Dataset, DatasetError
from gr1_core.data.windows import Windows, split_episodes, step_offsets
from gr1_core.model.language import tokenize

from . import sets

LENGTHS = (7, 1, 12, 5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("windows") / "set"
    sets.demonstrations(root, LENGTHS)
    return Dataset(root)


# What a window is


def test_every_frame_of_the_chosen_episodes_starts_one_window(dataset):
    windows = Windows(dataset, [3, 1], window=4, future_steps=1)
    frames = windows.batch(np.arange(len(windows))).frames
    assert frames[:, 0].tolist() == [20, 21, 22, 23, 24, 7]
    assert len(Windows(dataset, None, 4, 1)) == sum(LENGTHS)


def test_a_window_inside_its_episode_is_as_recorded(dataset):
    batch = Windows(dataset, None, window=4, future_steps=3).batch([8])
    assert batch.frames.tolist() == [[8, 9, 10, 11, 12, 13, 14]]
    assert np.array_equal(batch.state[0], dataset.state[8:12])
    assert np.array_equal(batch.action[0], dataset.action[8:12])
    assert batch.valid.all() and batch.future.all()
    assert (batch.state.dtype, batch.action.dtype, batch.valid.dtype) == (np.float32, np.float32, bool)


def test_past_the_end_frames_and_state_repeat_and_actions_are_zero(dataset):
    batch = Windows(dataset, None, window=4, future_steps=2).batch([5])  # episode 0 has frames 0 to 6
    assert batch.frames.tolist() == [[5, 6, 6, 6, 6, 6]]
    assert batch.valid.tolist() == [[True, True, False, False]]
    assert batch.future.tolist() == [[False] * 4]
    assert np.array_equal(batch.state[0], dataset.state[[5, 6, 6, 6]])
    assert np.array_equal(batch.action[0, :2], dataset.action[5:7])
    assert not batch.action[0, 2:].any()


def test_all_positions_are_supervised_where_the_episode_has_the_frame(dataset):
    batch = Windows(dataset, None, window=5, future_steps=3).batch([12])  # episode 2 has frames 8 to 19
    assert batch.frames[0].tolist() == [12, 13, 14, 15, 16, 17, 18, 19]
    assert batch.future.all()
    later = Windows(dataset, None, window=5, future_steps=3).batch([13])
    assert later.future.tolist() == [[True, True, True, True, False]]


def test_the_instruction_is_given_as_clip_tokens(dataset):
    batch = Windows(dataset, None, window=2, future_steps=0).batch([0, 7, 8, 24])
    texts = [sets.TASKS[0], sets.TASKS[1], sets.TASKS[2], sets.TASKS[0]]
    assert batch.tokens.tolist() == [tokenize(text) for text in texts]
    assert batch.tokens.dtype == np.int64


def test_at_three_of_ten_frames_per_second_the_nearest_frames_are_chosen(tmp_path):
    sets.videos(tmp_path / "set")
    windows = Windows(Dataset(tmp_path / "set"), None, window=4, future_steps=1, hz=3)
    batch = windows.batch([0, 20])
    assert batch.frames.tolist() == [[0, 3, 7, 10, 13], [20, 23, 27, 29, 29]]
    assert batch.valid.tolist() == [[True] * 4, [True, True, True, False]]
    assert batch.future.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.state is None and batch.action is None


def test_steps_that_are_no_control_periods_have_no_action(dataset):
    batch = Windows(dataset, None, window=2, future_steps=1, hz=5).batch([0])
    assert batch.frames.tolist() == [[0, 2, 4]]
    assert batch.action is None and batch.state is not None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    window=st.integers(1, 12),
    future=st.integers(0, 6),
    hz=st.sampled_from([None, 10, 5, 3, 7.5, 0.7]),
    episodes=st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_masks_and_frames_are_those_of_the_definition(dataset, window, future, hz, episodes, data):
    windows = Windows(dataset, episodes, window, future, hz)
    indices = data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, max_size=5))
    starts = [
        (start, episode)
        for episode in episodes
        for start in range(dataset.episodes["start"][episode], dataset.episodes["end"][episode])
    ]
    frames, valid, ahead = windows.masks(indices)
    for row, index in enumerate(indices):
        start, episode = starts[index]
        end = dataset.episodes["end"][episode]
        # In seconds: step k is at k / hz, and the frame nearest to it is taken.
        steps = [
            start + int(np.floor(Fraction(k) / Fraction(hz or 10) * 10 + Fraction(1, 2)))
            for k in range(window + future)
        ]
        assert frames[row].tolist() == [min(step, end - 1) for step in steps]
        assert valid[row].tolist() == [step < end for step in steps[:window]]
        assert ahead[row].tolist() == [step < end for step in steps[future:]]
    assert windows.counts(indices) == (valid.sum(), ahead.sum())


@given(st.integers(1, 120), st.floats(0.1, 120), st.integers(1, 40))
def test_steps_are_within_half_a_frame_of_their_time_and_never_go_back(fps, hz, count):
    hz = min(hz, fps)
    offsets = step_offsets(fps, hz, count)
    assert offsets[0] == 0
    assert all(np.diff(offsets) >= 1)
    assert all(
        abs(Fraction(int(offset)) - Fraction(k) * fps / Fraction(hz)) <= Fraction(1, 2)
        for k, offset in enumerate(offsets)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"window": 0}, "window 0"),
        ({"future_steps": -1}, "future_steps -1"),
        ({"hz": 20}, "20 steps a second cannot be taken from 10 frames a second"),
        ({"episodes": [4]}, "1 episodes chosen of 4"),
        ({"episodes": []}, "0 episodes chosen of 4"),
    ],
)
def test_invalid_windows_are_refused(dataset, arguments, message):
    with pytest.raises(ValueError, match=message):
        Windows(**{"dataset": dataset, "episodes": None, "window": 4, "future_steps": 1} | arguments)


def test_a_window_out_of_range_is_refused(dataset):
    windows = Windows(dataset, None, 4, 1)
    for index in (-1, len(windows)):
        with pytest.raises(IndexError):
            windows.batch([index])


def test_an_instruction_that_is_too_long_for_clip_is_named_with_its_dataset(tmp_path):
    generator = np.random.default_rng(0)
    sets.write(tmp_path / "set", [sets.episode(generator, 2, "word " * 80)], sets.small_rig())
    with pytest.raises(DatasetError, match=r"set: task 0: instruction has 80 tokens"):
        Windows(Dataset(tmp_path / "set"), None, 4, 1)


# Which episodes are held out


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """20 episodes of one text, 5 of another, 2 of a third, mixed."""
    generator = np.random.default_rng(0)
    texts = generator.permutation([sets.TASKS[0]] * 20 + [sets.TASKS[1]] * 5 + [sets.TASKS[2]] * 2)
    root = tmp_path_factory.mktemp("split") / "set"
    sets.write(root, [sets.episode(generator, 2, str(text)) for text in texts], sets.small_rig())
    return Dataset(root)


def by_text(dataset, episodes):
    return {
        text: sum(dataset.tasks[dataset.task_of[episode]] == text for episode in episodes)
        for text in sets.TASKS
    }


def test_a_part_of_each_instruction_is_held_out_and_rare_ones_stay_in_training(many):
    training, held = split_episodes(many, 0.2, seed=3)
    assert sorted([*training, *held]) == list(range(27))
    assert by_text(many, held) == dict(zip(sets.TASKS, (4, 1, 0)))
    assert by_text(many, split_episodes(many, 0.01, seed=3)[1]) == dict(zip(sets.TASKS, (1, 1, 0)))
    assert by_text(many, split_episodes(many, 0.99, seed=3)[0]) == dict(zip(sets.TASKS, (1, 1, 2)))


def test_the_seed_alone_decides_which_episodes_are_held_out(many):
    assert [part.tolist() for part in split_episodes(many, 0.2, 3)] == [
        part.tolist() for part in split_episodes(many, 0.2, 3)
    ]
    assert split_episodes(many, 0.2, 3)[1].tolist() != split_episodes(many, 0.2, 4)[1].tolist()


def test_nothing_is_held_out_on_request(many):
    training, held = split_episodes(many, 0, seed=3)
    assert (len(training), len(held)) == (27, 0)
    with pytest.raises(ValueError, match="held-out fraction 1"):
        split_episodes(many, 1, seed=3)


def test_videos_with_a_narration_each_are_held_out_too(tmp_path):
    sets.videos(tmp_path / "set", lengths=range(2, 12))
    training, held = split_episodes(Dataset(tmp_path / "set"), 0.2, seed=0)
    assert (len(training), len(held)) == (8, 2)
