"""The policy node over real topics: acts at control rate on fresh frames, stops when a stream is lost."""

import dataclasses
import time

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from gr1_common import messages, qos
from gr1_core.eval import verdict
from gr1_policy import calibration
from gr1_policy.prediction_monitor import SMALLEST_BASELINE
from tests.support.waiting import eventually


def speed(message) -> float:
    return float(np.abs(np.concatenate(messages.from_twist(message.twist))).sum())


def moving(rig):
    """Waits until commands with motion come, and returns their number so far."""
    eventually(lambda: rig.twists and speed(rig.twists[-1][1]) > 0, "a command with motion")
    return len(rig.twists)


def acting(rig, policy_node, **parameters):
    node, spy = policy_node(
        **({"autostart": True, "instruction": "put the eggplant on the plate"} | parameters)
    )
    moving(rig)
    return node, spy


def test_acts_once_a_control_period_with_the_action_of_the_model_on_the_newest_frames(rig, policy_node):
    node, spy = acting(rig, policy_node)
    rig.closure_command = 1.0
    eventually(
        lambda: len(rig.twists) >= 15 and len(rig.heard["command/policy/gripper"]) >= 15, "15 commands"
    )
    stamps = np.array([messages.seconds(message.header.stamp) for _, message in rig.twists])
    assert np.median(np.diff(stamps)) == pytest.approx(0.1, abs=0.02)
    twist = rig.twists[-1][1]
    assert twist.header.frame_id == "base_link"
    assert {observation.gripper for observation in spy.observations} == {1, -1}
    np.testing.assert_allclose(spy.observations[-1].arm, [0.45, 0.0, 0.25, 0, 0, 0], atol=1e-9)
    frames = [int(observation.static[0, 0, 0]) for observation in spy.observations]
    assert len(set(frames)) == len(frames), "a frame was used twice"
    assert {message.data for _, message in rig.heard["command/policy/gripper"]} <= {0.0, 1.0}


def test_the_twist_carries_the_action_out_in_one_period(rig, policy_node):
    node, spy = policy_node(autostart=True, instruction="x", blend_s=0.0)
    spy.answer = lambda action: dataclasses.replace(
        action, delta=np.array([0.5, -0.25, 0, 0, 0, 0.5]), gripper_logit=-1.0
    )
    moving(rig)
    linear, angular = messages.from_twist(rig.twists[-1][1].twist)
    np.testing.assert_allclose([*linear, *angular], [0.1, -0.05, 0, 0, 0, 0.5], atol=1e-9)
    eventually(lambda: rig.heard["command/policy/gripper"], "a gripper command")
    assert rig.heard["command/policy/gripper"][-1][1].data == 1.0


LABELS = {"static": "static camera", "wrist": "wrist camera", "arm": "arm/pose", "gripper": "arm/gripper"}


@pytest.mark.parametrize("stream, said", LABELS.items())
def test_a_lost_stream_brings_a_zero_twist_and_silence_until_it_is_back(rig, policy_node, stream, said):
    node, spy = acting(rig, policy_node)
    eventually(lambda: len(spy.observations) > 3, "a few steps")
    rig.streams.discard(stream)
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    # At the start, too, there is an ERROR: nothing received yet.
    eventually(
        lambda: (s := rig.status("policy: inputs")) and s[0] == 2 and said in s[1],
        f"an ERROR on /diagnostics that names {said}",
    )
    sent, resets = len(rig.twists), len(spy.resets)
    time.sleep(0.5)
    assert len(rig.twists) == sent, "something was sent although the stream was away"
    rig.streams.add(stream)
    eventually(lambda: len(rig.twists) > sent, "motion after the stream is back")
    assert len(spy.resets) == resets + 1 and spy.resets[-1] == spy.resets[0], "the history was not restarted"
    eventually(lambda: rig.status("policy: inputs")[0] == 0, "OK on /diagnostics")


def test_a_stream_that_repeats_old_stamps_is_lost_too(rig, policy_node):
    acting(rig, policy_node)
    stamp = rig.node.get_clock().now().to_msg()
    rig.streams.discard("static")
    height, width = rig.size["static"]
    again = messages.image_to_msg(np.zeros((height, width, 3), np.uint8), stamp, "")
    rig.node.create_timer(0.03, lambda: rig._cameras["static"].publish(again))
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    assert (
        "static camera"
        in eventually(lambda: (s := rig.status("policy: inputs")) and s[0] == 2 and s, "an ERROR")[1]
    )


def test_waits_for_an_instruction_and_starts_anew_with_each(rig, policy_node):
    node, spy = policy_node(autostart=True)
    eventually(
        lambda: (s := rig.status("policy: step")) and "waiting for an instruction" in s[1], "that it waits"
    )
    assert not spy.observations and not rig.twists
    rig.instruct("put the eggplant on the plate")
    moving(rig)
    rig.instruct("open the drawer")
    eventually(lambda: spy.resets[-1] == "open the drawer", "a reset with the new instruction")
    assert spy.resets == ["put the eggplant on the plate", "open the drawer"]
    rig.instruct("open the drawer")
    eventually(lambda: len(spy.resets) == 3, "a reset with the same words again")


def test_a_policy_that_only_watches_predicts_but_sends_nothing(rig, policy_node):
    predicted = []
    rig.node.create_subscription(Image, "policy/predicted/static", predicted.append, qos.SENSOR)
    policy_node(autostart=True, instruction="open the drawer", act=False)
    eventually(lambda: len(predicted) > 2, "predicted frames")
    assert not rig.twists and not rig.heard["command/policy/gripper"]
    assert messages.msg_to_image(predicted[-1]).shape == (112, 112, 3)
    assert "watching" in eventually(lambda: (s := rig.status("policy: step")) and s[0] == 0 and s, "OK")[1]
    assert rig.status("policy: disagreement")[2]["steps"] == "0"
    person = rig.node.create_publisher(TwistStamped, "command/teleop/twist", qos.COMMAND)
    rig.node.create_timer(0.03, lambda: person.publish(TwistStamped()))
    eventually(
        lambda: int(rig.status("policy: disagreement")[2]["steps"]) > 0,
        "a comparison with the demonstrator",
    )


def test_the_panel_shows_now_predicted_and_the_real_frame_three_steps_later(rig, policy_node):
    panels = []
    rig.node.create_subscription(Image, "policy/panel", panels.append, qos.SENSOR)
    node, spy = acting(rig, policy_node)
    eventually(lambda: len(panels) > 1, "panels")
    panel = messages.msg_to_image(panels[-1])
    now, real = panel[120, 110, 0], panel[120, 2 * 228 + 110, 0]
    frames = [int(observation.static[0, 0, 0]) for observation in spy.observations]
    assert abs(frames.index(int(real)) - frames.index(int(now))) == 3


def test_diagnostics_trace_each_step_from_camera_to_command(rig, policy_node):
    acting(rig, policy_node)
    _, _, values = eventually(
        lambda: (s := rig.status("policy: step")) and int(s[2].get("steps", 0)) > 10 and s,
        "ten steps on /diagnostics",
    )
    assert 0 < float(values["rate_hz"]) < 12, (
        "never faster than the control period; a busy computer skips steps"
    )
    assert (
        0
        < float(values["inference_p50_ms"])
        <= float(values["camera_to_command_p50_ms"])
        <= float(values["camera_to_command_p99_ms"])
    )
    assert {"period_p50_ms", "period_p99_ms", "skipped"} <= set(values)


def test_a_step_that_fails_rests_the_arm_and_says_why(rig, policy_node):
    node, spy = acting(rig, policy_node)
    rig.size["wrist"] = (200, 200)
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    message = eventually(
        lambda: (s := rig.status("policy: step")) and s[0] == 2 and s[1], "an ERROR on /diagnostics"
    )
    assert "200" in message and "320" in message
    rig.size["wrist"] = (240, 320)
    moving(rig)


@pytest.fixture
def transitions(rig):
    change = rig.node.create_client(ChangeState, "policy/change_state")
    state = rig.node.create_client(GetState, "policy/get_state")

    def call(client, request):
        assert client.wait_for_service(5.0)
        future = client.call_async(request)
        return eventually(lambda: future.done() and future.result(), "an answer to a service call")

    return (
        lambda number: call(change, ChangeState.Request(transition=Transition(id=number))).success,
        lambda: call(state, GetState.Request()).current_state.id,
    )


def test_lifecycle_acts_only_while_active_and_rests_when_deactivated(rig, policy_node, transitions):
    change, state = transitions
    node, spy = policy_node(instruction="open the drawer")
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert change(Transition.TRANSITION_CONFIGURE) and state() == State.PRIMARY_STATE_INACTIVE
    time.sleep(0.3)
    assert not rig.twists
    assert change(Transition.TRANSITION_ACTIVATE)
    moving(rig)
    assert change(Transition.TRANSITION_DEACTIVATE) and state() == State.PRIMARY_STATE_INACTIVE
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "one zero twist")
    sent = len(rig.twists)
    time.sleep(0.3)
    assert len(rig.twists) == sent
    assert change(Transition.TRANSITION_ACTIVATE)
    moving(rig)
    assert change(Transition.TRANSITION_DEACTIVATE) and change(Transition.TRANSITION_CLEANUP)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
    moving(rig)
    assert change(Transition.TRANSITION_ACTIVE_SHUTDOWN) and node.finished.is_set()


def test_a_checkpoint_that_failed_its_replay_is_not_activated(rig, policy_node, demo_policy, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    verdict.Verdict(("episode_1",), (verdict.Check("motion", False, "9.0 mm"),)).save(tmp_path)
    node, _ = policy_node(checkpoint=str(tmp_path))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    _, message, _ = eventually(
        lambda: (s := rig.status("policy: step")) and s[0] == 2 and s, "an ERROR on /diagnostics"
    )
    assert "failed its replay" in message
    node, _ = policy_node(checkpoint=str(tmp_path), ignore_replay=True)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def inputs_error(rig, said):
    """Waits until /diagnostics names a fault of the inputs with these words."""
    return eventually(
        lambda: (s := rig.status("policy: inputs")) and s[0] == 2 and said in s[1] and s,
        f"an ERROR with '{said}'",
    )


def test_cameras_whose_frames_are_too_far_apart_rest_the_arm_and_are_both_named(rig, policy_node):
    acting(rig, policy_node, max_skew_s=0.005)
    rig.skew = 0.016  # half of the cameras' period: no frame of one is nearer to one of the other
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    inputs_error(rig, "static camera and wrist camera")
    rig.skew = 0.0
    moving(rig)


def test_a_camera_that_freezes_while_the_arm_moves_rests_it_for_as_long_as_it_is_frozen(rig, policy_node):
    acting(rig, policy_node)
    rig.frozen, rig.speed = {"static"}, 0.05
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    rig.speed = 0.0
    _, message, _ = inputs_error(rig, "the camera is frozen")
    assert message.startswith("static camera: the image has not changed while the arm moved")
    sent = len(rig.twists)
    time.sleep(0.5)
    assert len(rig.twists) == sent, "something was sent although the camera is still frozen"
    rig.frozen = set()
    moving(rig)


def test_an_arm_that_says_impossible_things_is_named_and_rested(rig, policy_node):
    acting(rig, policy_node)
    rig.position = [float("nan"), 0.0, 0.25]
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    inputs_error(rig, "arm/pose: the position (nan, 0, 0.25) is not finite")
    rig.position = [0.45, 0.0, 0.25]
    moving(rig)


def test_a_gripper_command_that_cannot_be_is_named_and_rests_the_arm(rig, policy_node):
    acting(rig, policy_node)
    rig.closure_command = 45.0
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    inputs_error(rig, "arm/gripper: closure_command is 45, expected 0 (open) .. 1 (closed)")


def test_a_model_that_is_too_slow_moves_nothing_and_says_by_how_much(rig, policy_node):
    node, _ = acting(rig, policy_node)
    assert node.set_parameters([Parameter("sim.delay_s", value=0.4)])[0].successful
    eventually(lambda: speed(rig.twists[-1][1]) == 0, "a zero twist")
    _, message, values = eventually(
        lambda: (s := rig.status("policy: step")) and s[0] == 2 and s, "an ERROR on /diagnostics"
    )
    assert "the model is too slow" in message and "250 ms allowed" in message and int(values["late"]) > 0
    assert node.set_parameters([Parameter("sim.delay_s", value=0.0)])[0].successful
    moving(rig)


def test_steps_that_miss_periods_start_a_new_history_and_are_counted(rig, policy_node):
    node, spy = acting(rig, policy_node, max_action_age_periods=50.0)
    resets = len(spy.resets)
    assert node.set_parameters([Parameter("sim.delay_s", value=0.35)])[0].successful
    eventually(lambda: len(spy.resets) > resets + 1, "a new history")

    def restarted() -> bool:
        values = (rig.status("policy: step") or (0, "", {}))[2]
        gap = "between the frames of two steps, 250 ms allowed"
        return int(values.get("restarts", 0)) > 0 and gap in values["last_restart"]

    eventually(restarted, "the reason on /diagnostics")


def test_only_the_policy_of_a_simulated_robot_can_be_slowed_down(policy_node):
    node, _ = policy_node(robot="kinova_gen3")
    result = node.set_parameters([Parameter("sim.delay_s", value=0.1)])[0]
    assert not result.successful and "for robot 'sim' only" in result.reason


def test_a_limit_needs_a_calibration(rig, policy_node):
    node, _ = policy_node(prediction_limit=1.5)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    _, message, _ = eventually(
        lambda: (s := rig.status("policy: step")) and s[0] == 2 and s, "an ERROR on /diagnostics"
    )
    assert "never calibrated" in message and "gr1 calibrate" in message


def test_a_limit_needs_the_monitor(rig, policy_node):
    node, _ = policy_node(prediction_limit=1.5, prediction_monitor=False)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    _, message, _ = eventually(
        lambda: (s := rig.status("policy: step")) and s[0] == 2 and s, "an ERROR on /diagnostics"
    )
    assert "prediction_limit is 1.5, but prediction_monitor is false" in message
    assert node.set_parameters([Parameter("prediction_limit", value=0.0)])[0].successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    result = node.set_parameters([Parameter("prediction_limit", value=1.5)])[0]
    assert not result.successful and "prediction_monitor is false" in result.reason


@pytest.mark.slow
def test_a_model_that_has_no_time_to_predict_is_a_warning_while_there_is_a_limit(rig, policy_node, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    calibration.save(tmp_path, {"static": SMALLEST_BASELINE, "wrist": SMALLEST_BASELINE}, 1.5, {})
    node, _ = acting(
        rig, policy_node, checkpoint=str(tmp_path), prediction_limit=1000.0, max_action_age_periods=50.0
    )
    assert node.set_parameters([Parameter("sim.delay_s", value=0.15)])[0].successful
    _, message, _ = eventually(
        lambda: (s := rig.status("policy: prediction")) and s[0] == 1 and s, "a WARN on /diagnostics"
    )
    assert message.startswith("cannot stop the arm: ")
    assert node.set_parameters([Parameter("prediction_limit", value=0.0)])[0].successful
    eventually(
        lambda: rig.status("policy: prediction")[0] == 0, "that a monitor that only reports is no warning"
    )
