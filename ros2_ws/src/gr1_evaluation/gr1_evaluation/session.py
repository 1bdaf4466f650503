"""All that `gr1 up --examine` adds to a run: the examiner, the keyboard, what is shown of them, and the film at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Group, RenderableType

from gr1_bringup import stack
from gr1_bringup.keyboard import Keyboard
from gr1_core import Rig
from gr1_core.rig import ROLES
from gr1_evaluation import evaluation, score_table
from gr1_evaluation.rollout_recording import Recording

RECORDING = "recording.npz"
USUALLY_AHEAD = 3
"""Control steps from a frame to the one that GR-1 predicts, unless a checkpoint says otherwise."""


class SittingError(RuntimeError):
    """An examination that cannot go on."""


class Sitting:
    """chosen: the stack's settings. film: where it goes; None: none is made. say(text): a line for a person."""

    def __init__(
        self,
        asked: evaluation.Examination,
        chosen: Mapping[str, str],
        film: Path | None,
        say: Callable[[str], None],
    ):
        self.examination, self.file, self._say = asked, film, say
        self._rig = Rig.load(chosen["rig"])
        self.keyboard = Keyboard()
        folder = Path(chosen["checkpoint"]) if chosen["checkpoint"] else None
        self.recording = (
            Recording(self._rig.period, _ahead(folder) * self._rig.period, _note(folder)) if film else None
        )
        self._examiner = None

    def attach(self, monitor) -> None:
        """Listens and speaks through the monitor's node; before it is started."""
        from gr1_evaluation.evaluator import Examiner

        self._examiner = Examiner(monitor, self.examination, self._rig, self._say, self.recording)

    def start(self) -> None:
        self._examiner.start()

    def close(self) -> None:
        if self._examiner:
            self._examiner.close()

    def poll(self) -> bool:
        """Hands on what was typed; True once all trials are over. Raises SittingError for a stack that cannot be examined."""
        for line in self.keyboard.lines():
            self._examiner.ask(line)
        if self._examiner.failure:
            raise SittingError(self._examiner.failure)
        return self._examiner.over

    def shown(self, table: RenderableType) -> RenderableType:
        """The scores, then the stack's table: what a small terminal has no room for is cut off at its end."""
        return Group(score_table.scores(self.examination, self._examiner.now(), self.keyboard.typed), table)

    def line(self) -> str:
        return score_table.line(self.examination, self._examiner.now())

    def document(self) -> str:
        """One line of JSON for a run that has a number of trials, else nothing."""
        return (
            self.examination.document(self._examiner.latencies, self._examiner.acted)
            if self.examination.number
            else ""
        )

    def draw(self, folder: Path, go_on: Callable[[float], bool]) -> str:
        """Makes the film and leaves in `folder` what it can be drawn from again; returns what to tell. go_on: see evaluation_video.write."""
        import av

        from gr1_evaluation import evaluation_video

        if not self.recording or not self.recording.states:
            return ""
        try:
            self.recording.save(folder / RECORDING)
            count = evaluation_video.write(self.file, self.recording, self._rig, go_on=go_on)
        except (OSError, ValueError, RuntimeError, av.FFmpegError) as error:
            return f"not written: {error}"
        return f"{count} frames" if count else "interrupted before its first frame"


def _ahead(checkpoint: Path | None) -> int:
    """How many control steps ahead the model predicts."""
    return _read(checkpoint, "config.json").get("future_steps", USUALLY_AHEAD)


def _note(checkpoint: Path | None) -> str:
    """What must be said of the predicted frames: a loss of weight 0 has taught nothing."""
    recipe = _mapping(_read(checkpoint, "training.json").get("recipe"))
    loss = _mapping(recipe.get("loss"))
    return "" if checkpoint and all(loss.get(role, 1) for role in ROLES) else "untrained"


def _mapping(found: object) -> dict:
    return found if isinstance(found, dict) else {}


def _read(checkpoint: Path | None, name: str) -> dict:
    """A file of the checkpoint. One that is damaged is the policy node's to refuse."""
    try:
        return dict(json.loads((checkpoint / name).read_text())) if checkpoint else {}
    except (OSError, ValueError, TypeError):
        return {}


def parse(
    what: str, trials: int | None, given: Mapping[str, str], chosen: dict[str, str]
) -> evaluation.Examination | None:
    """The examination that was asked for on the command line; the policy then waits for its sentences. Raises SettingError.

    given: the stack's arguments as they were written; chosen: what has become of them.
    """
    if not what:
        if trials is not None:
            raise stack.SettingError("trials: of what? Add --examine tasks, or a column such as seen")
        return None
    if chosen["robot"] != "sim" or chosen["drive"] != "policy":
        raise stack.SettingError(
            "examine: the simulated table is laid and the policy judged: robot must be 'sim' and drive 'policy'"
        )
    for name in ("task", "instruction"):
        if given[name]:
            raise stack.SettingError(
                f"{name}: with examine each trial brings its own; leave it out, or write it as --examine a,b"
            )
        chosen[name] = ""
    usual = next(one.default for one in stack.ARGUMENTS if one.name == "seed")
    return evaluation.parse(what, trials, None if given["seed"] == usual else int(given["seed"]))
