"""`gr1 bench record`: the figures are those of the bag."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_what_was_published_is_in_the_bag_and_the_last_line_is_json(tmp_path):
    gr1 = "import sys; from gr1_core.cli import main; sys.exit(main())"
    words = ["bench", "record", "--seconds", "2", "--folder", str(tmp_path)]
    ended = subprocess.run([sys.executable, "-c", gr1, *words], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout.splitlines()[-1])
    for images in ("jpeg", "raw"):
        figures = document[images]
        assert figures["published"] > 1000 and figures["recorded"] + figures["lost"] == figures["published"]
        assert figures["lost"] == figures["lost_as_counted_by_the_recorder"]
    assert not list(tmp_path.iterdir())
