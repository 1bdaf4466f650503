"""Writes one bag in a thread of its own, so that a slow disk delays nothing else. ROS-free."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from gr1_core.data.bag_writer import BagWriter
from gr1_core.data.metadata import BagError
from gr1_recorder.stream_statistics import Message

FLUSH_S = 0.5
_ROUND_S = 0.05
MB = 1_000_000


class Writer:
    """Takes messages from any thread and writes them in order.

    limit: bytes that may wait for the disk. watermark: free bytes on the disk below which no more messages
    are taken. full(reason) is called once, in the writer's thread, when the disk is full or fails; earlier
    messages are written as far as possible.
    """

    def __init__(self, bag: BagWriter, limit: int, watermark: int, full: Callable[[str], None]):
        self._bag, self._limit, self._watermark, self._full = bag, limit, watermark, full
        self._queue: deque[Message] = deque()
        self._lock = threading.Lock()
        self._waiting = 0
        self._ending = threading.Event()
        self._error: BagError | None = None
        self.low = False
        self.bytes = 0
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._waiting

    def enqueue(self, message: Message) -> bool:
        """False when the message cannot be kept: too many wait already, or the disk has failed."""
        with self._lock:
            if self._error or self._waiting + len(message.data) > self._limit:
                return False
            self._queue.append(message)
            self._waiting += len(message.data)
            return True

    def close(self, labels: Callable[[], Mapping[str, str]]) -> Path:
        """Writes pending messages, then completes the bag with `labels()`. Raises BagError when the disk
        fails.
        """
        self._ending.set()
        self._thread.join()
        if self._error:
            raise self._error
        return self._bag.close(labels())

    def _run(self) -> None:
        try:
            self._write()
        except BagError as error:
            with self._lock:
                self._error = error
                self._queue.clear()
                unwritten, self._waiting = self._waiting, 0
            self._full(f"{error}; {unwritten / MB:.1f} MB that waited for the disk are lost")

    def _write(self) -> None:
        due, ending = time.monotonic() + FLUSH_S, False
        while not ending:
            # In rounds: waking up for each message costs more than writing it.
            ending = self._ending.wait(_ROUND_S)
            with self._lock:
                messages = list(self._queue)
                self._queue.clear()
            for message in messages:
                self._bag.write_message(message.topic, message.data, message.log_time, message.publish_time)
                with self._lock:
                    self._waiting -= len(message.data)
                self.bytes += len(message.data)
                if time.monotonic() >= due:
                    due = self._flush()
            if time.monotonic() >= due:
                due = self._flush()

    def _flush(self) -> float:
        """Flushes to the operating system and checks the disk; returns the time of the next flush."""
        self._bag.flush()
        if not self.low and free_bytes(self._bag.folder) < self._watermark:
            self.low = True
            self._full(
                f"less than {self._watermark / MB:.0f} MB are free on the disk of {self._bag.folder.parent}"
            )
        return time.monotonic() + FLUSH_S


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder."""
    return shutil.disk_usage(folder).free
