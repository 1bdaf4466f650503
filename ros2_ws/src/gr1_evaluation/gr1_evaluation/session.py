"""What `gr1 up --evaluate` adds to a run: evaluator, keyboard, score table, video. ROS-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType

from gr1_bringup.arguments import UNTRAINED
from gr1_bringup.extension import ExtensionError, RunContext, RunningExtension
from gr1_bringup.keyboard import Keyboard
from gr1_bringup.run import short_path
from gr1_core import Rig
from gr1_core.plural import plural
from gr1_core.rig import ROLES
from gr1_evaluation import score_table
from gr1_evaluation.evaluation import Evaluation
from gr1_evaluation.rollout_recording import Recording

RECORDING = "recording.npz"
USUAL_FUTURE_STEPS = 3
"""Control steps from a frame to the one that GR-1 predicts, unless the checkpoint's configuration has
another number.
"""


class EvaluationSession(RunningExtension):
    """chosen: the stack's settings."""

    makes_video = True

    def __init__(self, evaluation: Evaluation, chosen: Mapping[str, str]):
        self.evaluation = evaluation
        self._rig, self._checkpoint = Rig.load(chosen["rig"]), _folder(chosen["checkpoint"])
        self.keyboard = Keyboard()
        self.recording: Recording | None = None
        self._context: RunContext | None = None
        self._evaluator = None

    def attach(self, context: RunContext, monitor) -> None:
        from gr1_evaluation.evaluator import Evaluator

        self._context, self.keyboard.on_space = context, context.stop
        self.recording = self.new_recording() if context.video else None
        self._evaluator = Evaluator(monitor, self.evaluation, self._rig, context.say, self.recording)

    def new_recording(self) -> Recording:
        """An empty recording with what the checkpoint says of its predicted frames."""
        ahead = _future_steps(self._checkpoint) * self._rig.period
        return Recording(self._rig.period, ahead, _note(self._checkpoint))

    def start(self) -> None:
        self._evaluator.start()

    def terminal(self) -> Keyboard:
        return self.keyboard

    def poll(self, seconds: float) -> bool:
        """Passes on what was typed; True once all trials are over. Raises ExtensionError for a stack that
        cannot be evaluated.
        """
        for line in self.keyboard.lines():
            self._evaluator.request(line)
        if self._evaluator.failure:
            raise ExtensionError(self._evaluator.failure)
        return self._evaluator.over

    def decorate(self, table: RenderableType) -> RenderableType:
        """The scores, then the stack's table: a small terminal cuts off the end."""
        scores = score_table.scores(self.evaluation, self._evaluator.current(), self.keyboard.typed)
        return Group(scores, table)

    def line(self) -> str:
        return score_table.line(self.evaluation, self._evaluator.current())

    def close(self) -> None:
        if self._evaluator:
            self._evaluator.close()

    def conclude(self, interrupted: Callable[[], bool]) -> None:
        """Draws the video now, so that it costs the run nothing, and prints the scores; with a number of
        trials also as JSON.
        """
        if not self._context:
            return
        self._draw(interrupted)
        self._context.say(self.evaluation.summary(), "bold")
        if self.evaluation.number:
            self._context.say(self.evaluation.document(self._evaluator.latencies, self._evaluator.acted))

    def _draw(self, interrupted: Callable[[], bool]) -> None:
        import av

        from gr1_evaluation import evaluation_video

        if not self.recording or not self.recording.states:
            return
        file = self._context.video
        with Console(highlight=False).status("drawing the video") as status:

            def go_on(share: float) -> bool:
                status.update(f"drawing the video: {share:.0%}; Ctrl-C ends it here")
                return not interrupted()

            try:
                self.recording.save(self._context.folder / RECORDING)
                count = evaluation_video.write_video(file, self.recording, self._rig, go_on=go_on)
                result = plural(count, "frame") if count else "interrupted before its first frame"
            except (OSError, ValueError, RuntimeError, av.FFmpegError) as error:
                result = f"not written: {error}"
        self._context.say(f"video: {short_path(file)}, {result}")


def _folder(checkpoint: str) -> Path | None:
    return Path(checkpoint) if checkpoint not in ("", UNTRAINED) else None


def _future_steps(checkpoint: Path | None) -> int:
    """How many control steps ahead the model predicts."""
    return _read(checkpoint, "config.json").get("future_steps", USUAL_FUTURE_STEPS)


def _note(checkpoint: Path | None) -> str:
    """Whether predicted frames are untrained: a loss of weight 0 has trained nothing."""
    recipe = _mapping(_read(checkpoint, "training.json").get("recipe"))
    loss = _mapping(recipe.get("loss"))
    return "" if checkpoint and all(loss.get(role, 1) for role in ROLES) else "untrained"


def _mapping(found: object) -> dict:
    return found if isinstance(found, dict) else {}


def _read(checkpoint: Path | None, name: str) -> dict:
    """A JSON file of the checkpoint. A damaged one is for the policy node to refuse."""
    try:
        return dict(json.loads((checkpoint / name).read_text())) if checkpoint else {}
    except (OSError, ValueError, TypeError):
        return {}
