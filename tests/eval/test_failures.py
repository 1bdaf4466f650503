"""The kinds of failure, recognised in simulated episodes in which something goes wrong."""

import dataclasses

import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.eval.failures import failure_kind
from gr1_core.sim import Expert, Twin
from gr1_core.sim.rollout import run_episode
from gr1_core.sim.state import StateView

RIG = Rig.load("kinova_gen2_small")
SEED = 1_000_003


class Acting:
    """The expert for one task; `change` spoils its commands."""

    def __init__(self, task, change=lambda command, view: command):
        self._expert, self._change = Expert(task, RIG.control_hz), change

    def act(self, state):
        return self._change(self._expert.act(state), StateView(state))


@pytest.fixture(scope="module")
def twin():
    return Twin()


def play(twin, scene, acting, seconds=8.0):
    twin.reset(scene, SEED)
    return np.array([state for state, _, _ in run_episode(twin, acting, RIG, seconds)])


def never_closes(command, view):
    return dataclasses.replace(command, closure=0.0)


def lets_go_at_5_cm(name):
    def change(command, view):
        change.gone |= view.position(name)[2] > 0.085
        return dataclasses.replace(command, closure=0.0, linear=np.zeros(3)) if change.gone else command

    change.gone = False
    return change


def stays(command, view):
    return dataclasses.replace(command, linear=np.zeros(3), angular=np.zeros(3), closure=0.0)


def without_pulling(command, view):
    """At the bar it lets the drawer be."""
    return dataclasses.replace(command, linear=np.zeros(3), closure=0.0) if command.closure > 0.5 else command


def keeps_away(command, view):
    """Rises and closes the hand on air."""
    return dataclasses.replace(command, linear=np.array([0.0, 0.0, 0.05]), closure=1.0)


@pytest.mark.parametrize(
    ("asked", "done", "spoiled", "kind"),
    [
        ("pick_eggplant", "pick_broccoli", None, "wrong object"),
        ("open_drawer", "pick_eggplant", None, "wrong object"),
        ("pick_bell_pepper", "pick_bell_pepper", never_closes, "missed grasp"),
        ("put_eggplant_on_plate", "put_eggplant_on_plate", never_closes, "missed grasp"),
        ("pick_eggplant", "pick_eggplant", lets_go_at_5_cm("eggplant"), "dropped"),
        ("put_broccoli_on_plate", "pick_broccoli", None, "misplaced"),
        ("take_broccoli_from_plate", "pick_broccoli", None, "misplaced"),
        ("open_drawer", "open_drawer", without_pulling, "drawer not opened"),
        ("close_drawer", "open_drawer", None, "drawer not closed"),
        ("pick_broccoli", "pick_broccoli", stays, "nothing reached"),
        ("put_eggplant_on_plate", "put_eggplant_on_plate", keeps_away, "nothing reached"),
        ("open_drawer", "open_drawer", stays, "nothing reached"),
    ],
)
def test_each_kind_of_failure_is_recognised(twin, asked, done, spoiled, kind):
    states = play(twin, asked, Acting(done, spoiled) if spoiled else Acting(done))
    assert failure_kind(asked, states) == kind
