"""`gr1 view`: what can be mistaken, a page for this computer alone, an installation without Rerun."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gr1_core.cli import main
from tests.data.bag_fixture import demonstration
from tests.support.program import Program


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return demonstration(1, 6).save(tmp_path_factory.mktemp("bags") / "20240501-lift")


def mistake(capsys, *words):
    assert main(["view", *map(str, words)]) == 2
    return capsys.readouterr().err


def test_what_is_no_source_is_named(tmp_path, bag, capsys):
    assert "no folder" in mistake(capsys, tmp_path / "nothing")
    assert "did you mean" in mistake(capsys, bag.parent / "20240501-lif")
    (tmp_path / "empty").mkdir()
    assert "it is empty" in mistake(capsys, tmp_path / "empty")
    assert "holds 1 bags: give one of them, such as" in mistake(capsys, bag.parent)
    (tmp_path / "notes.txt").write_text("")
    assert "'{}' is a file".format(tmp_path / "notes.txt") in mistake(capsys, tmp_path / "notes.txt")
    said = mistake(capsys, tmp_path)
    assert "holds empty, notes.txt, but no metadata.yaml, meta/info.json or results.json" in said
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"")
    assert "it is a checkpoint" in mistake(capsys, tmp_path / "empty")


def test_options_that_do_not_fit_are_named(tmp_path, bag, capsys):
    assert "does not end in .rrd" in mistake(capsys, bag, "--save", tmp_path / "a.mp4")
    assert "there is no folder" in mistake(capsys, bag, "--save", tmp_path / "no" / "a.rrd")
    assert "--episodes is not for a bag" in mistake(capsys, bag, "--episodes", "1")
    assert "--urdf is not for the live stack" in mistake(capsys, "--urdf", "a.urdf")
    assert "give both" in mistake(capsys, bag, "--host", "0.0.0.0")
    assert "not allowed with" in mistake(capsys, bag, "--serve", "--save", "a.rrd")
    assert "'0' is not a whole number" in mistake(capsys, bag, "--rate", "0")


def test_without_rerun_the_error_says_what_to_install(bag):
    code = "import sys; sys.modules['rerun'] = None; from gr1_core.cli import main; "
    code += f"sys.exit(main(['view', {str(bag)!r}]))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1 and 'pip install "gr1_core[view]"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_screen_the_error_names_the_other_ways(bag, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["view", str(bag)]) == 1
    assert "use --serve for a browser, or --save" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(bag, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["view", str(bag), "--serve", "--port", port]) == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


def test_the_page_is_for_this_computer_alone_and_ends_with_ctrl_c(bag):
    program = Program("-m", "gr1_core", "view", str(bag), "--serve", "--port", "0")
    try:
        program.until("complete")
        url = next(word for word in program.said.split() if word.startswith("http://127.0.0.1:"))
        data = urlsplit(parse_qs(urlsplit(url).query)["url"][0].removeprefix("rerun+"))
        assert b"<html" in urllib.request.urlopen(url, timeout=20).read()
        listening = listeners()
        for port in (urlsplit(url).port, data.port):
            assert listening[port] == {"0100007F"}, "127.0.0.1"
        program.signal(signal.SIGINT)
        assert program.wait(30) == 0
        assert "Traceback" not in program.said and "ERROR" not in program.said
    finally:
        program.signal(signal.SIGKILL)
    assert not listeners().keys() & {urlsplit(url).port, data.port}, "the viewer has ended, too"


def listeners() -> dict[int, set[str]]:
    """Port -> the addresses, as the kernel writes them, on which somebody listens."""
    found: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{os.getpid()}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                address, _, port = words[1].partition(":")
                found.setdefault(int(port, 16), set()).add(address)
    return found
