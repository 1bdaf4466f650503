import itertools
import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr1_core import images
from gr1_core.data.dataset import Dataset, DatasetError
from gr1_core.data.loader import Loader, Sampler, in_order
from gr1_core.data.windows import Windows

from . import sets

WINDOW, FUTURE = 4, 2


@pytest.fixture(scope="module", params=["jpeg", "png"])
def dataset(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("loader") / "set"
    sets.demonstrations(
        root, (7, 1, 12, 5), {"jpeg": images.encode_jpeg, "png": images.encode_png}[request.param]
    )
    return Dataset(root)


@pytest.fixture
def windows(dataset):
    return Windows(dataset, None, WINDOW, FUTURE)


def everything(windows, **options):
    with Loader(windows, in_order(len(windows), 6), **options) as loader:
        return list(loader)


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other):
        for name in ("frames", "state", "action", "tokens", "valid", "future"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
        assert list(a.images) == list(b.images)
        assert all(np.array_equal(a.images[role], b.images[role]) for role in a.images)


def count_decodes(monkeypatch):
    decoded, decode = [], images.decode
    monkeypatch.setattr(
        images, "decode", lambda data, *scratch: decoded.append(bytes(data)) or decode(data, *scratch)
    )
    return decoded


# Images


def test_images_are_bit_for_bit_what_the_decoder_and_the_rig_make_of_the_recorded_bytes(windows, dataset):
    seen = 0
    for batch in everything(windows, threads=2):
        assert batch.images["static"].shape == (
            *batch.frames.shape,
            24,
            24,
            3,
        )  # 40x24, cropped to the central square
        assert batch.images["wrist"].shape == (*batch.frames.shape, 20, 16, 3)
        for (window, step), frame in np.ndenumerate(batch.frames):
            for role in ("static", "wrist"):
                expected = dataset.rig.cameras[role].view(images.decode(dataset.encoded(role, frame)))
                assert np.array_equal(batch.images[role][window, step], expected)
                seen += 1
    assert seen == 2 * 25 * (WINDOW + FUTURE)


def test_batches_are_the_same_for_any_number_of_threads(windows):
    one = everything(windows, threads=1)
    for threads in (2, 5):
        same(one, everything(windows, threads=threads))


def test_frames_decoded_once_per_machine_are_the_same_and_later_nothing_is_decoded(
    windows, dataset, monkeypatch
):
    encoded = everything(windows)
    same(encoded, everything(windows, decode_once=True))
    decoded = count_decodes(monkeypatch)
    same(encoded, everything(Windows(Dataset(dataset.root), None, WINDOW, FUTURE), decode_once=True))
    assert not decoded


def test_a_frame_that_occurs_several_times_in_a_batch_is_decoded_once(windows, monkeypatch):
    decoded = count_decodes(monkeypatch)
    with Loader(windows, [np.array([5, 6, 7, 7, 12])], threads=2) as loader:
        batch = next(loader)
    assert batch.frames.size == 5 * (WINDOW + FUTURE)
    assert len(decoded) == len(set(decoded)) == 2 * len(np.unique(batch.frames))


def test_one_camera_or_no_images_at_all_on_request(windows, monkeypatch):
    decoded = count_decodes(monkeypatch)
    plain = everything(windows, images=False)
    assert not decoded
    assert all(batch.images == {} for batch in plain)
    full, wrist = everything(windows), everything(windows, roles=["wrist"])
    for a, b, c in zip(plain, full, wrist):
        assert np.array_equal(a.state, b.state) and np.array_equal(a.frames, b.frames)
        assert list(c.images) == ["wrist"] and np.array_equal(c.images["wrist"], b.images["wrist"])


def test_a_missing_camera_is_refused(tmp_path):
    sets.videos(tmp_path / "set")
    with pytest.raises(DatasetError, match="no wrist camera, only static"):
        Loader(Windows(Dataset(tmp_path / "set"), None, 2, 1), [], roles=["wrist"])


# Memory, errors, the end


def test_a_batch_that_is_not_released_never_changes(windows, monkeypatch):
    """Whatever Python's reference counts say: CPython 3.14 borrows references, so that they are smaller
    there.
    """
    monkeypatch.setattr(sys, "getrefcount", lambda array: 3)
    with Loader(windows, Sampler(len(windows), 5, seed=0).from_step(), threads=2) as loader:
        kept = [next(loader) for _ in range(6)]
        for _ in range(10):
            loader.release(next(loader))
    with Loader(windows, Sampler(len(windows), 5, seed=0).from_step(), threads=2) as again:
        same(kept, [next(again) for _ in range(6)])


def test_a_released_batch_lends_its_memory(windows):
    with Loader(windows, Sampler(len(windows), 5, seed=0).from_step(), threads=2) as loader:
        used = set()
        for _ in range(20):
            batch = next(loader)
            used.add(batch.images["static"].ctypes.data)
            loader.release(batch)
            assert not batch.images
        assert len(used) <= loader.prefetch + 1


def test_local_processes_share_the_cores(windows, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert Loader(windows, []).threads == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert Loader(windows, []).threads == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert Loader(windows, []).threads == 1
    assert Loader(windows, [], threads=3).threads == 3


def test_an_error_in_a_thread_is_raised_at_its_batch_with_the_frame_named(tmp_path):
    sets.demonstrations(tmp_path / "set", (8, 8, 8))
    sets.damage_image(tmp_path / "set", "wrist", 11)
    windows = Windows(Dataset(tmp_path / "set"), None, 2, 1)
    with Loader(windows, in_order(len(windows), 4), threads=2) as loader:
        good = [next(loader).frames[0, 0] for _ in range(2)]
        with pytest.raises(DatasetError, match=r"set: frame 11 of the wrist camera: damaged JPEG"):
            next(loader)
        assert next(loader, None) is None
    assert good == [0, 4]


def test_frames_that_cannot_be_decoded_once_for_all_are_named_and_leave_no_file(tmp_path):
    sets.demonstrations(tmp_path / "set", (8, 8, 8))
    sets.damage_image(tmp_path / "set", "static", 20)
    windows = Windows(Dataset(tmp_path / "set"), None, 2, 1)
    with pytest.raises(DatasetError, match=r"set: frame 20 of the static camera: damaged JPEG"):
        Loader(windows, [], decode_once=True)
    assert not [path for path in tmp_path.glob("set/.cache/*/static*") if path.suffix != ".lock"]


def test_closing_ends_the_threads_also_in_the_middle(windows):
    loader = Loader(windows, Sampler(len(windows), 5, seed=0).from_step(), threads=3)
    batch = next(loader)
    before = batch.images["static"].copy()
    assert any(thread.name.startswith("decode") for thread in threading.enumerate())
    loader.close()
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())
    assert next(loader, None) is None
    assert np.array_equal(batch.images["static"], before)


def test_the_end_of_the_order_is_the_end_of_the_batches(windows):
    with Loader(windows, in_order(len(windows), 10)) as loader:
        assert [len(batch.frames) for batch in loader] == [10, 10, 5]
        assert next(loader, None) is None
        assert loader.waited_s > 0


def test_an_empty_batch_has_empty_images(windows):
    with Loader(windows, [np.arange(12), np.arange(0)]) as loader:
        batches = list(loader)
    assert [len(batch.frames) for batch in batches] == [12, 0]
    assert batches[1].images["static"].shape == (0, WINDOW + FUTURE, 24, 24, 3)


# The order of training


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_is_a_permutation_without_its_last_incomplete_batch(length, batch, seed, epoch):
    if batch > length:
        return
    sampler = Sampler(length, batch, seed)
    batches = list(sampler.epoch(epoch))
    assert [len(indices) for indices in batches] == [batch] * (length // batch)
    seen = np.concatenate(batches)
    assert len(np.unique(seen)) == len(seen) and seen.min() >= 0 and seen.max() < length


def test_each_epoch_and_seed_has_its_own_order():
    orders = [
        np.concatenate(list(Sampler(50, 5, seed).epoch(epoch))).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4


@given(st.integers(0, 40))
def test_training_that_resumes_at_any_step_sees_the_batches_it_would_have_seen(step):
    whole = list(itertools.islice(Sampler(23, 4, seed=5).from_step(), 45))
    resumed = list(itertools.islice(Sampler(23, 4, seed=5).from_step(step), 45 - step))
    assert [batch.tolist() for batch in whole[step:]] == [batch.tolist() for batch in resumed]


@given(st.integers(1, 40), st.integers(1, 12))
def test_an_evaluation_sees_every_window_once(length, batch):
    assert np.concatenate(list(in_order(length, batch))).tolist() == list(range(length))


def test_invalid_batch_sizes_are_refused():
    with pytest.raises(ValueError, match="a batch of 30 needs at least as many windows, the dataset has 20"):
        Sampler(20, 30, seed=0)
