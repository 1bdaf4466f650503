"""The judge's words: verdicts, kinds of failure, and where they come from. ROS-free."""

from __future__ import annotations

import queue
import time
from collections.abc import Collection
from dataclasses import dataclass

from gr1_core.eval import failures

FAILURE_KINDS = (*failures.FAILURE_KINDS, "unsafe", "other")
"""The twin's kinds, and what only a person sees."""
START, SUCCESS, FAILURE, REDO = "start", "success", "failure", "redo"
VERDICTS = (START, SUCCESS, FAILURE, REDO)
_SHORT = {"": START, "s": SUCCESS, "f": FAILURE, "r": REDO}


@dataclass(frozen=True)
class Verdict:
    """what: one of VERDICTS. kind: of a failure, one of FAILURE_KINDS. by: "desk" (page, headset, phone),
    "terminal" or "automatic" (the twin).
    """

    what: str
    kind: str = ""
    by: str = ""

    @classmethod
    def parse(cls, text: str, by: str = "") -> Verdict:
        """`success`, `failure`, `failure:dropped`, `redo`, `start`; in a terminal also s, f, `f 2`, r and an
        empty line. Raises ValueError.
        """
        what, _, kind = (part.strip() for part in text.lower().replace(":", " ", 1).partition(" "))
        what = _SHORT.get(what, what)
        if what not in VERDICTS:
            raise ValueError(f"'{text}' is no verdict: s (success), f (failure), r (redo) or Enter (start)")
        if kind and what != FAILURE:
            raise ValueError(f"'{text}': only a failure has a kind")
        if kind.isdigit() and 1 <= int(kind) <= len(FAILURE_KINDS):
            kind = FAILURE_KINDS[int(kind) - 1]
        if kind and kind not in FAILURE_KINDS:
            raise ValueError(f"'{kind}' is no kind of failure: {numbered_kinds()}")
        return cls(what, (kind or "other") if what == FAILURE else "", by)


def numbered_kinds() -> str:
    return ", ".join(f"{number} {kind}" for number, kind in enumerate(FAILURE_KINDS, 1))


class VerdictQueue:
    """Verdicts from any thread, taken by one."""

    def __init__(self):
        self._queue: queue.SimpleQueue[Verdict] = queue.SimpleQueue()

    def put(self, verdict: Verdict) -> None:
        self._queue.put(verdict)

    def clear(self) -> None:
        """Drops what was said before it was asked for."""
        while not self._queue.empty():
            self._queue.get()

    def take(self, wanted: Collection[str], timeout: float) -> Verdict | None:
        """The next verdict of those; None after `timeout` s. Others are dropped."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            try:
                verdict = self._queue.get(timeout=left)
            except queue.Empty:
                return None
            if verdict.what in wanted:
                return verdict
        return None
