"""A checkpoint that failed its replay does not move an arm by default."""

import pytest

from gr1_core.eval import verdict
from gr1_core.eval.verdict import Check, Verdict
from gr1_policy import loading


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def save(folder, passed: bool) -> Verdict:
    checks = (
        Check("finite", True, "every action is finite"),
        Check("motion", passed, "translation error 9.0 mm a step"),
    )
    result = Verdict(verdict.fingerprint(folder), ("episode_1", "episode_2"), checks)
    result.save(folder)
    return result


def test_a_verdict_is_read_as_it_was_written(folder):
    result = save(folder, False)
    assert verdict.load(folder) == result and not result.passed


def test_a_checkpoint_that_failed_is_refused_with_the_reason_and_the_way_out(folder):
    save(folder, False)
    with pytest.raises(
        loading.LoadError,
        match=r"failed its replay over episode_1, episode_2: translation error 9.0 mm.*ignore_replay",
    ):
        loading.require_replay(str(folder), ignore=False)
    loading.require_replay(str(folder), ignore=True)


def test_one_that_passed_or_was_never_replayed_is_not_refused(folder):
    loading.require_replay(str(folder), ignore=False)
    save(folder, True)
    loading.require_replay(str(folder), ignore=False)


def test_a_verdict_on_other_weights_does_not_count(folder):
    save(folder, False)
    (folder / "model.safetensors").write_bytes(b"trained further")
    assert verdict.load(folder) is None
    loading.require_replay(str(folder), ignore=False)


def test_a_damaged_verdict_is_named(folder):
    save(folder, True)
    (folder / "replay.json").write_text("{")
    with pytest.raises(ValueError, match=r"replay.json is damaged"):
        loading.require_replay(str(folder), ignore=False)
