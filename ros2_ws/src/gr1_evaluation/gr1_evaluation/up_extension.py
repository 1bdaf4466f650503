"""`gr1 up --evaluate`: the options, and from them a session. ROS-free."""

from __future__ import annotations

import argparse
import re

from gr1_bringup.arguments import SettingError
from gr1_bringup.extension import Extension, RunningExtension

_HELP = (
    "robot:=sim: evaluate the policy, one trial after another, each on a new table; WHAT: tasks (all in "
    "turn), a,b (these in turn), or a suite of gr1 evaluate sim. Type another instruction at any time"
)


class EvaluateExtension(Extension):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--evaluate", default="", metavar="WHAT", help=_HELP)
        parser.add_argument(
            "--trials",
            type=_trials,
            metavar="N",
            help="with --evaluate: end after N trials; the last line is then one JSON document",
        )

    def prepare(self, options: argparse.Namespace, chosen: dict[str, str]) -> RunningExtension | None:
        if not options.evaluate:
            if options.trials is not None:
                raise SettingError("trials: add --evaluate tasks, or --evaluate and a suite such as seen")
            return None
        if chosen["robot"] != "sim" or chosen["driver"] != "policy":
            raise SettingError(
                "evaluate: it judges a policy on the simulated table: choose robot 'sim', driver 'policy'"
            )
        for name in ("task", "instruction"):
            if getattr(options, name):
                raise SettingError(
                    f"{name}: with --evaluate each trial brings its own; leave it out, or name tasks as "
                    "--evaluate a,b"
                )
        if int(chosen["episodes"]):
            raise SettingError("episodes: with --evaluate use --trials N")
        from gr1_evaluation import evaluation
        from gr1_evaluation.session import EvaluationSession

        asked = evaluation.parse(
            options.evaluate, options.trials, int(options.seed) if options.seed else None
        )
        # The session sets the tasks itself; the policy waits for its instructions.
        chosen |= {"tasks_in_turn": "false", "task": "", "instruction": ""}
        return EvaluationSession(asked, chosen)


def _trials(word: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,5}", word):
        raise argparse.ArgumentTypeError(f"'{word}' is not a whole number from 1 to 999999")
    return int(word)


EXTENSION = EvaluateExtension()
