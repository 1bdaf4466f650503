"""A rig without ROS: each checkpoint succeeds with its own probability, and what happened is remembered."""

import numpy as np

from gr1_evaluation.rig.judging import FAILURE, START, SUCCESS, Verdict
from gr1_evaluation.rig.records import Plan
from gr1_evaluation.rig.trials import ARRANGE, HOME, JUDGE, RUNNING

A, B = "/checkpoints/strong", "/checkpoints/weak"
# No letters of a hexadecimal digest alone, as in "bad": records hold one.


def plan(trials=20, tasks=("open_drawer",), seconds=20.0):
    return Plan((A, B), ("a" * 64, "b" * 64), tasks, trials, seconds, 1000)


class StandInRig:
    """`rates`: checkpoint -> probability of a success. verdicts: a queue; then a person judges."""

    def __init__(self, rates, verdicts=None, seed=0):
        self.rates, self.verdicts, self.automatic = rates, verdicts, verdicts is None
        self.loaded, self.arranged, self.shown, self.homed = [], [], [], 0
        self.active, self.stops = False, 0
        self._rng = np.random.default_rng(seed)
        self.answers = None  # what the person says instead, one a trial
        self.late = False

    def load(self, checkpoint):
        assert not self.active
        self.loaded.append(checkpoint)

    def go_home(self):
        assert not self.active
        self.homed += 1

    def arrange(self, task, seed, instruction):
        self.arranged.append((task, seed, instruction))
        return instruction

    def start(self, image, video):
        image.write_bytes(b"jpeg")
        video.write_bytes(b"mp4")
        self.active = True

    def judgement(self):
        won = self._rng.random() < self.rates[self.loaded[-1]]
        return Verdict(SUCCESS if won else FAILURE, "" if won else "dropped", "automatic")

    def stop(self):
        self.active, self.stops = False, self.stops + 1

    def calls(self):
        return ("static camera differs",), False

    def show(self, phase, state, overlay):
        self.shown.append((phase, state, overlay))
        if not self.verdicts:
            return
        if phase in (HOME, ARRANGE):
            self.verdicts.put(Verdict(START, by="desk"))
        elif phase == (JUDGE if self.late else RUNNING):
            answers = self.answers or []
            self.verdicts.put(answers.pop(0) if answers else self.judgement())
