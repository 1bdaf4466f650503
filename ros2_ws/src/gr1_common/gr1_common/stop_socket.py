"""The stop that needs no DDS: the Unix socket of each motion process, and its callers. Standard library only.

A caller connects (SOCK_SEQPACKET), sends a reason, and gets LATCHED at once and AT_REST when the arm rests.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FOLDER = "GR1_RUNTIME_DIR"
"""Environment variable: the folder of the sockets; without it gr1-<user id> in /tmp."""
EMERGENCY_STOP, SHUTTING_DOWN = "emergency_stop", "shutting_down"
"""What a caller may send: both latch; the second is the end of a run."""
LATCHED, AT_REST = "latched", "at rest"
SUFFIX = ".stop"
_SHARED = Path("/tmp")
_LONGEST = 100  # bytes of a socket's path; the system allows 107


class Answer(NamedTuple):
    """arm: as in the file's name. state: AT_REST, LATCHED (it was still moving when the time was over), or
    what went wrong.
    """

    arm: str
    state: str

    @property
    def stopped(self) -> bool:
        return self.state in (AT_REST, LATCHED)


def folder() -> Path:
    """The folder of this user's sockets, made where it does not exist; only its user can use it. Raises
    OSError.
    """
    path = _folder()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise PermissionError(f"'{path}' belongs to another user: remove it, or set {FOLDER}")
    return path


def socket_file(name: str, namespace: str = "", domain: str | None = None) -> Path:
    """The socket of one arm. name, namespace: the node's. domain: ROS_DOMAIN_ID; None: this process's.
    Raises OSError for a path that is too long.
    """
    domain = os.environ.get("ROS_DOMAIN_ID") or "0" if domain is None else domain
    where = ".".join(filter(None, (domain, *namespace.split("/"), name)))
    path = _folder() / f"{where}{SUFFIX}"
    if len(os.fsencode(path)) > _LONGEST:
        raise OSError(f"the path of the stop socket is too long: '{path}'; set {FOLDER} to a shorter folder")
    return path


def all_sockets() -> list[Path]:
    """The sockets of every arm on this computer that this user may stop."""
    folders = [_folder()] if FOLDER in os.environ else [_folder(), *_SHARED.glob("gr1-[0-9]*")]
    found = set()
    for one in folders:
        with contextlib.suppress(OSError):
            found |= set(one.glob(f"*{SUFFIX}"))
    return sorted(found)


def stop(files: Iterable[Path], reason: str = EMERGENCY_STOP, rest_s: float = 1.0) -> list[Answer]:
    """Stops these arms, all of them before it waits for one. An arm whose process has ended has no answer.

    rest_s: how long to wait until the arms are at rest; 0: not at all. Never raises for an arm that fails.
    """
    answers, connections = [], []
    for file in files:
        try:
            connections.append((file.stem, _send(file, reason)))
        except (ConnectionRefusedError, FileNotFoundError):
            continue  # its process was killed
        except OSError as error:
            answers.append(Answer(file.stem, f"not stopped: {error}"))
    until = time.monotonic() + rest_s
    for arm, connection in connections:
        with connection:
            answers.append(Answer(arm, _await_rest(connection, until)))
    return answers


def _send(file: Path, reason: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(1.0)
        connection.connect(str(file))
        connection.send(reason.encode())
    except BaseException:
        connection.close()
        raise
    return connection


def _await_rest(connection: socket.socket, until: float) -> str:
    state = ""
    try:
        connection.settimeout(1.0)  # the motion process answers at once
        state = connection.recv(64).decode()
        if state == LATCHED and until > time.monotonic():
            connection.settimeout(until - time.monotonic())
            state = connection.recv(64).decode() or state
    except TimeoutError:
        return state or "not stopped: its motion process does not answer"
    except OSError as error:
        return state or f"not stopped: {error}"
    return state or "not stopped: its motion process has just ended"


def _folder() -> Path:
    return Path(os.environ.get(FOLDER) or _SHARED / f"gr1-{os.getuid()}")
