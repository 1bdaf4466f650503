"""A session in headless Chromium with an emulated Quest 3 against the real stack (`gr1 up --record`,
simulated rig).

Pairs, enters VR, grips, moves, closes the gripper, records three episodes; checks the bags. `make
test-teleop-browser`.
"""

import time

import numpy as np
import pytest

from gr1_core.data import schemas
from gr1_core.data.bag import Bag, find_bags
from gr1_core.data.steps import select_steps
from gr1_core.pose import Pose

from .demonstrate import GRIPS, BrowserHand, Stack, begin, engage
from .stack_observer import StackObserver
from .test_browser import missing

TASK, SEED = "pick_eggplant", 7100
UP, SECONDS = 0.06, 1.5  # m of the hand, s


@pytest.fixture
def session(tmp_path):
    """observer, hand, the bags' folder, the stack."""
    if why := missing():
        pytest.skip(why)
    with Stack(tmp_path / "bags", tmp_path / "run", TASK, SEED, "kinova_gen2_small") as stack:
        observer = StackObserver()
        hand = BrowserHand(stack.url, stack.certificate, observer)
        yield observer, hand, tmp_path / "bags", stack
        hand.close()
        observer.close()
    assert stack.code == 0, stack.said


def gesture(observer, hand) -> None:
    """The hand goes up evenly and closes; returns once the arm has followed."""
    below, closure = observer.pose().position[2], 0.0
    for _ in range(GRIPS):  # one, unless a busy computer's frames come so late that the clutch opens
        start = hand.grip()
        engage(observer, hand, start, closure)
        began = time.monotonic()
        while (share := (time.monotonic() - began) / SECONDS) < 1.0 and observer.operator(
            "clutch"
        ) == "engaged":
            closure = max(closure, share)
            hand.hold(Pose(start.position + [0.0, UP * share, 0.0], start.quaternion), 1.0, closure)
            time.sleep(0.02)
        if closure > 0.95 and observer.pose().position[2] > below + 0.5 * 0.8 * UP:
            break
    hand.hold(hand.grip(), 0.0, closure)
    observer.clutch("open")


@pytest.mark.browser
def test_three_episodes_one_success_one_discarded_one_relabelled_and_the_bags_prove_it(session):
    observer, hand, folder, stack = session
    told = []
    for number, (button, outcome) in enumerate(
        (("a-button", "success"), ("b-button", "discarded"), ("a-button", "success"))
    ):
        told.append(observer.scene(SEED + number)["instruction"])
        begin(observer, hand)
        gesture(observer, hand)
        for _ in range(2):
            hand.tap(button)
        observer.recording("idle", outcome)
    hand.relabel("lift the hand")
    bags = [Bag(one) for one in sorted(find_bags(folder))]
    assert [bag.outcome for bag in bags] == ["success", "discarded", "success"]
    assert [bag.instruction for bag in bags] == [bags[0].instruction, told[1], "lift the hand"]
    for bag in bags:
        assert bag.labels["operator"] == "teleop"
        limits, heights, closures, speeds = bag.rig.limits, [], [], []
        for message in bag.messages(["/arm/pose", "/command/teleop/gripper", "/arm/commanded_twist"]):
            said = schemas.deserialize(message.type, message.data)
            if message.topic == "/arm/pose":
                heights.append(said.pose.position.z)
            elif message.topic == "/command/teleop/gripper":
                closures.append(said.data)
            else:
                speeds.append([getattr(said.twist.linear, axis) for axis in "xyz"])
        assert heights[-1] - heights[0] > 0.02 and max(closures) > 0.9
        assert np.linalg.norm(speeds, axis=1).max() <= limits.linear_speed
    assert select_steps(bags[0]).teleoperated.any()
