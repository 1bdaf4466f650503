"""The gate and an arm with inertia: it accelerates and brakes at 0.64 m/s2 at most, as a Gen2 does, and
follows its command late. What counts is where the arm itself is, not its command.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from gr1_common.conventions import TICK
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_robot.arm.backend import ArmLimits, ArmState
from gr1_robot.arm.controller import ArmController
from gr1_robot.arm.drivers.kinova_gen2.backend import Arm
from gr1_robot.arm.gate import Gate

from .inert import VENDOR, robot
from .inert import InertArm as whole_arm
from .plant import CENTRE, DOWN, HIGH, LIMITS, LOW, NO_JOINTS, RIG, Plant
from .test_arm import Clock, Driver

BRAKING, UNKNOWN = 0.64, math.inf
FULL = LIMITS.linear_speed


class InertArm:
    """Its velocity follows the command `lag` ticks late and changes by at most 0.64 m/s2."""

    def __init__(self, braking, position=CENTRE, lag=0):
        self.gate, self.now = (
            Gate(LIMITS, RIG.period, True, NO_JOINTS, ArmLimits(linear_braking=braking)),
            100.0,
        )
        self.position, self.velocity = np.array(position, float), np.zeros(3)
        self.queue = [np.zeros(3)] * lag
        self.beyond = 0.0
        """m, the furthest that the arm has been outside the workspace."""

    def tick(self):
        pose = Pose(self.position.copy(), DOWN)
        motion = self.gate.tick(
            self.now, ArmState(pose, pose, np.zeros(0), np.zeros(0), 0.0, self.now), None, ()
        )
        self.queue.append(motion.linear)
        change = self.queue.pop(0) - self.velocity
        self.velocity = self.velocity + change * min(BRAKING * TICK / max(np.linalg.norm(change), 1e-12), 1.0)
        self.position = self.position + self.velocity * TICK
        self.now += TICK
        self.beyond = max(self.beyond, (LOW - self.position).max(), (self.position - HIGH).max())
        return motion

    def run(self, seconds, linear):
        for index in range(round(seconds / TICK)):
            if index % 10 == 0:
                self.gate.submit_command("policy", linear, (0.0, 0.0, 0.0), self.now)
            motion = self.tick()
        return motion


def wander(arm, rng, steps=40):
    """Full speed in random directions, every other time straight down, with emergency stops in between."""
    for _ in range(steps):
        direction = rng.normal(size=3) if rng.random() < 0.5 else np.array([0.0, 0.0, -1.0])
        arm.run(0.1 * rng.integers(1, 8), FULL * direction / np.linalg.norm(direction))
        if rng.random() < 0.1:
            arm.gate.stop()
            arm.run(0.6, (0.0, 0.0, 0.0))
            arm.gate.reset(arm.now)
            arm.tick()
    return arm.beyond


@pytest.mark.parametrize("lag", [0, 3, 6])
def test_an_arm_that_brakes_slowly_stays_in_its_workspace_wherever_it_is_led(lag):
    rng = np.random.default_rng(0)
    assert max(wander(InertArm(BRAKING, lag=lag), rng) for _ in range(3)) == 0.0


def test_without_its_braking_ability_it_would_pass_the_wall_by_centimetres():
    rng = np.random.default_rng(0)
    assert max(wander(InertArm(UNKNOWN), rng) for _ in range(2)) > 0.02


@pytest.mark.parametrize("height", [0.02, 0.05, 0.1, 0.2])
def test_an_emergency_stop_on_the_way_down_ends_above_the_wall(height):
    arm = InertArm(BRAKING, CENTRE * (1, 1, 0) + (0.0, 0.0, LOW[2] + height + 0.05))
    while arm.position[2] > LOW[2] + height:
        arm.run(0.01, (0.0, 0.0, -FULL))
    arm.gate.stop()
    arm.run(1.0, (0.0, 0.0, 0.0))
    assert arm.beyond == 0.0 and not arm.velocity.any()


def test_far_from_every_limit_and_away_from_them_the_arm_moves_at_full_speed():
    arm = InertArm(BRAKING)
    assert np.linalg.norm(arm.run(0.5, (FULL, 0.0, 0.0)).linear) == pytest.approx(FULL)
    arm = InertArm(BRAKING, CENTRE * (1, 1, 0) + (0.0, 0.0, LOW[2] + 1e-3))
    assert arm.run(0.5, (0.0, 0.0, FULL)).linear[2] == pytest.approx(FULL)
    arm = InertArm(BRAKING, CENTRE * (1, 1, 0) + (0.0, 0.0, LOW[2] + 1e-3))
    assert arm.run(0.5, (FULL, 0.0, 0.0)).linear[0] == pytest.approx(FULL), "along a wall"


def test_an_arm_that_lags_at_full_speed_is_not_taken_for_stuck():
    low, high = (LOW[0] - 2.0, *LOW[1:]), (HIGH[0] + 2.0, *HIGH[1:])
    arm = Plant(
        Gate(replace(LIMITS, workspace_min=low, workspace_max=high), RIG.period, True, NO_JOINTS, VENDOR),
        lag=6,
    )
    motion = arm.run(4.0, ((FULL, 0.0, 0.0), (0.0, 0.0, 0.0)))
    assert motion.reason == "none" and arm.gate.counts["following_error"] == 0


def test_it_reaches_the_wall_itself():
    arm = InertArm(BRAKING)
    arm.run(4.0, (0.0, 0.0, -FULL))
    assert arm.position[2] == pytest.approx(LOW[2], abs=1e-3)


def test_the_controller_hands_the_arms_braking_ability_to_the_gate():
    class Slow(Driver):
        vendor_limits = ArmLimits(linear_braking=0.64)

        def read_state(self):
            pose = Pose(CENTRE * (1, 1, 0) + (0.0, 0.0, LOW[2] + 0.01), DOWN)
            return ArmState(pose, pose, np.zeros(0), np.zeros(0), 0.0, self.clock())

    speeds = []
    for kind in (Driver, Slow):
        clock = Clock()
        arm = ArmController(Rig.load("kinova_gen2"), kind(clock.monotonic), True, clock.monotonic)
        if kind is Driver:
            arm.backend.read_state = Slow.read_state.__get__(arm.backend)
        for _ in range(30):
            arm.submit_command("policy", (0.0, 0.0, -FULL), (0.0, 0.0, 0.0), clock.steady)
            snapshot = arm.step()
            clock.steady += TICK
        speeds.append(-snapshot.motion.linear[2])
    assert 0.0 < speeds[1] < speeds[0]


def test_a_gen2_states_how_hard_it_brakes():
    assert Arm.vendor_limits.linear_braking == BRAKING


@pytest.mark.parametrize("lag", [0.0, 0.03, 0.06])
@pytest.mark.parametrize(("event", "noticed"), [("stop", 0.01), ("silence", 0.16)])
def test_how_long_and_how_far_an_arm_moves_after_a_stop_and_after_its_last_command(lag, event, noticed):
    """The figures of docs/explanation/safety.md, of the arm itself."""
    kind = robot("gen2")
    for speed in (0.2, 0.115):
        arm = whole_arm(kind, kind.ready, lag)
        arm.run(0.6, linear=(0.0, speed, 0.0))
        assert np.linalg.norm(arm.velocity[:3]) == pytest.approx(speed)
        began, tip = arm.now, kind.chain.forward(arm.joints)[0]
        if event == "stop":
            arm.gate.stop()
        else:
            arm.gate.submit_command("policy", (0.0, speed, 0.0), (0.0, 0.0, 0.0), arm.now)
        silent = None
        while arm.velocity.any():
            motion = arm.tick()
            if silent is None and not motion.linear.any():
                silent = arm.now - began
        assert silent < noticed + 0.05, "the command"
        assert arm.now - began < noticed + lag + speed / BRAKING + TICK, "the arm"
        moved = np.linalg.norm(kind.chain.forward(arm.joints)[0] - tip)
        assert moved < speed * (noticed + lag + TICK) + speed**2 / (2 * BRAKING)
