"""The pages in headless Chromium with Meta's WebXR emulator: runs each file of
tests/teleop/browser/*.test.mjs.

`make test-teleop-browser`. Node's packages are pinned in package-lock.json and installed by the first run
(`npm ci`).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("browser")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
_OLDEST_NODE = 20


def missing() -> str:
    """What the browser tests lack on this computer, or ""."""
    node = shutil.which("node")
    if not (node and shutil.which("npm")):
        return f"no node and npm: install Node {_OLDEST_NODE} or newer"
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < _OLDEST_NODE:
        return f"Node {version}: {_OLDEST_NODE} or newer is needed"
    return (
        ""
        if shutil.which(CHROMIUM)
        else f"no {CHROMIUM}: install Chromium, or name one in the variable CHROMIUM"
    )


@pytest.mark.browser
@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_in_the_browser(file):
    if why := missing():
        pytest.skip(why)
    ended = subprocess.run(
        [HERE / "run.sh", sys.executable, file], capture_output=True, text=True, timeout=1800
    )
    assert ended.returncode == 0, ended.stdout[-20000:] + ended.stderr[-5000:]
