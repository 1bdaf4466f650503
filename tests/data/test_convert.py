"""The driver: whole runs, shards, resuming, refusals. What is killed is in test_convert_killed.py."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil

import pytest

from gr1_core import images
from gr1_core.data.convert import conversion, merge, plan
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.plan import ConvertError
from gr1_core.data.convert.sources.source import SourceError
from tests.data.synthetic import SHAPES, Synthetic, files, make_image, tiny_rig


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Seven units of which two are skipped, converted in one go."""
    out = tmp_path_factory.mktemp("whole") / "set"
    return convert(source(), out, workers=1, progress=False)


def source(**options) -> Synthetic:
    return Synthetic(7, damaged=(1,), left_out=(2,), **options)


def test_a_dataset_holds_the_episodes_of_the_source_and_lists_what_was_left_out(whole):
    assert (whole.episodes, whole.frames, whole.fps) == (5, 10 + 13 + 14 + 15 + 16, 10)
    assert whole.skipped == [("unit-001", "its disk has a scratch")]
    assert whole.left_out == [("unit-002", "not asked for")]
    lines = [json.loads(line) for line in (whole.root / "meta/sources.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [f"episode-{index:03d}" for index in (0, 3, 4, 5, 6)]
    assert [line["episode_index"] for line in lines] == [0, 1, 2, 3, 4]
    assert "unit-001" in whole.report.read_text()


def test_nothing_but_the_dataset_is_left(whole):
    assert sorted(path.name for path in whole.root.iterdir()) == ["data", "meta", "report"]


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_byte(whole, tmp_path, workers):
    done = convert(source(), tmp_path / "set", workers=workers, progress=False)
    assert files(done.root) == files(whole.root)


def test_shards_and_merge_give_the_bytes_of_one_run(whole, tmp_path):
    out = tmp_path / "set"
    for index in (2, 0, 1):
        done = convert(source(), out, workers=1, shard=(index, 3), progress=False)
        assert (done.made, done.kept) == ((3 if index == 0 else 2), 0) and not plan.is_complete(out)
    assert files(merge.merge(out, progress=False).root) == files(whole.root)


def test_a_merge_names_the_part_that_is_missing(tmp_path):
    convert(source(), tmp_path, workers=1, shard=(0, 2), progress=False)
    with pytest.raises(ConvertError, match="3 of 7 parts are missing .*unit-001"):
        merge.merge(tmp_path, progress=False)
    assert not plan.is_complete(tmp_path)


def test_there_is_nothing_to_merge_in_an_empty_folder(tmp_path):
    with pytest.raises(ConvertError, match="nothing to merge"):
        merge.merge(tmp_path, progress=False)


def test_existing_parts_are_kept_and_changed_units_are_converted_again(whole, tmp_path):
    convert(source(), tmp_path, workers=1, shard=(0, 1), progress=False)
    again = convert(source(), tmp_path, workers=1, shard=(0, 1), progress=False)
    assert (again.made, again.kept) == (1, 6), "only the damaged unit is tried again"
    (tmp_path / "parts/unit-003.arrow").write_bytes(b"torn by a power cut")
    assert convert(source(), tmp_path, workers=1, shard=(0, 1), progress=False).made == 2
    changed = convert(source(mark="written again "), tmp_path, workers=1, shard=(0, 1), progress=False)
    assert (changed.made, changed.kept) == (7, 0)
    assert files(convert(source(mark="written again "), tmp_path, workers=1, progress=False).root) == files(
        whole.root
    )


def test_other_options_convert_all_parts_again_and_shards_with_other_options_are_refused(tmp_path):
    convert(source(settings={"images": "keep"}), tmp_path, workers=1, shard=(0, 2), progress=False)
    with pytest.raises(ConvertError, match="other options"):
        convert(source(settings={"images": "png"}), tmp_path, workers=1, shard=(1, 2), progress=False)
    done = convert(source(settings={"images": "png"}), tmp_path, workers=1, progress=False)
    assert json.loads((done.root / "meta/gr1.json").read_text())["settings"] == {"images": "png"}


def test_a_shard_of_another_source_is_refused_by_name(tmp_path):
    convert(Synthetic(4), tmp_path, workers=1, shard=(0, 2), progress=False)
    with pytest.raises(ConvertError, match="unit-004"):
        convert(Synthetic(5), tmp_path, workers=1, shard=(1, 2), progress=False)


def test_units_that_the_source_no_longer_has_leave_no_part(tmp_path):
    convert(Synthetic(6), tmp_path, workers=1, shard=(0, 1), progress=False)
    assert convert(Synthetic(3), tmp_path, workers=1, progress=False).episodes == 3


def test_a_complete_dataset_is_not_overwritten(tmp_path):
    before = files(convert(Synthetic(2), tmp_path, workers=1, progress=False).root)
    with pytest.raises(ConvertError, match="complete dataset already"):
        convert(Synthetic(2), tmp_path, workers=1, progress=False)
    assert files(tmp_path) == before


@pytest.mark.parametrize("precious", ["data/thesis.txt", "parts/brake.step", "notes.md"])
def test_a_folder_with_other_files_in_it_is_not_touched(tmp_path, precious):
    (tmp_path / precious).parent.mkdir(exist_ok=True)
    (tmp_path / precious).write_text("ten years of work")
    with pytest.raises(
        ConvertError, match=f"not empty \\({precious.split('/')[0 if 'parts' not in precious else 1]}"
    ):
        convert(Synthetic(2), tmp_path, workers=1, progress=False)
    assert (tmp_path / precious).read_text() == "ten years of work"


def test_shards_run_in_parallel_and_a_merge_runs_alone(tmp_path):
    convert(Synthetic(4), tmp_path, workers=1, shard=(0, 2), progress=False)
    with open(plan.parts_folder(tmp_path) / "lock", "w") as another_shard:
        fcntl.flock(another_shard, fcntl.LOCK_SH)
        assert convert(Synthetic(4), tmp_path, workers=1, shard=(1, 2), progress=False).made == 2
        for alone in (
            lambda: merge.merge(tmp_path, progress=False),
            lambda: convert(Synthetic(4), tmp_path, workers=1, progress=False),
        ):
            with pytest.raises(ConvertError, match="another gr1 convert is running"):
                alone()
        fcntl.flock(another_shard, fcntl.LOCK_EX)
        with pytest.raises(ConvertError, match="another gr1 convert is running"):
            convert(Synthetic(4), tmp_path, workers=1, shard=(1, 2), progress=False)
    assert merge.merge(tmp_path, progress=False).episodes == 4


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    convert(Synthetic(6), tmp_path, workers=1, shard=(0, 1), progress=False)
    (tmp_path / "parts/unit-004.arrow.4711.partial").write_bytes(b"half a part")
    with pytest.raises(ConvertError, match="can be used"):
        convert(Synthetic(2, damaged=(0, 1), mark="written again "), tmp_path, workers=1, progress=False)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {
        "unit-000.arrow",
        "unit-001.arrow",
        "plan.json",
        "lock",
    }


def test_if_everything_is_damaged_no_dataset_is_made(tmp_path):
    with pytest.raises(ConvertError, match="none of 3 can be used") as error:
        convert(Synthetic(3, damaged=(0, 1, 2)), tmp_path, workers=1, progress=False)
    assert "unit-000 and 2 more: its disk has a scratch" in str(error.value)
    assert not plan.is_complete(tmp_path) and not (tmp_path / ".partial").exists()
    assert convert(Synthetic(3), tmp_path, workers=1, progress=False).frames > 0, (
        "the repaired source converts"
    )


def test_an_empty_source_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="nothing to convert"):
        convert(Synthetic(0), tmp_path / "set", workers=1, progress=False)
    assert not (tmp_path / "set").exists()


def torn(data: bytes) -> bytes:
    """Damaged in the middle, whole at both ends."""
    return data[: len(data) // 3] + bytes(len(data) // 3) + data[2 * (len(data) // 3) :]


@pytest.mark.parametrize(
    "spoil, named",
    [
        (lambda e: e.images["wrist"].__setitem__(3, e.images["wrist"][3][:-40]), "frame 3 of camera 'wrist'"),
        (lambda e: e.images["static"].__setitem__(0, e.images["wrist"][0]), "32x24 pixels, expected 64x36"),
        (lambda e: e.images["static"].__setitem__(5, b"no image"), "frame 5 of camera 'static'"),
        (lambda e: e.images["static"].pop(), "same number of steps"),
        (
            lambda e: e.images["wrist"].__setitem__(
                2, torn(images.encode_png(make_image(1, SHAPES["wrist"])))
            ),
            "damaged PNG",
        ),
        (
            lambda e: setattr(e, "state", e.state.astype(float)),
            "state is float64[11, 7], expected float32[T, 7]",
        ),
        (lambda e: e.action.__setitem__((4, 2), float("nan")), "action of step 4 is not finite"),
        (lambda e: e.state.__setitem__((2, 0), float("inf")), "state of step 2 is not finite"),
    ],
)
def test_an_invalid_episode_is_named_and_skipped(tmp_path, spoil, named):
    class Spoilt(Synthetic):
        def read(self, unit):
            for episode in super().read(unit):
                if unit.payload == 1:
                    spoil(episode)
                yield episode

    done = convert(Spoilt(2), tmp_path, workers=1, progress=False)
    assert done.episodes == 1 and done.skipped[0][0] == "unit-001" and named in done.skipped[0][1]


def test_a_dataset_of_videos_has_neither_rig_nor_actions(tmp_path):
    class Videos(Synthetic):
        def read(self, unit):
            for episode in super().read(unit):
                yield dataclasses.replace(
                    episode, images={"static": episode.images["static"]}, state=None, action=None
                )

    videos = Videos(3, kind="videos", rig=None, shapes={"static": (36, 64)}, fps=3)
    done = convert(videos, tmp_path, workers=1, progress=False)
    assert not (tmp_path / "meta/rig.yaml").exists()
    assert "action" not in json.loads((tmp_path / "meta/info.json").read_text())["features"]
    page = done.report.read_text()
    assert "Actions" not in page and "Paths of the hand" not in page and "Previews" in page


def test_a_worker_that_dies_is_reported_and_the_finished_parts_are_kept(tmp_path):
    with pytest.raises(ConvertError, match="worker process was killed"):
        convert(Synthetic(5, killed=4), tmp_path, workers=2, progress=False)
    done = convert(Synthetic(5), tmp_path, workers=1, shard=(0, 1), progress=False)
    assert done.kept >= 1 and done.made >= 1


@pytest.mark.parametrize("keys", [("a", "a"), ("../a", "b")])
def test_unsafe_and_repeated_unit_names_are_refused(tmp_path, keys):
    class Named(Synthetic):
        def units(self):
            return [dataclasses.replace(unit, key=key) for unit, key in zip(super().units(), keys)]

    with pytest.raises(SourceError, match="rename it"):
        convert(Named(2), tmp_path, workers=1, progress=False)


def test_the_dataset_holds_the_rig(whole):
    from gr1_core.rig import Rig

    assert Rig.load(whole.root / "meta/rig.yaml") == tiny_rig()


def test_a_run_killed_after_its_last_rename_is_only_cleaned_up(whole, tmp_path):
    convert(source(), tmp_path, workers=1, shard=(0, 1), progress=False)
    shutil.copytree(tmp_path / "parts", tmp_path.with_name("kept"))
    conversion.convert(source(), tmp_path, workers=1, progress=False)
    tmp_path.with_name("kept").rename(tmp_path / "parts")
    assert files(conversion.convert(source(), tmp_path, workers=1, progress=False).root) == files(whole.root)
    assert not (tmp_path / "parts").exists()
