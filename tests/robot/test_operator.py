"""The person at teleoperation: a release gives the arm back, a loss does not; the hand and its source."""

import pytest

from gr1_common.conventions import HOLDING, TICK

from .plant import FORWARD, moves
from .test_arm import Clock, ready, told


@pytest.fixture
def clock():
    return Clock()


def drive(arm, clock, seconds, *sources, grip=()):
    """Each source commands at 10 Hz; grip: (source, closure) at 10 Hz."""
    for index in range(round(seconds / TICK)):
        if index % 10 == 0:
            for source in sources:
                arm.submit_command(source, *FORWARD, clock.steady)
            if grip:
                arm.submit_gripper(*grip, clock.steady)
        snapshot = arm.step()
        clock.steady += TICK
    return snapshot.motion


def test_after_a_release_the_policy_goes_on_by_itself(clock):
    arm, _ = ready(clock)
    assert drive(arm, clock, 0.5, "teleop", "policy").source == "teleop"
    arm.release(clock.steady)
    clock.steady += TICK
    motion = drive(arm, clock, 0.5, "policy")
    assert motion.source == "policy" and moves(motion)


def test_a_person_who_falls_silent_keeps_the_arm_and_the_policy_never_moves_it(clock):
    arm, _ = ready(clock)
    drive(arm, clock, 0.5, "teleop", "policy")
    motions = [drive(arm, clock, TICK, *(["policy"] if index % 10 == 0 else [])) for index in range(500)]
    assert not any(motion.source == "policy" for motion in motions)
    assert (motions[-1].state, motions[-1].reason) == (HOLDING, "operator_lost")
    assert arm.gate.counts["operator_lost"] == 1
    assert not any(moves(motion) for motion in motions[25:])


@pytest.mark.parametrize("act", ["reset", "clutch"])
def test_a_person_who_was_lost_gives_the_arm_back_by_an_act(clock, act):
    arm, _ = ready(clock)
    drive(arm, clock, 0.5, "teleop")
    assert drive(arm, clock, 1.0, "policy").reason == "operator_lost"
    if act == "reset":
        assert arm.reset() == ""
    else:
        drive(arm, clock, 0.3, "teleop")
        arm.release(clock.steady)
    clock.steady += TICK
    assert drive(arm, clock, 0.3, "policy").source == "policy"


def test_a_command_that_arrives_after_the_release_but_was_sent_before_means_nothing(clock):
    arm, _ = ready(clock)
    drive(arm, clock, 0.5, "teleop")
    sent = clock.steady - 0.03
    arm.release(clock.steady - 0.02)
    arm.submit_command("teleop", *FORWARD, sent)
    clock.steady += 0.2
    assert drive(arm, clock, 0.3, "policy").source == "policy"


def test_a_lost_person_does_not_keep_the_arm_from_being_sent_home(clock):
    arm, _ = ready(clock)
    drive(arm, clock, 0.5, "teleop")
    drive(arm, clock, 1.0, "policy")
    assert arm.go_home() == "" and drive(arm, clock, 0.3, "policy").source == "home"


def test_the_hand_holds_when_its_source_falls_silent_and_goes_on_when_it_is_back(clock):
    arm, driver = ready(clock)
    drive(arm, clock, 0.5, "policy", grip=("policy", 1.0))
    assert told(driver) == ["grip 1"]
    drive(arm, clock, 2.0)
    assert told(driver) == ["grip 1", "hold_gripper"]
    drive(arm, clock, 0.3, "policy", grip=("policy", 1.0))
    assert told(driver) == ["grip 1", "hold_gripper", "grip 1"]


def test_the_hand_of_the_policy_holds_when_a_person_takes_over(clock):
    arm, driver = ready(clock)
    drive(arm, clock, 0.5, "policy", grip=("policy", 1.0))
    drive(arm, clock, 0.5, "teleop")
    assert told(driver) == ["grip 1", "hold_gripper"]
    drive(arm, clock, 0.3, "teleop", grip=("teleop", 0.5))
    assert told(driver)[-1] == "grip 0.5"


def test_a_slowed_policy_moves_at_half_speed_until_told_otherwise_and_a_person_at_full_speed(clock):
    arm, _ = ready(clock)
    full = drive(arm, clock, 0.5, "policy")
    arm.slow_policy(True)
    motion = drive(arm, clock, 0.5, "policy")
    assert motion.linear == pytest.approx(0.5 * full.linear) and motion.reason == "prediction"
    assert arm.reset() == ""  # a reset of the latch answers no call
    assert drive(arm, clock, 0.5, "policy").linear == pytest.approx(0.5 * full.linear)
    assert drive(arm, clock, 0.5, "teleop", "policy").linear == pytest.approx(full.linear)
    arm.release(clock.steady)
    clock.steady += TICK
    arm.slow_policy(False)
    assert drive(arm, clock, 0.5, "policy").linear == pytest.approx(full.linear)
    assert arm.gate.counts["prediction"] >= 1


def test_a_policys_command_of_before_does_not_move_the_arm_when_the_person_falls_silent(clock):
    """The person's command was under way for longer than the policy's."""
    arm, _ = ready(clock)
    drive(arm, clock, 0.3, "policy")
    arm.submit_command("policy", *FORWARD, clock.steady - 0.005)
    assert arm.submit_command("teleop", *FORWARD, clock.steady - 0.1) == ""
    motions = [drive(arm, clock, TICK) for _ in range(20)]
    assert {motion.source for motion in motions} == {"teleop", ""}
    assert motions[-1].reason == "operator_lost"


def test_a_persons_late_command_of_before_the_release_takes_nothing_from_the_policy(clock):
    arm, _ = ready(clock)
    drive(arm, clock, 0.3, "teleop")
    sent = clock.steady - 0.005
    arm.release(clock.steady - 0.001)
    clock.steady += 0.15
    arm.submit_command("policy", *FORWARD, clock.steady)
    arm.submit_command("teleop", *FORWARD, sent)
    assert drive(arm, clock, 0.05).source == "policy"


def test_a_gripper_command_of_before_the_reset_that_arrives_after_it_is_over(clock):
    arm, driver = ready(clock)
    drive(arm, clock, 0.3, "policy")
    arm.stop()
    drive(arm, clock, 0.1)
    sent = clock.steady
    clock.steady += 0.02
    assert arm.reset() == ""
    clock.steady += TICK
    arm.submit_command("policy", *FORWARD, clock.steady)
    assert arm.submit_gripper("policy", 1.0, sent) == "out_of_order"
    drive(arm, clock, 0.1)
    assert told(driver) == []


def test_a_person_who_takes_over_during_a_tick_keeps_the_hand_that_a_stop_must_hold(clock):
    arm, driver = ready(clock)
    drive(arm, clock, 0.5, "policy", grip=("policy", 1.0))
    send_twist = driver.send_twist

    def take_over(*twist):
        # Between the gate's decision and the hand.
        driver.send_twist = send_twist
        send_twist(*twist)
        assert arm.submit_command("teleop", *FORWARD, clock.steady) == ""
        assert arm.submit_gripper("teleop", 0.5, clock.steady) == ""

    driver.send_twist = take_over
    drive(arm, clock, 0.1)
    assert told(driver) == ["grip 1", "grip 0.5"]
    arm.stop()
    drive(arm, clock, 0.1)
    assert told(driver)[-1] == "hold_gripper"
