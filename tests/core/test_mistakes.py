"""Mistakes in what is typed: one line with the nearest right word and exit code 2, before a heavy library is
imported.
"""

import json
import subprocess
import sys

import pytest

from tests.core.mistakes import MISTAKES, prepare

RUN_ALL = """
import contextlib, io, json, sys
from gr1_core.cli import main
heavy = {"torch", "mujoco", "rclpy", "pandas"}
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = main(line.split())
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, said.getvalue(), sorted(heavy & set(sys.modules))]), flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each line is answered with. All in one process, in turn: Python itself starts once."""
    folder = prepare(tmp_path_factory.mktemp("day"))
    words = [sys.executable, "-c", RUN_ALL, json.dumps(list(MISTAKES))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    return dict(zip(MISTAKES, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_named_in_one_line_with_what_may_be_meant(line, answers):
    code, said, heavy = answers[line]
    assert MISTAKES[line] in said
    assert (code, said.count("\n"), heavy) == (2, 1, [])
