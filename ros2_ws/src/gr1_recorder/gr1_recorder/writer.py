"""One bag, written by a thread of its own, so that a slow disk holds up neither the streams nor the node. No ROS import."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from gr1_core.data.bag_writer import BagWriter
from gr1_core.data.metadata import BagError
from gr1_recorder.counts import Message

FLUSH_S = 0.5
MB = 1_000_000


class Writer:
    """Takes messages from any thread and writes them in order.

    limit: bytes that may wait for the disk. watermark: free bytes on the disk below which nothing more is taken.
    full(reason) is called once, in the writer's thread, when the disk has no room left or fails; what was put before is written as far
    as the disk takes it.
    """

    def __init__(self, bag: BagWriter, limit: int, watermark: int, full: Callable[[str], None]):
        self._bag, self._limit, self._watermark, self._full = bag, limit, watermark, full
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._ending = False
        self._error: BagError | None = None
        self.low = False
        self.bytes = 0
        self._thread = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._waiting

    def put(self, message: Message) -> bool:
        """False when the message cannot be kept, because too much waits already or the disk has failed."""
        with self._changed:
            if self._error or self._ending or self._waiting + len(message.data) > self._limit:
                return False
            self._queue.append(message)
            self._waiting += len(message.data)
            self._changed.notify()
            return True

    def close(self, labels: Callable[[], Mapping[str, str]]) -> Path:
        """Writes what waits, then completes the bag with what `labels()` says by then. Raises BagError when the disk does not take it."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()
        if self._error:
            raise self._error
        return self._bag.close(labels())

    def _run(self) -> None:
        try:
            self._write()
        except BagError as error:
            with self._changed:
                self._error = error
                self._queue.clear()
                self._waiting = 0
            self._full(str(error))

    def _write(self) -> None:
        due = time.monotonic() + FLUSH_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ending, max(due - time.monotonic(), 0.0))
                messages = list(self._queue)
                self._queue.clear()
                ending = self._ending
            for message in messages:
                self._bag.write(message.topic, message.data, message.log_time, message.publish_time)
                with self._changed:
                    self._waiting -= len(message.data)
                self.bytes += len(message.data)
                if time.monotonic() >= due:
                    due = self._flush()
            if ending:
                return
            if time.monotonic() >= due:
                due = self._flush()

    def _flush(self) -> float:
        """Hands everything to the operating system and looks at the disk; returns when to come again."""
        self._bag.flush()
        if not self.low and free(self._bag.folder) < self._watermark:
            self.low = True
            self._full(f"less than {self._watermark / MB:.0f} MB are free on the disk of {self._bag.folder.parent}")
        return time.monotonic() + FLUSH_S


def free(folder: Path) -> int:
    """Free bytes on the disk of a folder."""
    return shutil.disk_usage(folder).free
