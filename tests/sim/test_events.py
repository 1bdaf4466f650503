"""Events of the suites `moved` and `occluded`: once per episode, during the approach, decided by the seed."""

import numpy as np
import pytest

from gr1_core import Rig
from gr1_core.sim import TASKS, Expert, Twin
from gr1_core.sim.events import (
    APPROACH_DISTANCE,
    MAX_DISPLACEMENT,
    MIN_DISPLACEMENT,
    OCCLUSION_GREY,
    OCCLUSION_SECONDS,
    Displacement,
    Occlusion,
)
from gr1_core.sim.rollout import SUCCESS_PERIODS, run_episode
from gr1_core.sim.state import StateView
from gr1_core.sim.suites import trials
from gr1_core.sim.tasks import PLACEMENT_MAX, PLACEMENT_MIN

RIG = Rig.load("kinova_gen2")


@pytest.fixture(scope="module")
def twin():
    return Twin()


def play(twin, task, seed, event):
    """Views of an expert's episode, its successes, and the views right after each update of the event."""
    twin.reset(task, seed)
    views, after, successes = [], [], []
    for state, _, success in run_episode(twin, Expert(task, RIG.control_hz, twin.objects), RIG):
        event.update(twin, state)
        views.append(StateView(state))
        after.append(StateView(twin.state()))
        successes.append(success)
    return views, after, successes


@pytest.mark.parametrize("task", ["pick_eggplant", "put_broccoli_on_plate", "take_bell_pepper_from_plate"])
def test_the_object_is_displaced_once_during_the_approach_and_the_expert_still_succeeds(twin, task):
    event, slot = Displacement(TASKS[task], 1004), TASKS[task].slot
    views, after, successes = play(twin, task, 1004, event)
    moved = [
        np.linalg.norm(late.position(slot)[:2] - early.position(slot)[:2])
        for early, late in zip(views, after)
    ]
    (index,) = np.flatnonzero(np.array(moved) > 1e-6)
    assert event.happened and MIN_DISPLACEMENT <= moved[index] <= MAX_DISPLACEMENT
    gap = np.linalg.norm(views[index].measured[:3] - views[index].position(slot))
    assert index > 2 and views[index].closure_target < 0.5 and gap < APPROACH_DISTANCE + 0.02
    position = after[index].position(slot)
    assert (position[:2] > PLACEMENT_MIN).all() and (position[:2] < PLACEMENT_MAX).all()
    assert position[2] == views[index].position(slot)[2], "along the table"
    assert all(successes[-SUCCESS_PERIODS:]), "the expert did not follow the object"


def test_an_object_on_the_plate_is_displaced_together_with_it(twin):
    task = TASKS["take_eggplant_from_plate"]
    views, after, _ = play(twin, task.name, 1005, Displacement(task, 1005))
    index = next(
        number
        for number, (early, late) in enumerate(zip(views, after))
        if np.abs(late.position("plate") - early.position("plate")).max() > 0.01
    )
    offsets = [after[index].position(body) - views[index].position(body) for body in ("plate", "eggplant")]
    np.testing.assert_allclose(*offsets, atol=1e-9)


def test_a_seed_gives_the_same_displacement_and_seeds_differ(twin):
    task = TASKS["pick_broccoli"]
    ends = [play(twin, task.name, 1006, Displacement(task, seed))[1][-1].vector for seed in (1, 1, 2)]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[2] - ends[0]).max() > 0.01


def test_the_static_camera_is_covered_for_one_second_and_the_wrist_camera_never(twin):
    task = TASKS["pick_bell_pepper"]
    twin.reset(task.name, 1007)
    event, covered = Occlusion(task, twin), []
    frames = {"static": np.full((4, 4, 3), 200, np.uint8), "wrist": np.full((2, 2, 3), 100, np.uint8)}
    for state, _, _ in run_episode(twin, Expert(task.name, RIG.control_hz), RIG):
        shown = event.alter_frames(state, frames)
        assert (shown["wrist"] == 100).all() and (frames["static"] == 200).all()
        covered.append((shown["static"] == OCCLUSION_GREY).all())
    (first,) = np.flatnonzero(np.diff(np.array(covered, int)) == 1) + 1
    assert sum(covered) == round(OCCLUSION_SECONDS * RIG.control_hz) and all(covered[first : first + 10])


@pytest.mark.parametrize(("suite", "event"), [("moved", "displacement"), ("occluded", "occlusion")])
def test_the_suites_repeat_the_trials_of_seen_with_an_event(suite, event):
    for seen, trial in zip(trials("seen", 30), trials(suite, 30)):
        assert (seen.task, seen.scene, seen.seed, seen.objects, seen.instruction) == (
            trial.task, trial.scene, trial.seed, trial.objects, trial.instruction
        )  # fmt: skip
        assert trial.event == event and seen.event == ""
