"""One node in one process: start, spin, end with code 0 on SIGINT and SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from gr1_common.shell import shell_problem

HOLD = "GR1_HOLD"
"""Environment variable: where it is set, the process imports its modules and then waits for a line on stdin
before it enters the ROS graph. `gr1 up` looks meanwhile whether another stack runs.
"""


def run_node(
    make_node: Callable[[], Node],
    args: Sequence[str] | None = None,
    errors: tuple[type[Exception], ...] = (),
    prepare: Callable[[], None] = lambda: None,
) -> int:
    """Makes the node and spins it until a signal arrives or its `finished` event (if it has one) is set;
    returns the exit code.

    The node's `close()`, if it has one, is called while its publishers still work. `errors` are user errors
    (a wrong parameter, a missing file): their text is printed without a traceback and the exit code is 1.
    `prepare` does what takes long and needs no node; it is called where the process is held (HOLD).
    """
    if os.environ.pop(HOLD, ""):
        # There is nothing to release yet: a signal ends the process at once.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        prepare()
        if not _released():
            return 0
    if problem := shell_problem():
        print(f"error: {problem}", file=sys.stderr, flush=True)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    # rclpy's own handlers invalidate the context at once, while threads still publish.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = executor = None
    try:
        node = make_node()
        finished = getattr(node, "finished", ended)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok() and not ended.is_set() and not finished.is_set():
            executor.spin_once(timeout_sec=0.1)
        return getattr(node, "exit_code", 0)
    except errors as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        # A second Ctrl-C (a terminal and a launcher both send one) must not interrupt the shutdown.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if node is not None:
            getattr(node, "close", lambda: None)()
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def _released() -> bool:
    """Waits for the line on stdin. False: the runner has ended."""
    return bool(os.read(sys.stdin.fileno(), 1))
