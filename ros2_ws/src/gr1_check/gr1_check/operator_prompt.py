"""Tells the operator beside the arm what will happen, and asks before it does."""

from __future__ import annotations

from rich.console import Console


class Quit(Exception):
    """The operator ended the check, or there is no answer."""


class OperatorPrompt:
    """yes: every question is answered with Enter (the simulated arm only)."""

    def __init__(self, console: Console, yes: bool):
        self._console, self._yes = console, yes

    def confirm(self, what: str) -> bool:
        """Announces what will happen. True: go on; False: leave it out. Raises Quit."""
        self._console.print(f"  {what}", style="bold", markup=False, soft_wrap=True)
        return self._answer("Enter: go on   s: leave this out   q: end") != "s"

    def ask(self, question: str) -> bool | None:
        """None when no question was asked (`yes`). Raises Quit."""
        self._console.print(f"  {question}", style="bold", markup=False, soft_wrap=True)
        return None if self._yes else self._answer("Enter: yes   n: no   q: end") != "n"

    def _answer(self, choices: str) -> str:
        if self._yes:
            self._console.print("  (--yes)", style="dim", markup=False)
            return ""
        self._console.print(f"  {choices} > ", end="", markup=False)
        try:
            answer = input().strip().lower()
        except EOFError:
            raise Quit("no answer: the check needs a terminal and a person beside the arm") from None
        if answer == "q":
            raise Quit("ended by the operator")
        return answer
