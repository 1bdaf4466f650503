"""Starts, ends and relabels episodes at the press of a button; asks for confirmation; holds the instruction.

An instruction that a person gave, here or by the task list, stays until a person changes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gr1_teleop.episode_index import EpisodeIndex
from gr1_teleop.protocol import EPISODE_ACTIONS, MAX_INSTRUCTION
from gr1_teleop.task_list import TaskList

CONFIRM_S, READ_S = 3.0, 15.0
"""Time for the second press of a confirmation, and of one with a reason that must be read, s."""

_CONFIRMED_ACTIONS = ("success", "discard")
_BUSY = {"start": "starting", "relabel": "relabelling", "instruct": "instructing"}
_STEPS = {"next_task": 1, "previous_task": -1}
_REFUSAL_SHOWN_S = 5.0
_log = logging.getLogger(__name__)
_PULSES = {
    "asked": {"kind": "record", "ms": 40, "strength": 0.4},
    "done": {"kind": "record", "ms": 150, "strength": 0.8},
    "refused": {"kind": "refused", "ms": 300, "strength": 1.0},
}


class EpisodeError(ValueError):
    """An action that is not possible now; the text says why and what to do."""


class Recorder(Protocol):
    """The recorder. Each call returns the bag's name when it has finished, or raises ValueError."""

    def start(self) -> str: ...
    def success(self) -> str: ...
    def failure(self) -> str: ...
    def discard(self) -> str: ...
    def relabel(self, instruction: str) -> str: ...
    def publish_instruction(self, instruction: str) -> None:
        """Publishes the instruction of the next episodes on the topic `instruction`."""

    def loss(self) -> str:
        """What conversion would leave out of the running episode, in words; "" if it is little."""


class EpisodeControl:
    """Thread-safe. `press` returns at once; the callable that it returns takes seconds."""

    def __init__(
        self,
        recorder: Recorder,
        folder: str | Path,
        clock: Callable[[], float] = time.monotonic,
        tasks: TaskList | None = None,
    ):
        self.index = EpisodeIndex(folder)
        self._recorder, self._clock, self._tasks = recorder, clock, tasks
        self._lock = threading.Lock()
        self._instruction = self._busy = ""
        self._question: tuple[str, float, str] | None = None
        self._pulses: list[dict] = []
        self._refusal = ("", float("-inf"))

    def press(self, action: str, instruction: str = "", two_steps: bool = False) -> Callable[[], str] | None:
        """Returns None after the first of two presses: a confirmation is open then. Otherwise returns a
        callable that performs the action: it returns the bag's name or raises EpisodeError.

        instruction: for "start" the new instruction ("": unchanged), for "relabel" the last bag's new label.
        two_steps: success and discard must be pressed twice within CONFIRM_S, with no other press in between.
        Success is asked for from every device if conversion would leave out a good part of the episode.
        "next_task" and "previous_task" choose from the task list.

        Raises EpisodeError at once for an unknown action, a busy recorder or a missing instruction.
        """
        with self._lock:
            open_question, self._question = self._open_question(), None
            if action not in EPISODE_ACTIONS:
                self._refuse(f"unknown episode action '{action}': expected {', '.join(EPISODE_ACTIONS)}")
            self._check_free()
            if instruction or action == "relabel":
                instruction = self._validated(instruction)
            if action in _STEPS:
                action, instruction = "instruct", self._task_beside(_STEPS[action])
            loss = self._recorder.loss() if action == "success" else ""
            if (loss or (two_steps and action in _CONFIRMED_ACTIONS)) and open_question != action:
                self._question = action, self._clock() + (READ_S if loss else CONFIRM_S), loss
                self._pulses.append(_PULSES["asked"])
                return None
            self._busy = _BUSY.get(action, "ending")
        return lambda: self._call_recorder(action, instruction)

    def set_instruction(self, instruction: str) -> Callable[[], str]:
        """Returns a callable that publishes the instruction. Raises EpisodeError for an invalid text."""
        with self._lock:
            self._check_free()
            instruction = self._validated(instruction)
            self._busy = "instructing"
        return lambda: self._call_recorder("instruct", instruction)

    @property
    def instruction(self) -> str:
        """The instruction that a person gave last, "" if none did."""
        with self._lock:
            return self._instruction

    def begin(self, instruction: str) -> None:
        """Publishes the instruction that the user started with, or else the task list's first."""
        if not instruction and self._tasks:
            instruction = self._tasks.first(self._successes())
        if instruction:
            self._call_recorder("instruct", instruction)

    def state(self) -> dict:
        """{busy: "", "starting", "ending", "relabelling" or "instructing"; confirm: None, "success" or
        "discard": the open confirmation; confirm_why: what conversion would leave out, or ""; instruction:
        the last one set here; tasks: of `TaskList.progress`, [] without a list; refusal: reason of the last
        refusal, kept for 5 s}."""
        with self._lock:
            text, at = self._refusal
            fresh = self._clock() - at < _REFUSAL_SHOWN_S
            asked = self._open_question()
            return {
                "busy": self._busy,
                "confirm": asked,
                "confirm_why": self._question[2] if asked else "",
                "instruction": self._instruction,
                "tasks": self._tasks.progress(self.index.successes) if self._tasks else [],
                "refusal": text if fresh else "",
            }

    def pop_haptics(self) -> list[dict]:
        """Haptic pulses {kind, ms, strength} since the last call."""
        with self._lock:
            pulses, self._pulses = self._pulses, []
            return pulses

    def _choose_next(self) -> None:
        now = self.instruction
        following = self._tasks.after_success(now, self._successes())
        if following != now:
            self._recorder.publish_instruction(following)
            with self._lock:
                self._instruction = following

    def _open_question(self) -> str | None:
        return self._question[0] if self._question and self._clock() < self._question[1] else None

    def _task_beside(self, by: int) -> str:
        if not self._tasks:
            self._refuse(
                "there is no task list: start with one (gr1 up --task-list FILE), or type an instruction"
            )
        return self._tasks.step(self._instruction, by)

    def _successes(self) -> dict[str, int]:
        self.index.list_episodes()
        return dict(self.index.successes)

    def _check_free(self) -> None:
        if self._busy:
            self._refuse(f"the recorder is still {self._busy}: wait a moment")

    def _validated(self, instruction: str) -> str:
        text = instruction.strip()
        if not text:
            self._refuse(
                'the instruction is empty: enter what is demonstrated, for example "open the drawer"'
            )
        if len(text) > MAX_INSTRUCTION:
            self._refuse(f"the instruction has {len(text)} characters: use at most {MAX_INSTRUCTION}")
        if not text.isprintable():
            self._refuse(
                f"the instruction {text[:60]!r} has line breaks or control characters: enter one line of text"
            )
        return text

    def _refuse(self, why: str) -> None:
        self._pulses.append(_PULSES["refused"])
        self._refusal = why, self._clock()
        raise EpisodeError(why)

    def _call_recorder(self, action: str, instruction: str) -> str:
        try:
            if instruction and action in ("start", "instruct"):
                self._recorder.publish_instruction(instruction)
                with self._lock:
                    self._instruction = instruction
            if action == "instruct":
                name = ""
            elif action == "relabel":
                name = self._recorder.relabel(instruction)
            else:
                name = getattr(self._recorder, action)()
            if action == "success" and self._tasks:
                self._choose_next()
        except ValueError as error:
            with self._lock:
                self._refuse(str(error))
        except Exception as error:
            _log.exception("the recorder failed")
            with self._lock:
                self._refuse(
                    f"the recorder could not be called ({type(error).__name__}: {error}): see the terminal"
                )
        else:
            with self._lock:
                self._refusal = "", float("-inf")
                if action != "instruct":
                    self._pulses.append(_PULSES["done"])
            return name
        finally:
            with self._lock:
                self._busy = ""
