"""Where a recording goes: a window, a browser, or a file.

Rerun's server for Python listens on every address of the computer, so its program is started here with the
address to listen on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from gr1_core.view.recording import Recording, ViewError

LOOPBACK = "127.0.0.1"
_START_S = 20.0
_KEPT = "75%"
"""Of the computer's memory: what Rerun keeps of a recording before it drops the oldest images."""


class Viewer:
    """A running viewer. url: of the page; empty for a window."""

    def __init__(self, process: subprocess.Popen, url: str):
        self._process, self.url = process, url

    @property
    def open(self) -> bool:
        """Whether it still runs: a person closes a window. Raises ViewError where it has failed."""
        code = self._process.poll()
        if code:
            said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
            why = said[-1] if said else f"exit code {code}"
            raise ViewError(f"Rerun's viewer has ended: {why}; --serve and --save FILE.rrd need no window")
        return code is None


@contextlib.contextmanager
def window(to: Recording, blueprint) -> Iterator[Viewer]:
    """A window on this computer's screen, closed at the end. Raises ViewError."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ViewError(
            "this computer has no screen for a window: use --serve for a browser, or --save FILE.rrd"
        )
    port = _free_port(LOOPBACK, 0)
    with _running(
        ["--bind", LOOPBACK, "--port", str(port), "--memory-limit", _KEPT], LOOPBACK, port
    ) as process:
        to.stream.connect_grpc(_address(LOOPBACK, port), default_blueprint=blueprint)
        try:
            yield Viewer(process, "")
        finally:
            to.stream.disconnect()


@contextlib.contextmanager
def page(to: Recording, blueprint, host: str, port: int) -> Iterator[Viewer]:
    """A page for browsers at http://host:port, closed at the end. port 0: a free one. Raises ViewError."""
    data, port = _free_port(host, 0), _free_port(host, port)
    options = ["--serve-web", "--bind", host, "--port", str(data), "--web-viewer-port", str(port)]
    options += ["--server-memory-limit", _KEPT]
    if host != LOOPBACK:
        options += ["--cors-allow-origin", f"http://*:{port}"]
    with _running(options, host, data, port) as process:
        to.stream.connect_grpc(_address(_reachable(host), data), default_blueprint=blueprint)
        shown = _bracketed(socket.gethostname() if host in ("0.0.0.0", "::") else host)
        url = f"http://{shown}:{port}/?url={quote(f'rerun+http://{shown}:{data}/proxy', safe='')}"
        try:
            yield Viewer(process, url)
        finally:
            to.stream.disconnect()


@contextlib.contextmanager
def _running(options: list[str], host: str, *ports: int) -> Iterator[subprocess.Popen]:
    # In a session of its own, so that Ctrl-C ends it after the recording, which would complain otherwise.
    process = subprocess.Popen(
        [_program(), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + _START_S
        for port in ports:
            while not _listens(_reachable(host), port):
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    said = process.stderr.read().decode(errors="replace").strip().splitlines()
                    raise ViewError(
                        f"Rerun's viewer does not start: {said[-1] if said else 'it says nothing'}"
                    )
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


def _program() -> str:
    """Rerun's program in its package: its Python wrapper would stay between it and our signals."""
    found = importlib.util.find_spec("rerun_cli")
    for folder in found.submodule_search_locations or () if found else ():
        path = Path(folder, "rerun.exe" if os.name == "nt" else "rerun")
        if path.is_file():
            return str(path)
    raise ViewError("rerun-sdk is installed without its viewer: use --save FILE.rrd, or install it again")


def _address(host: str, port: int) -> str:
    return f"rerun+http://{_bracketed(host)}:{port}/proxy"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reachable(host: str) -> str:
    """An address of a server that listens on `host`."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _free_port(host: str, port: int) -> int:
    """`port` where it is free, any free one for 0. Raises ViewError."""
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return probe.getsockname()[1]
    except OSError as error:
        raise ViewError(
            f"cannot listen on {host}, port {port} ({error.strerror or error}): choose another --port, or an "
            "address of this computer with --host"
        ) from error
