"""The recorder as `Episodes` wants it: its services, and the topic `instruction`."""

from __future__ import annotations

from collections.abc import Callable

from gr1_recorder import Recorder, RecorderError

ANSWER_S = 12.0
"""A start waits up to the recorder's patience (5 s) for its streams."""

_ENDS = ("success", "failure", "discard")


class Recording:
    """Calls block until the recorder has answered. heard(): what it last said of itself, {} if it is not there; say(text): publishes an
    instruction; ended(): called after an episode that was running has been ended here."""

    def __init__(
        self,
        namespace: str,
        heard: Callable[[], dict],
        say: Callable[[str], None],
        ended: Callable[[], None] = lambda: None,
    ):
        self._recorder, self._heard, self._say, self._ended = Recorder(namespace, ANSWER_S), heard, say, ended

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
        before = self._heard()
        if not before:
            raise RecorderError(
                "no recorder is running: start the stack with collect:=true (gr1 up --collect)"
            )
        bag = getattr(self._recorder, name)(*given)
        if name in _ENDS and before["state"] == "recording":
            self._ended()
        return bag
