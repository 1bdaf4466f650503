"""Atomic writes: the old file or the new one, whatever happens in between."""

import os
import stat
import subprocess
import sys

import pytest

from gr1_core import atomic_write


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replaces_a_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    atomic_write.write_text(path, "neu: ü")
    assert path.read_text(encoding="utf-8") == "neu: ü"
    assert entries(tmp_path) == ["a.txt"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_write.replacing(path) as partial:
        partial.write_bytes(b"half of the n")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert entries(tmp_path) == ["a.bin"]


def test_a_writer_that_is_killed_keeps_the_old_file_and_its_rest_can_be_removed(tmp_path):
    path = tmp_path / "a.json"
    atomic_write.write_json(path, {"old": 1})
    program = (
        "import os, signal, sys\n"
        "from gr1_core.atomic_write import replacing\n"
        "with replacing(sys.argv[1]) as partial:\n"
        "    partial.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)])
    assert path.read_text() == '{\n "old": 1\n}\n'
    assert len(entries(tmp_path)) == 2
    atomic_write.remove_partials(tmp_path, "other.json")
    assert len(entries(tmp_path)) == 2
    atomic_write.remove_partials(tmp_path, "a.json")
    assert entries(tmp_path) == ["a.json"]


def test_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("sync"), sync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), replace(*names)))
    atomic_write.write_text(tmp_path / "a.txt", "new")
    assert calls == ["sync", "rename", "sync"]


def test_permissions_are_those_asked_for_even_if_a_library_changed_them(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic_write.replacing(tmp_path / "open") as partial:
            partial.write_text("")
            partial.chmod(0o600)
        atomic_write.write_text(tmp_path / "private", "key", mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write.replacing(path) as first, atomic_write.replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert entries(tmp_path) == ["a.txt"]
