"""A checkpoint that failed its replay does not move an arm by default."""

import errno

import pytest

from gr1_core import atomic_write, pretrained
from gr1_core.eval import verdict
from gr1_core.eval.verdict import Check, Verdict
from gr1_policy import loading


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch):
    """The user's state folder."""
    state = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    return state


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A checkpoint that comes with the package; its name."""
    folder = tmp_path / "package" / "demo"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"shipped weights")
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(pretrained, "FOLDER", folder.parent)
    return folder


def save(folder, passed: bool) -> Verdict:
    checks = (
        Check("finite", True, "every action is finite"),
        Check("motion", passed, "translation error 9.0 mm a step"),
    )
    result = Verdict(("episode_1", "episode_2"), checks)
    result.save(folder)
    return result


def test_a_verdict_is_read_as_it_was_written(folder):
    result = save(folder, False)
    assert verdict.load_verdict(folder) == result and not result.passed


def test_a_failed_checkpoint_is_refused_with_the_reason_and_the_remedy(folder):
    save(folder, False)
    with pytest.raises(
        loading.LoadError,
        match=r"failed its replay over episode_1, episode_2: translation error 9.0 mm.*ignore_replay",
    ):
        loading.require_replay(str(folder), ignore=False)
    loading.require_replay(str(folder), ignore=True)


def test_a_checkpoint_that_passed_or_was_never_replayed_is_not_refused(folder):
    loading.require_replay(str(folder), ignore=False)
    save(folder, True)
    loading.require_replay(str(folder), ignore=False)


def test_a_verdict_on_other_weights_does_not_count(folder):
    save(folder, False)
    (folder / "model.safetensors").write_bytes(b"trained further")
    assert verdict.load_verdict(folder) is None
    loading.require_replay(str(folder), ignore=False)


def test_a_damaged_verdict_is_named(folder):
    save(folder, True)
    (folder / "replay.json").write_text("{")
    with pytest.raises(ValueError, match=r"replay.json is damaged"):
        loading.require_replay(str(folder), ignore=False)


def test_a_verdict_on_a_shipped_checkpoint_goes_to_the_state_folder_and_is_found_again(shipped, state):
    before = sorted(shipped.iterdir())
    result = save("demo", False)
    assert sorted(shipped.iterdir()) == before
    (file,) = state.glob("gr1/checkpoints/*/replay.json")
    assert verdict.load_verdict("demo") == verdict.load_verdict(shipped) == result
    with pytest.raises(loading.LoadError, match="demo failed its replay"):
        loading.require_replay("demo", ignore=False)
    file.unlink()
    assert verdict.load_verdict("demo") is None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_verdict_on_a_read_only_checkpoint_goes_to_the_state_folder(folder, state, monkeypatch, code):
    write_json = atomic_write.write_json

    def read_only(path, value):
        if path.parent == folder:
            raise OSError(code, "read-only")
        write_json(path, value)

    monkeypatch.setattr(atomic_write, "write_json", read_only)
    result = save(folder, False)
    assert not (folder / "replay.json").exists() and list(state.glob("gr1/checkpoints/*/replay.json"))
    assert verdict.load_verdict(folder) == result


def test_the_newest_verdict_holds(folder, monkeypatch):
    save(folder, False)
    monkeypatch.setattr(pretrained, "FOLDER", folder.parent)
    save(folder, True)
    assert verdict.load_verdict(folder).passed


def test_a_full_disk_is_an_error_and_not_a_reason_to_write_elsewhere(folder, state, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(atomic_write, "write_json", full)
    with pytest.raises(OSError, match="no space left"):
        save(folder, True)
    assert not any(state.iterdir())


def test_a_state_folder_that_cannot_be_written_is_named_with_the_remedy(shipped, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        OSError, match="replay.json of checkpoint .*demo cannot be written to .*set XDG_STATE_HOME"
    ):
        save("demo", True)
