"""The gate's promises, for any sequence of commands: see docs/safety.md."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gr1_core.rig import Rig
from gr1_robot.backend import ArmState, Pose
from gr1_robot.gate import HOLDING, MOVING, STOPPED, TICK, Gate

RIG = Rig.load("kinova_gen2")
LIMITS = RIG.limits
LOW, HIGH = np.array(LIMITS.workspace_min), np.array(LIMITS.workspace_max)
CENTRE = (LOW + HIGH) / 2
EXPIRY = 1.5 * RIG.period
FALL_LINEAR = LIMITS.linear_speed / LIMITS.stop_time * TICK
FALL_ANGULAR = LIMITS.angular_speed / LIMITS.stop_time * TICK


DOWN = np.array([1.0, 0.0, 0.0, 0.0])
NO_JOINTS = np.zeros((0, 2))


class Plant:
    """An arm that does what it is told: it integrates twists, and its measured position is `lag` ticks behind the commanded one."""

    def __init__(self, gate, position=CENTRE, lag=0):
        self.gate, self.now, self.lag = gate, 100.0, lag
        self.commanded = np.array(position, float)
        self.trail = [self.commanded.copy()] * (lag + 1)
        self.motions = []

    def tick(self, measured="follow", faults=(), age=0.0, force=None):
        measured = self.trail[-1 - self.lag] if isinstance(measured, str) else measured
        measured = None if measured is None else Pose(measured, DOWN)
        state = ArmState(measured, Pose(self.commanded, DOWN), np.zeros(0), np.zeros(0), 0.0, self.now - age, force)
        motion = self.gate.tick(self.now, state, None, faults)
        self.commanded = self.commanded + motion.linear * TICK
        self.trail.append(self.commanded.copy())
        self.motions.append(motion)
        self.now += TICK
        return motion

    def run(self, seconds, command=None, source="policy"):
        for index in range(round(seconds / TICK)):
            if command is not None and index % 10 == 0:
                self.gate.command(source, *command, self.now)
            self.tick()
        return self.motions[-1]


def gate(armed=True, limits=LIMITS):
    return Gate(limits, RIG.period, armed, NO_JOINTS)


def moves(motion):
    return bool(motion.linear.any() or motion.angular.any())


FORWARD = ([0.1, 0.0, 0.0], [0.0, 0.0, 0.3])
FULL = ([LIMITS.linear_speed, 0.0, 0.0], [0.0, 0.0, LIMITS.angular_speed])

numbers = st.one_of(st.floats(-2.0, 2.0), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1e308, -1e-308]))
sane = st.one_of(st.just(0.0), st.floats(-0.3, 0.3), st.sampled_from([-0.5, 0.5]))
twists = st.one_of(*(st.tuples(st.tuples(of, of, of), st.tuples(of, of, of)) for of in (sane, sane, sane, numbers)))
arrivals = st.one_of(st.just(0.0), st.just(0.0), st.floats(-1.0, 1.0), st.floats(allow_nan=True, allow_infinity=True))
commands = st.tuples(st.just("command"), st.sampled_from(["teleop", "home", "policy"]), twists, arrivals)
grips = st.tuples(st.just("gripper"), st.sampled_from(["teleop", "policy"]), numbers)
waits = st.tuples(st.just("wait"), st.integers(1, 25))
stops = st.tuples(st.sampled_from(["stop", "reset"]))
stories = st.lists(st.one_of(commands, commands, waits, waits, grips, stops), max_size=40)
positions = st.tuples(*[st.floats(low, high) for low, high in zip(LIMITS.workspace_min, LIMITS.workspace_max)])


def play(plant, story):
    """Tells the story to the plant's gate and yields after each tick (event that preceded it, motion)."""
    for event in story:
        if event[0] == "command":
            _, source, (linear, angular), late = event
            plant.gate.command(source, linear, angular, plant.now + late)
        elif event[0] == "gripper":
            plant.gate.gripper(event[1], event[2], plant.now)
        elif event[0] == "stop":
            plant.gate.stop()
        elif event[0] == "reset":
            plant.gate.reset(plant.now)
        for _ in range(event[1] if event[0] == "wait" else 1):
            yield event, plant.tick()


@settings(max_examples=150, deadline=None)
@given(stories, positions, st.integers(0, 5))
def test_whatever_is_commanded_the_motors_get_finite_limited_speeds_inside_the_workspace(story, start, lag):
    plant = Plant(gate(), start, lag)
    before = (np.zeros(3), np.zeros(3))
    for _, motion in play(plant, story):
        assert np.isfinite(motion.linear).all() and np.isfinite(motion.angular).all()
        v, w = np.linalg.norm(motion.linear), np.linalg.norm(motion.angular)
        assert v <= LIMITS.linear_speed * (1 + 1e-9) and w <= LIMITS.angular_speed * (1 + 1e-9)
        assert v - np.linalg.norm(before[0]) <= LIMITS.linear_acceleration * TICK + 1e-9
        assert w - np.linalg.norm(before[1]) <= LIMITS.angular_acceleration * TICK + 1e-9
        assert (plant.commanded >= LOW - 1e-9).all() and (plant.commanded <= HIGH + 1e-9).all()
        assert np.linalg.norm(motion.angular - before[1]) <= FALL_ANGULAR + 1e-9
        assert plant.gate.closure is None or 0.0 <= plant.gate.closure <= 1.0
        before = (motion.linear, motion.angular)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(commands, waits), max_size=40))
def test_in_free_space_no_step_is_harder_than_the_ramp(story):
    vast = replace(LIMITS, workspace_min=(-99.0,) * 3, workspace_max=(99.0,) * 3)
    plant, before = Plant(gate(limits=vast)), np.zeros(3)
    for _, motion in play(plant, story):
        assert np.linalg.norm(motion.linear - before) <= FALL_LINEAR + 1e-9
        before = motion.linear


@settings(max_examples=100, deadline=None)
@given(stories)
def test_motion_ends_within_expiry_and_stop_time_after_the_last_accepted_command(story):
    plant = Plant(gate())
    last = -math.inf
    for event in story:
        if event[0] == "command":
            _, source, (linear, angular), late = event
            if not plant.gate.command(source, linear, angular, plant.now + late):
                last = max(last, plant.now + min(late, 0.0))
        else:
            for _ in range(event[1] if event[0] == "wait" else 1):
                motion = plant.tick()
                assert not moves(motion) or plant.now - TICK <= last + EXPIRY + LIMITS.stop_time + 1e-6
    for _ in range(math.ceil((EXPIRY + LIMITS.stop_time) / TICK) + 1):
        motion = plant.tick()
    assert not moves(motion) and motion.state in (HOLDING, STOPPED)


@settings(max_examples=100, deadline=None)
@given(stories, st.lists(st.one_of(commands, waits, grips), max_size=30))
def test_after_a_stop_nothing_moves_until_the_reset(story, later):
    plant = Plant(gate())
    for _ in play(plant, story):
        pass
    plant.gate.stop()
    closure = plant.gate.closure
    stopped_at = plant.now
    for _, motion in play(plant, later):
        assert motion.state == STOPPED and motion.reason == "emergency_stop"
        assert not moves(motion) or plant.now - TICK < stopped_at + LIMITS.stop_time
        assert plant.gate.closure == closure


directions = st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda d: np.linalg.norm(d) > 0.1)


@settings(max_examples=60, deadline=None)
@given(directions, directions)
def test_an_arm_that_is_held_fast_is_not_led_further_than_the_leash(first, second):
    plant, held = Plant(gate()), CENTRE
    for direction in (first, second):
        linear = 0.2 * np.array(direction) / np.linalg.norm(direction)
        for index in range(80):
            if index % 10 == 0:
                plant.gate.command("policy", linear, np.zeros(3), plant.now)
            plant.tick(measured=held)
            assert np.linalg.norm(plant.commanded - held) <= LIMITS.leash + 1e-9
    assert plant.gate.counts["leash"] > 0


@settings(max_examples=60, deadline=None)
@given(directions, positions)
def test_at_full_speed_into_a_wall_or_a_corner_the_workspace_holds_without_a_jerk(direction, start):
    plant, before = Plant(gate(), start), np.zeros(3)
    linear = 0.2 * np.array(direction) / np.linalg.norm(direction)
    for index in range(300):
        if index % 10 == 0:
            plant.gate.command("policy", linear, np.zeros(3), plant.now)
        motion = plant.tick()
        assert (plant.commanded >= LOW - 1e-9).all() and (plant.commanded <= HIGH + 1e-9).all()
        assert np.linalg.norm(motion.linear - before) <= math.sqrt(2) * FALL_LINEAR
        before = motion.linear


def test_a_fast_command_keeps_its_direction():
    plant = Plant(gate())
    motion = plant.run(0.4, ([0.3, -0.4, 0.0], [0.0, 0.0, 2.0]))
    np.testing.assert_allclose(motion.linear, np.array([0.6, -0.8, 0.0]) * LIMITS.linear_speed, atol=1e-9)
    np.testing.assert_allclose(motion.angular, [0.0, 0.0, LIMITS.angular_speed], atol=1e-9)
    assert (motion.state, motion.reason, motion.source) == (MOVING, "speed", "policy")
    assert plant.gate.counts["speed"] > 0


def test_full_speed_comes_to_rest_within_stop_time_on_a_ramp():
    plant = Plant(gate())
    plant.run(0.5, FULL)
    assert np.linalg.norm(plant.motions[-1].linear) == pytest.approx(LIMITS.linear_speed)
    plant.gate.stop()
    speeds = [np.linalg.norm(plant.tick().linear) for _ in range(round(LIMITS.stop_time / TICK))]
    assert not moves(plant.motions[-1])
    assert speeds[:-1] == pytest.approx([0.16, 0.12, 0.08, 0.04])


def test_late_ticks_do_not_lengthen_the_stop():
    plant = Plant(gate())
    plant.run(0.5, FULL)
    plant.gate.stop()
    plant.tick()
    plant.now += 3 * TICK
    assert not moves(plant.tick())


def test_teleoperation_goes_before_the_policy_and_gives_way_when_it_ends():
    plant = Plant(gate())
    back, forth = ([-0.05, 0, 0], [0, 0, 0]), ([0.05, 0, 0], [0, 0, 0])
    for index in range(30):
        if index % 10 == 0:
            plant.gate.command("teleop", *back, plant.now)
            plant.gate.command("policy", *forth, plant.now)
        motion = plant.tick()
    assert motion.source == "teleop" and motion.linear[0] < 0
    motion = plant.run(0.4, forth)
    assert motion.source == "policy" and motion.linear[0] > 0


def test_a_broken_teleoperation_does_not_hand_the_arm_to_the_policy():
    plant = Plant(gate())
    plant.run(0.2, FORWARD)
    plant.gate.command("policy", *FORWARD, plant.now)
    plant.gate.command("teleop", [math.nan, 0, 0], [0, 0, 0], plant.now)
    motion = plant.run(0.1)
    assert not moves(motion) and (motion.state, motion.reason) == (HOLDING, "not_finite")


@pytest.mark.parametrize(
    ("linear", "angular", "reason"),
    [
        ([math.nan, 0, 0], [0, 0, 0], "not_finite"),
        ([0, 0, 0], [0, math.inf, 0], "not_finite"),
        ([1e200, 1e200, 0], [0, 0, 0], "jump"),
        ([1.01, 0, 0], [0, 0, 0], "jump"),
        ([0, 0, 0], [0, 5.4, 0], "jump"),
    ],
)
def test_a_broken_command_is_refused_counted_and_brings_the_arm_to_rest(linear, angular, reason):
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    assert plant.gate.command("policy", linear, angular, plant.now) == reason
    assert plant.gate.counts[reason] == 1
    motion = plant.run(LIMITS.stop_time)
    assert not moves(motion) and motion.reason == reason
    assert moves(plant.run(0.05, FORWARD)), "a good command later moves it again"


def test_a_command_that_arrives_out_of_order_is_refused():
    plant = Plant(gate())
    plant.gate.command("policy", *FORWARD, plant.now)
    assert plant.gate.command("policy", *FORWARD, plant.now - 0.01) == "out_of_order"
    assert plant.gate.counts["out_of_order"] == 1


def test_a_command_that_was_on_its_way_for_too_long_is_refused():
    plant = Plant(gate())
    plant.tick()
    assert plant.gate.command("policy", *FORWARD, plant.now - EXPIRY - 0.02) == "old"
    assert plant.gate.command("policy", *FORWARD, plant.now - 0.1) == ""
    assert plant.gate.gripper("policy", 1.0, plant.now - EXPIRY - 0.02) == "old"
    assert not moves(plant.run(0.2)), "time on the way counts: this one lived only another 50 ms"
    assert any(moves(motion) for motion in plant.motions)


def test_a_command_from_the_future_does_not_move_the_arm():
    plant = Plant(gate())
    plant.gate.command("policy", *FORWARD, plant.now + 5.0)
    assert not any(moves(plant.tick()) for _ in range(30))


def test_a_hard_turn_spends_its_step_on_slowing_down_before_it_speeds_up():
    plant = Plant(gate())
    plant.run(0.5, ([0.2, 0.0, 0.0], [0, 0, 0]))
    plant.gate.command("policy", [-0.2, 0.0, 0.0], [0, 0, 0], plant.now)
    speeds = [plant.tick().linear[0] for _ in range(6)]
    assert speeds[:4] == pytest.approx([0.16, 0.12, 0.08, 0.04]) and speeds[5] == pytest.approx(-LIMITS.linear_acceleration * TICK)


def test_the_reset_forgets_what_was_commanded_before_it():
    plant = Plant(gate())
    plant.run(0.2, FORWARD)
    plant.gate.stop()
    assert plant.gate.command("policy", *FORWARD, plant.now) == "stopped"
    plant.run(0.1)
    assert plant.gate.reset(plant.now) == ""
    assert plant.gate.command("policy", *FORWARD, plant.now - 0.005) == "out_of_order", "sent before the reset"
    assert not moves(plant.tick())
    plant.gate.command("policy", *FORWARD, plant.now)
    assert moves(plant.tick())


def test_not_armed_stays_until_a_person_resets_it():
    plant = Plant(gate(armed=False))
    assert plant.gate.reset(plant.now) != "", "before the first pose there is nothing to hold"
    motion = plant.run(0.2, FORWARD)
    assert (motion.state, motion.reason) == (STOPPED, "not_armed") and not moves(motion)
    assert plant.gate.reset(plant.now) == ""
    plant.tick()
    assert moves(plant.run(0.1, FORWARD))


def test_a_missing_pose_holds_at_once_latches_when_it_lasts_and_forbids_the_reset():
    plant = Plant(gate())
    plant.run(0.3, FORWARD)
    for _ in range(5):
        motion = plant.tick(measured=None)
    assert not moves(motion) and (motion.state, motion.reason) == (HOLDING, "no_pose")
    for _ in range(20):
        motion = plant.tick(measured=np.full(3, math.nan))
    assert (motion.state, motion.reason) == (STOPPED, "no_pose")
    assert "pose" in plant.gate.reset(plant.now)
    assert plant.tick().state == STOPPED, "the pose is back, but only a person resets"
    assert plant.gate.reset(plant.now) == ""
    plant.tick()
    assert moves(plant.run(0.05, FORWARD))


def test_a_fault_of_the_arm_latches_and_forbids_the_reset_while_it_lasts():
    plant = Plant(gate())
    plant.run(0.1, FORWARD)
    assert plant.tick(faults=["joint 3: too hot"]).reason == "backend_fault"
    assert "joint 3: too hot" in plant.gate.reset(plant.now)
    plant.tick()
    assert plant.gate.reset(plant.now) == ""


def test_the_first_reason_of_a_stop_is_kept():
    plant = Plant(gate())
    plant.gate.stop()
    plant.tick(faults=["something else"])
    assert plant.tick().reason == "emergency_stop"


def test_at_a_wall_the_motion_along_it_goes_on():
    plant = Plant(gate(), [HIGH[0] - 0.001, 0.0, 0.3])
    motion = plant.run(0.4, ([0.1, 0.1, 0.0], [0, 0, 0]))
    assert motion.reason == "workspace" and plant.gate.counts["workspace"] > 0
    assert motion.linear[0] == pytest.approx(0.0, abs=1e-3) and motion.linear[1] == pytest.approx(0.1)


def test_an_arm_outside_the_workspace_may_only_go_back():
    plant = Plant(gate(), [HIGH[0] + 0.05, 0.0, 0.3])
    assert plant.run(0.2, ([0.1, 0, 0], [0, 0, 0])).linear[0] == 0.0
    assert plant.run(0.2, ([-0.1, 0, 0], [0, 0, 0])).linear[0] < 0.0


def test_the_gripper_obeys_only_the_source_in_charge_clamped_and_never_while_stopped():
    plant = Plant(gate())
    assert plant.gate.gripper("policy", 1.0, plant.now) == "not_in_charge"
    plant.gate.command("policy", *FORWARD, plant.now)
    assert plant.gate.gripper("policy", 1.7, plant.now) == "" and plant.gate.closure == 1.0
    assert plant.gate.gripper("teleop", 0.0, plant.now) == "not_in_charge"
    assert plant.gate.gripper("policy", math.nan, plant.now) == "not_finite"
    plant.gate.command("teleop", *FORWARD, plant.now)
    assert plant.gate.gripper("policy", 0.0, plant.now) == "not_in_charge"
    plant.gate.stop()
    assert plant.gate.gripper("teleop", 0.0, plant.now) == "stopped" and plant.gate.closure == 1.0


def test_every_refusal_is_counted_under_its_reason():
    plant = Plant(gate())
    plant.tick()
    plant.gate.command("policy", [math.nan] * 3, [0, 0, 0], plant.now)
    plant.gate.command("policy", [9, 0, 0], [0, 0, 0], plant.now + 1e-6)
    plant.gate.command("policy", *FORWARD, plant.now - 0.1)
    plant.gate.gripper("teleop", 0.5, plant.now)
    plant.gate.stop()
    plant.gate.command("policy", *FORWARD, plant.now)
    wanted = {"not_finite": 1, "jump": 1, "out_of_order": 1, "not_in_charge": 1, "stopped": 1, "emergency_stop": 1}
    assert {reason: plant.gate.counts[reason] for reason in wanted} == wanted


def test_an_unknown_source_is_a_mistake_in_the_program():
    with pytest.raises(ValueError, match="joystick"):
        gate().command("joystick", *FORWARD, 0.0)
