"""One trial after the other: load, arrange, run, judge, note. ROS-free; the rig is behind `Rig`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from gr1_evaluation.rig.judging import FAILURE, REDO, START, SUCCESS, Verdict, VerdictQueue, numbered_kinds
from gr1_evaluation.rig.records import Records, Result
from gr1_evaluation.rig.sequential_test import decision

HOME, LOAD, ARRANGE, RUNNING, JUDGE, OVER = "home", "load", "arrange", "running", "judge", "over"
"""Phases, as in `evaluation/state`."""
_POLL_S = 0.2


class Interrupted(Exception):
    """The user ends the evaluation; the running trial is not counted."""


class Rig(Protocol):
    """The running stack. Each method returns when it is done, and raises RigError where it cannot be."""

    automatic: bool
    """Whether the twin judges by the task's own test, and arranges the table itself."""

    def load(self, checkpoint: str) -> None:
        """The policy node with this checkpoint, inactive."""

    def go_home(self) -> None: ...

    def arrange(self, task: str, seed: int, instruction: str) -> str:
        """The twin's table of this seed, where there is a twin; publishes and returns the instruction."""

    def start(self, image: Path, video: Path) -> None:
        """Saves the static camera's image, begins the video, and lets the policy act."""

    def judgement(self) -> Verdict | None:
        """The twin's, after the next control step; None: the trial is not over."""

    def stop(self) -> None:
        """The policy rests; the video is complete."""

    def calls(self) -> tuple[tuple[str, ...], bool]:
        """Since `start`: reasons for which the policy called, and whether a person drove."""

    def show(self, phase: str, state: dict, overlay: Path | None) -> None:
        """For desk and headset: the phase and what belongs to it; the start scene to lie over the camera."""


class RigEvaluation:
    """Runs the trials that are left. say(text): a line for the judge; it never names a checkpoint."""

    def __init__(self, records: Records, rig: Rig, verdicts: VerdictQueue, say: Callable[[str], None]):
        self._records, self._rig, self._verdicts, self._say = records, rig, verdicts, say
        self._ended = False

    def end(self) -> None:
        """From any thread: the running trial is given up."""
        self._ended = True

    def run(self) -> str:
        """Until it is decided or all pairs are done. Returns "a", "b" or "" (not decided)."""
        first = True
        while (trial := self._records.next_trial()) and not self.decided():
            if first and not self._rig.automatic:
                self._ask_for_home()
            first = False
            self._trial(*trial)
        self._rig.show(OVER, {}, None)
        return self.decided()

    def decided(self) -> str:
        """Looked at between pairs only: half a pair says which checkpoint may be behind."""
        return decision(self._records.counts())

    def _ask_for_home(self) -> None:
        self._say("the arm moves home now: step back, then press start (A, the desk's button, or Enter)")
        self._await(HOME, {}, None, (START,))
        self._rig.go_home()

    def _trial(self, pair: int, position: int) -> None:
        records, rig, plan = self._records, self._rig, self._records.plan
        task = plan.tasks[pair % len(plan.tasks)]
        about = {"pair": pair + 1, "pairs": plan.trials, "trial": position + 1, "task": task}
        rig.show(LOAD, about, None)
        rig.load(plan.checkpoints[records.order.checkpoint(pair, position)])
        instruction = rig.arrange(task, plan.first_seed + pair // len(plan.tasks), _instruction(task))
        about["instruction"] = instruction
        before = records.judged().get((pair, 0)) if position else None
        overlay = records.folder / before.start if before else None
        if not rig.automatic:
            layout = "lay the table as in the overlay" if overlay else "lay the table"
            self._say(f"pair {pair + 1} of {plan.trials}, trial {position + 1}: '{instruction}': {layout}")
            self._await(ARRANGE, about, overlay, (START,))
        name = f"trial_{pair + 1:03d}_{position + 1}"
        self._verdicts.clear()
        began = time.monotonic()
        rig.start(records.folder / f"{name}.jpg", records.folder / f"{name}.mp4")
        try:
            verdict = self._follow(about, began)
        finally:
            rig.stop()
        seconds = time.monotonic() - began
        calls, taken_over = rig.calls()
        if verdict is None:
            verdict = self._judge(about)
        records.add(
            Result(
                pair=pair,
                position=position,
                task=task,
                instruction=instruction,
                outcome=verdict.what,
                kind=verdict.kind,
                seconds=round(seconds, 2),
                judge=verdict.by,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                start=f"{name}.jpg",
                video=f"{name}.mp4",
                calls=calls,
                taken_over=taken_over,
                blind=not records.revealed,
                order_sha256=records.order.sha256,
            )
        )
        kind = f" ({verdict.kind})" if verdict.kind else ""
        self._say(f"pair {pair + 1}, trial {position + 1}: {verdict.what}{kind} after {seconds:.1f} s")
        if not rig.automatic:
            self._say("the arm moves home: stay away")
            rig.go_home()

    def _follow(self, about: dict, began: float) -> Verdict | None:
        """Until a verdict, or None after the trial's time."""
        limit = self._records.plan.seconds
        while True:
            self._check()
            passed = time.monotonic() - began
            self._rig.show(RUNNING, about | {"seconds": round(passed, 1), "limit_s": limit}, None)
            if self._rig.automatic:
                if verdict := self._rig.judgement():
                    return verdict
                continue
            if passed > limit:
                return None
            if verdict := self._verdicts.take((SUCCESS, FAILURE, REDO), _POLL_S):
                return verdict

    def _judge(self, about: dict) -> Verdict:
        self._say(f"time is over: s success, f failure ({numbered_kinds()}), r redo")
        return self._await(JUDGE, about, None, (SUCCESS, FAILURE, REDO))

    def _await(self, phase: str, about: dict, overlay: Path | None, wanted: tuple[str, ...]) -> Verdict:
        while True:
            self._check()
            self._rig.show(phase, about, overlay)
            if verdict := self._verdicts.take(wanted, _POLL_S):
                return verdict

    def _check(self) -> None:
        if self._ended:
            raise Interrupted


def _instruction(task: str) -> str:
    """The twin's task's instruction, or the text itself."""
    from gr1_core.sim.tasks import TASKS

    return TASKS[task].instructions[0] if task in TASKS else task
