"""SIGKILL at any moment of a conversion, then the same command again: the bytes of an uninterrupted run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gr1_core.data.convert.conversion import convert
from tests.data.bag_fixture import demonstration
from tests.data.synthetic import Synthetic, files

_AT_EACH_CHANGE_OF_THE_DISK = """
import os, shutil, signal, sys
from pathlib import Path
from gr1_core.data.convert.conversion import convert
from tests.data.synthetic import Synthetic

CHANGES = ((os, ("replace", "unlink", "rmdir", "fsync")), (shutil, ("rmtree",)))

def deadly(module, name, left):
    original = getattr(module, name)
    def change(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    setattr(module, name, change)

def run(out, left):
    child = os.fork()
    if child == 0:
        for module, names in CHANGES:
            for name in names:
                deadly(module, name, left)
        convert(Synthetic(2), out, workers=1, progress=False)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for number in range(1, 200, int(sys.argv[2])):
    out = Path(sys.argv[1]) / str(number)
    code = run(out, [number])
    if code == 0:
        break
    tidy = (out / "meta/info.json").is_file() and not (out / "parts").exists()
    print(number, code, 0 if tidy else run(out, [0]), flush=True)
"""


@pytest.fixture(scope="module")
def bags(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bags")
    for index in range(6):
        demonstration(index, 40, ["jpeg", "raw"][index % 2]).save(root / f"bag-{index}")
    return root


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_before_each_change_of_the_disk(every, tmp_path):
    """Every fourth rename, removal and flush of a run is once the moment of its death; slow: every one."""
    expected = files(convert(Synthetic(2), tmp_path / "whole", workers=1, progress=False).root)
    command = [sys.executable, "-c", _AT_EACH_CHANGE_OF_THE_DISK, tmp_path, str(every)]
    output = subprocess.run(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    deaths = [tuple(map(int, line.split())) for line in output.splitlines()]
    assert len(deaths) >= 15 // every and all(code == -signal.SIGKILL for _, code, _ in deaths)
    for number, _, resumed in deaths:
        assert resumed == 0, f"killed before change {number}, it could not be resumed"
        assert files(tmp_path / str(number)) == expected, f"killed before change {number}"


@pytest.mark.slow
def test_killed_at_random_moments_with_its_workers(bags, tmp_path):
    command = [sys.executable, "-m", "gr1_core", "convert", "bags", str(bags), "--workers", "2", "--out"]
    began = time.monotonic()
    subprocess.run([*command, tmp_path / "whole"], check=True, stdout=subprocess.DEVNULL)
    duration, expected = time.monotonic() - began, files(tmp_path / "whole")
    out, moments = tmp_path / "killed", random.Random(7)
    for _ in range(6):
        process = subprocess.Popen([*command, out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.3, 1.0) * duration)
        except subprocess.TimeoutExpired:
            workers = _children(process.pid)
            process.kill()
            process.wait()
            _await_the_end_of(workers)
    if not _complete_and_tidy(out):
        subprocess.run([*command, out], check=True, stdout=subprocess.DEVNULL)
    assert files(out) == expected


def _complete_and_tidy(out: Path) -> bool:
    return (out / "meta/info.json").is_file() and not (out / "parts").exists()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _await_the_end_of(pids: list[int]) -> None:
    """A worker notices its parent's death by itself."""
    deadline = time.monotonic() + 20
    while any(
        Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
        for pid in pids
    ):
        assert time.monotonic() < deadline, f"a worker outlived its parent: {pids}"
        os.sched_yield()
