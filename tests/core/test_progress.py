"""Progress where there is no terminal: whole lines, at most one every ten seconds."""

import io
import subprocess
import sys

from gr1_core.progress import LINE_EVERY_S, ProgressLines


def test_a_line_every_ten_seconds_with_the_time_that_is_left():
    now, said = [0.0], io.StringIO()
    lines = ProgressLines("playing", 100, 20, lambda: now[0], said)
    for step in range(1, 31):
        now[0] += 1.0
        lines.show(20 + step, f"{step} successes")
    assert said.getvalue().splitlines() == [
        "playing: 30 of 100, 10 successes; 10 s, about 70 s left",
        "playing: 40 of 100, 20 successes; 20 s, about 60 s left",
        "playing: 50 of 100, 30 successes; 30 s, about 50 s left",
    ]


def test_what_was_there_before_does_not_count_for_the_time_that_is_left():
    now, said = [0.0], io.StringIO()
    lines = ProgressLines("frames", 1000, 0, lambda: now[0], said)
    now[0] = 5.0
    lines.resume(900)
    now[0] = 15.0
    lines.show(910)
    assert said.getvalue() == "frames: 910 of 1000; 10 s, about 90 s left\n"


def test_a_bar_writes_no_carriage_return_into_a_file():
    code = (
        "import gr1_core.progress as progress\nprogress.LINE_EVERY_S = 0\n"
        "with progress.ProgressBar('videos', 2) as bar:\n    bar.advance()\n    bar.advance('1 failed')"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stderr
    assert [line.partition(";")[0] for line in said.splitlines()] == [
        "videos: 1 of 2",
        "videos: 2 of 2, 1 failed",
    ]
    assert "\r" not in said and "\x1b" not in said and LINE_EVERY_S == 10
