"""Random operator behaviour, with and without the gate: limits hold, engagements begin at the arm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_common.conventions import TICK
from gr1_core.pose import Pose
from gr1_robot.arm.backend import ArmState
from gr1_robot.arm.gate import Gate
from gr1_teleop import quaternion
from gr1_teleop.clutch import ENGAGED

from .operator import DOWN, LIMITS, PERIOD, Operator, still

shares = st.floats(-1.0, 1.0)
troubles = ["let go", "half", "lost", "hidden", "recenter", "jump", "silence", "stick"]
troubles += ["other hand", "old", "policy", "blocked", "gone", "no pose"]
happenings = st.sampled_from(["move"] * 10 + ["grip"] * 4 + troubles)
happening = st.tuples(happenings, shares, shares)
stories, short_stories = (
    st.lists(happening, min_size=10, max_size=60),
    st.lists(happening, min_size=10, max_size=20),
)


def live(operator, what, a, b):
    """One event in one control period; returns the command."""
    asked = {}
    operator.tracked = operator.visible = True
    operator.stick, operator.age = what == "stick", 0.3 if what == "old" else 0.0
    if what == "grip":
        operator.squeeze = 0.0
        operator.step(frames=2)
        operator.squeeze = 1.0
    elif what in ("let go", "half"):
        operator.squeeze = 0.0 if what == "let go" else 0.5 + 0.4 * a
    elif what in ("lost", "hidden"):
        operator.tracked, operator.visible = what != "lost", what != "hidden"
    elif what == "recenter":
        operator.clutch.recenter()
    elif what == "jump":
        operator.position = operator.position + (a, 0, b)
    elif what == "silence":
        operator.wait(0.2 + abs(a))
    elif what == "other hand":
        operator.hand = "left" if operator.hand == "right" else "right"
    elif what == "policy":
        operator.arm = Pose(
            operator.arm.position + 0.2 * a,
            quaternion.multiply(quaternion.from_rotation_vector((0, b, 0)), operator.arm.quaternion),
        )
    elif what == "blocked":
        asked = {"blocked": "emergency stop"}
    elif what == "gone":
        operator.clutch.reset_for_device("headset")
    elif what == "no pose":
        operator.arm, kept = Pose(np.full(3, math.nan), DOWN), operator.arm
        command = operator.step(frames=2)
        operator.arm = kept
        return command
    return operator.step((0.08 * a, 0.03 * b, 0.06 * b), (0, 0.8 * a, 0.5 * b), frames=2, **asked)


@settings(max_examples=150, deadline=None)
@given(stories)
def test_whatever_the_operator_does_commands_are_limited_and_engagements_begin_at_the_arm(story):
    operator, before, engaged = Operator(), 0, False
    for what, a, b in story:
        command = live(operator, what, a, b)
        if command is None:
            assert operator.clutch.state != ENGAGED
        else:
            assert (
                np.isfinite(command.linear).all()
                and np.isfinite(command.angular).all()
                and 0.0 <= command.closure <= 1.0
            )
            assert (
                math.hypot(*command.linear) <= LIMITS.linear_speed
                and math.hypot(*command.angular) <= LIMITS.angular_speed
            )
            assert command.engaged == (operator.clutch.state == ENGAGED)
            if not command.engaged:
                assert still(command)
                assert operator.clutch.pop_stop_command(operator.now) is None and operator.ask() is None
            elif "engaged" in [event.kind for event in command.events]:
                assert still(command)
                again = operator.ask()
                assert np.abs([again.linear, again.angular]).max() < 1e-9
            if command.engaged:
                assert (
                    operator.squeeze > 0.4
                    and operator.tracked
                    and operator.visible
                    and what not in ("blocked", "no pose", "old")
                )
        kinds = [event.kind for event in operator.events[before:] if event.kind in ("engaged", "released")]
        before = len(operator.events)
        for kind in kinds:
            assert (kind == "engaged") != engaged  # they alternate
            engaged = kind == "engaged"
        assert engaged == (operator.clutch.state == ENGAGED)


class Gated(Operator):
    """The gate moves the arm every 10 ms; only the scenarios' own jumps disturb it."""

    def __init__(self):
        super().__init__()
        self.gate, self.ticks, self.motions = Gate(LIMITS, PERIOD, True, np.zeros((0, 2))), 0, []

    def ask(self, **asked):
        if self.gate.latched and self.squeeze < 0.5:  # a person who has let go resets it
            self.gate.reset((self.ticks - 0.5) * TICK)
        command = self.clutch.compute_command(self.arm, self.now, **{"blocked": self.gate.latched} | asked)
        if command and (command.engaged or not self.gate.latched):
            assert (
                self.gate.submit_command("teleop", command.linear, command.angular, self.ticks * TICK) == ""
            )
        for _ in range(round(PERIOD / TICK)):
            now = self.ticks * TICK
            motion = self.gate.tick(now, ArmState(self.arm, self.arm, np.zeros(0), np.zeros(0), 0.0, now))
            turn = quaternion.from_rotation_vector(motion.angular * TICK)
            self.arm = Pose(
                self.arm.position + motion.linear * TICK, quaternion.multiply(turn, self.arm.quaternion)
            )
            self.motions.append(motion)
            self.ticks += 1
        return command


@settings(max_examples=100, deadline=None)
@given(short_stories)
def test_whatever_the_operator_does_the_gate_refuses_nothing_and_steps_stay_within_the_limits(story):
    operator = Gated()
    for what, a, b in story:
        live(operator, what, a, b)
    assert not any(
        operator.gate.counts[reason] for reason in ("not_finite", "jump", "speed", "out_of_order", "old")
    )
    linear = np.linalg.norm([motion.linear for motion in operator.motions], axis=1)
    angular = np.linalg.norm([motion.angular for motion in operator.motions], axis=1)
    assert linear.max() <= LIMITS.linear_speed and angular.max() <= LIMITS.angular_speed
    assert np.diff(linear, prepend=0.0).max() <= LIMITS.linear_acceleration * TICK + 1e-9
    assert np.diff(angular, prepend=0.0).max() <= LIMITS.angular_acceleration * TICK + 1e-9


@pytest.mark.parametrize("late", [0, 3])
def test_behind_the_gates_ramp_the_arm_comes_to_its_goal_and_not_past_it(late):
    operator, limits = Operator(scale=1.0), LIMITS
    gate, trail, now = Gate(limits, PERIOD, True, np.zeros((0, 2))), [operator.arm] * 4, 0.0
    operator.grip()
    positions = []
    for period in range(20):
        operator.arm = trail[-1 - late]
        command = operator.step((0, 0, -0.1) if period == 0 else (0, 0, 0))
        gate.submit_command("teleop", command.linear, command.angular, now)
        for _ in range(round(PERIOD / TICK)):
            pose = trail[-1]
            motion = gate.tick(now, ArmState(pose, pose, np.zeros(0), np.zeros(0), 0.0, now))
            trail.append(Pose(pose.position + motion.linear * TICK, DOWN))
            positions.append(trail[-1].position[0])
            now += TICK
    assert max(positions) < 0.5 + 1e-3 and positions[-1] == pytest.approx(0.5, abs=1e-3)
