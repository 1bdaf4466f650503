"""A worker thread that processes only the newest item. ROS-free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """`post` never blocks: it replaces an item that has not been processed yet. `work(item)` runs in the
    mailbox's thread.

    on_failure(error) is called in that thread when the work raises; the thread has ended then.
    """

    def __init__(self, work: Callable[[Item], None], on_failure: Callable[[Exception], None], name: str):
        self._work, self._on_failure = work, on_failure
        self._newest: Item | None = None
        self._arrived = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, item: Item) -> None:
        self._newest = item
        self._arrived.set()

    def end(self) -> None:
        """Ends after the current item."""
        self._ending = True
        self._arrived.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while True:
                self._arrived.wait()
                self._arrived.clear()
                if self._ending:
                    return
                self._work(self._newest)
        except Exception as error:
            self._on_failure(error)
