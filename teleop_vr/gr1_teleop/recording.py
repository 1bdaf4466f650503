"""The recorder as `Episodes` wants it: its services, and the topic `instruction`."""

from __future__ import annotations

from collections.abc import Callable

from gr1_recorder import Recorder, RecorderError

ANSWER_S = 12.0
"""A start waits up to the recorder's patience (5 s) for its streams."""


class Recording:
    """Calls block until the recorder has answered. there: whether a recorder is heard at all; say(text): publishes an instruction."""

    def __init__(self, namespace: str, there: Callable[[], bool], say: Callable[[str], None]):
        self._recorder, self._there, self._say = Recorder(namespace, ANSWER_S), there, say

    def start(self) -> str:
        return self._called("start")

    def success(self) -> str:
        return self._called("success")

    def failure(self) -> str:
        return self._called("failure")

    def discard(self) -> str:
        return self._called("discard")

    def relabel(self, instruction: str) -> str:
        return self._called("relabel", instruction)

    def instruct(self, instruction: str) -> None:
        self._say(instruction)

    def close(self) -> None:
        self._recorder.close()

    def _called(self, name: str, *given: str) -> str:
        if not self._there():
            raise RecorderError("no recorder is running: start the stack with collect:=true (gr1 up --collect)")
        return getattr(self._recorder, name)(*given)
