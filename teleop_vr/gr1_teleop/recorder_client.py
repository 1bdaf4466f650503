"""Client of the recorder for `EpisodeControl`: its services, and the topic `instruction`."""

from __future__ import annotations

from collections.abc import Callable

from gr1_recorder import Recorder, RecorderError

TIMEOUT_S = 12.0
"""The recorder itself waits up to 5 s for its streams when an episode starts."""

_ENDS = ("success", "failure", "discard")


class RecorderClient:
    """Calls block until the recorder has responded.

    state(): the last message of recorder/state, {} if there is no recorder. publish_instruction(text):
    publishes an instruction. on_ended(): called after a running episode was ended by this client.
    """

    def __init__(
        self,
        namespace: str,
        state: Callable[[], dict],
        publish_instruction: Callable[[str], None],
        on_ended: Callable[[], None] = lambda: None,
    ):
        self._recorder, self._state = Recorder(namespace, TIMEOUT_S), state
        self._publish_instruction, self._on_ended = publish_instruction, on_ended

    def start(self) -> str:
        return self._call("start")

    def success(self) -> str:
        return self._call("success")

    def failure(self) -> str:
        return self._call("failure")

    def discard(self) -> str:
        return self._call("discard")

    def relabel(self, instruction: str) -> str:
        return self._call("relabel", instruction)

    def loss(self) -> str:
        state = self._state()
        return state.get("loss", "") if state.get("state") == "recording" else ""

    def publish_instruction(self, instruction: str) -> None:
        self._publish_instruction(instruction)

    def close(self) -> None:
        self._recorder.close()

    def _call(self, name: str, *arguments: str) -> str:
        before = self._state()
        if not before:
            raise RecorderError("no recorder is running: start the stack with record:=true (gr1 up --record)")
        bag = getattr(self._recorder, name)(*arguments)
        if name in _ENDS and before["state"] == "recording":
            self._on_ended()
        return bag
