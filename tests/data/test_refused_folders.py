"""A folder that a command cannot use is named with the reason before any work is done."""

import pytest

from gr1_core.cli import main
from tests.data.bag_fixture import demonstration


def refused(capsys, *words) -> str:
    assert main([str(word) for word in words]) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("gr1") and len(error.splitlines()) == 1 and "Errno" not in error
    return error


@pytest.mark.parametrize("out", ["/etc/passwd", "/proc/x"])
def test_replay_names_an_out_that_cannot_be_made(tmp_path, capsys, out):
    bag = demonstration(0, 5).save(tmp_path / "a")
    assert f"--out {out} cannot be made" in refused(
        capsys, "replay", bag, "--checkpoint", "demo", "--out", out
    )


def test_bench_record_names_a_missing_folder(tmp_path, capsys):
    assert f"--folder {tmp_path / 'nope'}: there is no such folder" in refused(
        capsys, "bench", "record", "--folder", tmp_path / "nope"
    )


def test_convert_names_an_out_whose_name_is_too_long(tmp_path, capsys):
    bag = demonstration(0, 5).save(tmp_path / "bags/a")
    assert "cannot be used (File name too long)" in refused(
        capsys, "convert", "bags", bag, "--out", tmp_path / ("x" * 300)
    )


def test_collect_names_a_rig_that_is_not_text(tmp_path, capsys):
    (tmp_path / "rig.yaml").write_bytes(bytes(range(128, 256)))
    words = "collect", "sim", "--episodes", 1, "--out", tmp_path / "bags", "--rig", tmp_path / "rig.yaml"
    assert "is not text" in refused(capsys, *words) and not (tmp_path / "bags").exists()
