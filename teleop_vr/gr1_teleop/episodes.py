"""Episodes from a controller's buttons or the workstation's page: asked twice where a slip would cost one, then told to the recorder."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gr1_teleop.episode_index import Library
from gr1_teleop.protocol import ACTIONS, MAX_INSTRUCTION

CONFIRM_S = 3.0
"""How long a question waits for the second press."""

_ASKED = ("success", "discard")
_BUSY = {"start": "starting", "relabel": "relabelling"}
_SHOWN_S = 5.0
_log = logging.getLogger(__name__)
_PULSES = {
    "asked": {"kind": "record", "ms": 40, "strength": 0.4},
    "done": {"kind": "record", "ms": 150, "strength": 0.8},
    "refused": {"kind": "refused", "ms": 300, "strength": 1.0},
}


class EpisodeError(ValueError):
    """Something that cannot be done with episodes now; the text says why and what to do."""


class Recorder(Protocol):
    """What is needed of the recorder (gr1_recorder.Recorder has all but `instruct`). Each call returns a bag's name when it is done, or
    raises a ValueError that says why not."""

    def start(self) -> str: ...
    def success(self) -> str: ...
    def failure(self) -> str: ...
    def discard(self) -> str: ...
    def relabel(self, instruction: str) -> str: ...
    def instruct(self, instruction: str) -> None:
        """Tells the whole stack what is to be demonstrated (the topic `instruction`)."""


class Episodes:
    """From any thread. `press` decides at once; what it returns is to be called elsewhere, since the recorder takes seconds."""

    def __init__(self, recorder: Recorder, folder: str | Path, clock: Callable[[], float] = time.monotonic):
        self.library = Library(folder)
        self._recorder, self._clock = recorder, clock
        self._lock = threading.Lock()
        self._instruction = self._busy = ""
        self._question: tuple[str, float] | None = None
        self._pulses: list[dict] = []
        self._refusal = ("", float("-inf"))

    def press(self, action: str, instruction: str = "", two_steps: bool = False) -> Callable[[], str] | None:
        """None when this was the first press of two: a question is open now. Otherwise the call that does it: it returns the bag's
        name, or raises EpisodeError.

        instruction: for "start" what is demonstrated from now on ("": as before), for "relabel" what the last bag is to say. two_steps:
        success and discard must be pressed twice within CONFIRM_S, without another press between. Raises EpisodeError at once when it
        cannot be: unknown, the recorder is still busy, no instruction to relabel with.
        """
        with self._lock:
            open_question, self._question = self._asked(), None
            if action not in ACTIONS:
                self._refuse(f"no action '{action}' of an episode: {', '.join(ACTIONS)}")
            self._check_free()
            if instruction or action == "relabel":
                instruction = self._checked(instruction)
            if two_steps and action in _ASKED and open_question != action:
                self._question = action, self._clock() + CONFIRM_S
                self._pulses.append(_PULSES["asked"])
                return None
            self._busy = _BUSY.get(action, "ending")
        return lambda: self._do(action, instruction)

    def instruct(self, instruction: str) -> Callable[[], str]:
        """What is to be demonstrated from now on; the call that tells the stack. Raises EpisodeError for a text that cannot be one."""
        with self._lock:
            self._check_free()
            instruction = self._checked(instruction)
            self._busy = "instructing"
        return lambda: self._do("instruct", instruction)

    def state(self) -> dict:
        """{busy: "", "starting", "ending", "relabelling" or "instructing"; confirm: None, "success" or "discard"; instruction: the last one
        given here; refusal: why the last press was refused, for five seconds}."""
        with self._lock:
            text, at = self._refusal
            fresh = self._clock() - at < _SHOWN_S
            return {
                "busy": self._busy,
                "confirm": self._asked(),
                "instruction": self._instruction,
                "refusal": text if fresh else "",
            }

    def haptics(self) -> list[dict]:
        """Pulses {kind, ms, strength} for the operator's hand since the last call."""
        with self._lock:
            pulses, self._pulses = self._pulses, []
            return pulses

    def _asked(self) -> str | None:
        return self._question[0] if self._question and self._clock() < self._question[1] else None

    def _check_free(self) -> None:
        if self._busy:
            self._refuse(f"the recorder is still {self._busy}: wait a moment")

    def _checked(self, instruction: str) -> str:
        text = instruction.strip()
        if not text:
            self._refuse('the instruction is empty: say what is demonstrated, for example "open the drawer"')
        if len(text) > MAX_INSTRUCTION:
            self._refuse(f"the instruction has {len(text)} characters: at most {MAX_INSTRUCTION}, please")
        if not text.isprintable():
            self._refuse(
                f"the instruction {text[:60]!r} has line breaks or control characters: one line of text, please"
            )
        return text

    def _refuse(self, why: str) -> None:
        self._pulses.append(_PULSES["refused"])
        self._refusal = why, self._clock()
        raise EpisodeError(why)

    def _do(self, action: str, instruction: str) -> str:
        try:
            if instruction and action in ("start", "instruct"):
                self._recorder.instruct(instruction)
                with self._lock:
                    self._instruction = instruction
            if action == "instruct":
                name = ""
            elif action == "relabel":
                name = self._recorder.relabel(instruction)
            else:
                name = getattr(self._recorder, action)()
        except ValueError as error:
            with self._lock:
                self._refuse(str(error))
        except Exception as error:
            _log.exception("the recorder failed")
            with self._lock:
                self._refuse(
                    f"the recorder could not be asked ({type(error).__name__}: {error}): see the terminal"
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
