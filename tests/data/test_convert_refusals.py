"""`gr1 convert` where nothing can be written or read: one line with the file and the remedy, and nothing left
behind.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gr1_core.cli import main
from gr1_core.data.convert import merge
from gr1_core.data.convert.conversion import convert
from gr1_core.data.convert.plan import ConvertError
from tests.data import lerobot_fixture
from tests.data.bag_fixture import demonstration
from tests.data.synthetic import Synthetic, files


@pytest.fixture
def bags(tmp_path):
    demonstration(0, 5).save(tmp_path / "bags/a")
    return tmp_path / "bags"


def refused(capsys, *words) -> str:
    assert main(["convert", *map(str, words), "--workers", "1"]) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("gr1") and len(error.splitlines()) == 1 and "Errno" not in error
    return error


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_foreign_folder_is_refused_untouched(bags, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("ten years of work")
    before = everything(tmp_path)
    assert "not empty (chapter.txt is in it)" in refused(capsys, "bags", bags, "--out", tmp_path / "thesis")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("place", [".", "sub", "a", "a/sub"])
def test_no_dataset_is_written_into_its_source(bags, capsys, place):
    before = everything(bags)
    assert f"inside the source {bags}" in refused(capsys, "bags", bags, "--out", bags / place)
    assert everything(bags) == before


def test_no_dataset_is_written_into_another_recorded_bag(bags, tmp_path, capsys):
    other = demonstration(1, 5).save(tmp_path / "other/b")
    before = everything(tmp_path)
    assert f"inside the recorded bag {other}" in refused(capsys, "bags", bags, "--out", other / "sub/set")
    assert everything(tmp_path) == before


def test_an_out_that_is_a_file_is_named(bags, capsys):
    assert "/etc/passwd is a file" in refused(capsys, "bags", bags, "--out", "/etc/passwd")
    assert "/etc/passwd is a file" in refused(capsys, "bags", bags, "--out", "/etc/passwd/set")
    assert "--out /proc/x cannot be made" in refused(capsys, "bags", bags, "--out", "/proc/x")


@pytest.mark.parametrize("full_at", ["parts", "merge"])
def test_a_full_disk_is_named_with_the_remedy_and_the_same_command_continues(tmp_path, monkeypatch, full_at):
    whole = convert(Synthetic(3), tmp_path / "whole", workers=1, progress=False)
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(*((os, "fsync") if full_at == "parts" else (merge.DatasetWriter, "add_episode")), full)
        with pytest.raises(
            ConvertError,
            match=f"{tmp_path / 'set'}: .*twice the size of the dataset; make room and run the same",
        ):
            convert(Synthetic(3), tmp_path / "set", workers=1, progress=False)
    assert files(convert(Synthetic(3), tmp_path / "set", workers=1, progress=False).root) == files(whole.root)


def test_a_damaged_bag_is_reported_without_a_path_that_does_not_exist(bags, tmp_path, capsys):
    (mcap,) = demonstration(1, 5).save(bags / "zero").glob("*.mcap")
    mcap.write_bytes(b"")
    assert main(["convert", "bags", str(bags), "--out", str(tmp_path / "set"), "--workers", "1"]) == 0
    (skipped,) = json.loads((tmp_path / "set/meta/gr1.json").read_text())["skipped"]
    assert "see `gr1 bags verify` on it" in skipped["reason"] and str(tmp_path) not in skipped["reason"]


def test_the_printed_next_command_is_quoted_for_the_shell(bags, tmp_path, capsys):
    assert main(["convert", "bags", str(bags), "--out", str(tmp_path / "my set"), "--workers", "1"]) == 0
    assert f"next: gr1 finetune RECIPE 'data={tmp_path / 'my set'}'\n" in capsys.readouterr().out


def test_a_mapping_that_cannot_be_read_is_an_error_of_one_line(tmp_path, capsys):
    (tmp_path / "bytes.yaml").write_bytes(bytes(range(128, 256)))
    (tmp_path / "control.yaml").write_bytes(b"\x00\x01\x02")
    (tmp_path / "syntax.yaml").write_text("cameras: {static: [\nx: y: z\n")
    source = lerobot_fixture.make(tmp_path / "source")
    for name, message in (
        ("nowhere.yaml", "cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
        ("bytes.yaml", "is not text"),
        ("control.yaml", "not YAML"),
        ("syntax.yaml", "not YAML (line 2"),
    ):
        error = refused(capsys, "lerobot", source, "--out", tmp_path / "set", "--mapping", tmp_path / name)
        assert (
            f"mapping {tmp_path / name}" in error
            and message in error
            and "docs/how-to/convert_datasets.md" in error
        )
    assert not (tmp_path / "set").exists()


def test_a_rig_that_cannot_be_read_is_an_error_of_one_line(bags, tmp_path, capsys):
    (tmp_path / "bytes.yaml").write_bytes(bytes(range(128, 256)))
    (tmp_path / "syntax.yaml").write_text("name: [\nx: y: z\n")
    for name, message in (
        ("bytes.yaml", "is not text: expected a YAML file"),
        ("syntax.yaml", "not YAML"),
    ):
        error = refused(capsys, "bags", bags, "--out", tmp_path / "set", "--rig", tmp_path / name)
        assert str(tmp_path / name) in error and message in error
