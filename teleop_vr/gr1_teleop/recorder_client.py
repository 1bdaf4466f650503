"""Client of the recorder for `EpisodeControl`: its services, and the topic `instruction`."""

from __future__ import annotations

from collections.abc import Callable

from gr1_recorder import Recorder, RecorderError

TIMEOUT_S = 12.0
"""The recorder itself waits up to 5 s for its streams when an episode starts."""

_ENDS = ("success", "failure", "discard")
_VERDICTS = {"start": "start", "success": "success", "failure": "failure", "discard": "redo"}


class RecorderClient:
    """Calls block until the recorder has responded.

    state(): the last message of recorder/state, {} if there is no recorder. publish_instruction(text):
    publishes an instruction. on_ended(): called after a running episode was ended by this client.
    judge: while an evaluation runs (`evaluation()` is not empty) the same buttons start and judge its trials.
    """

    def __init__(
        self,
        namespace: str,
        state: Callable[[], dict],
        publish_instruction: Callable[[str], None],
        on_ended: Callable[[], None] = lambda: None,
        evaluation: Callable[[], dict] = dict,
        judge: Callable[[str], tuple[bool, str]] = lambda verdict: (False, "no evaluation is running"),
    ):
        self._recorder, self._state = Recorder(namespace, TIMEOUT_S), state
        self._publish_instruction, self._on_ended = publish_instruction, on_ended
        self._evaluation, self._judge = evaluation, judge

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
        if self._evaluation():
            return self._verdict(name)
        before = self._state()
        if not before:
            raise RecorderError("no recorder is running: start the stack with record:=true (gr1 up --record)")
        bag = getattr(self._recorder, name)(*arguments)
        if name in _ENDS and before["state"] == "recording":
            self._on_ended()
        return bag

    def _verdict(self, name: str) -> str:
        if name not in _VERDICTS:
            raise RecorderError("an evaluation is running: there is no episode to relabel")
        done, text = self._judge(_VERDICTS[name])
        if not done:
            raise RecorderError(text)
        return text
