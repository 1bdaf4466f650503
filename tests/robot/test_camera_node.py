"""The camera node over real ROS 2, on the simulated source."""

import signal

import numpy as np
import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from gr1_common.diagnostics import ERROR, OK, STALE
from gr1_common.messages import msg_to_image
from tests.support.ros_graph import NodeProcess, RosClient, stamp_ns

SIZE = ("width:=96", "height:=72")


@pytest.fixture(scope="module")
def camera(ros):
    """A small wrist camera, started before there is anything to see."""
    process = NodeProcess("gr1_robot.cameras.node", "role:=wrist", "jpeg_quality:=80", "rate_hz:=20.0", *SIZE)
    yield process
    process.end()


@pytest.fixture(scope="module")
def without_arm(ros: RosClient, camera):
    """What the camera says while no arm node runs."""
    return ros.status("camera_wrist: stream")[0]


@pytest.fixture(scope="module")
def running(ros: RosClient, without_arm, arm):
    ros.subscribe("camera/wrist/image_raw", Image)
    ros.subscribe("camera/wrist/image_raw/compressed", CompressedImage)
    ros.subscribe("camera/wrist/camera_info", CameraInfo)
    ros.subscribe("sim/state", JointState)
    ros.until("camera/wrist/image_raw/compressed")
    return ros


def test_without_anything_to_see_it_says_what_it_waits_for(without_arm):
    assert (
        without_arm.level == STALE
        and "sim/state" in without_arm.message
        and "arm node" in without_arm.message
    )


def test_a_frame_carries_the_time_of_the_state_that_it_shows(running):
    before = len(running.messages("camera/wrist/image_raw"))
    running.until("camera/wrist/image_raw", after=before + 10)
    frames = running.messages("camera/wrist/image_raw")
    stamps = [stamp_ns(frame) for frame in frames]
    assert stamps == sorted(set(stamps)), "never two frames of one state"
    states = {stamp_ns(state) for state in running.messages("sim/state")}
    assert len(states & set(stamps[before:])) >= 5
    assert frames[-1].header.frame_id == "camera_wrist_optical_frame" and frames[-1].encoding == "rgb8"
    image = msg_to_image(frames[-1])
    assert image.shape == (72, 96, 3) and image.std() > 10


def test_the_camera_info_belongs_to_the_image(running):
    info = running.until("camera/wrist/camera_info", after=len(running.messages("camera/wrist/camera_info")))
    frame = running.until("camera/wrist/image_raw", lambda m: stamp_ns(m) >= stamp_ns(info))
    assert (info.width, info.height) == (
        frame.width,
        frame.height,
    ) and info.header.frame_id == frame.header.frame_id
    k = np.array(info.k).reshape(3, 3)
    assert k[0, 0] > 0 and 0 < k[0, 2] < 96 and 0 < k[1, 2] < 72 and k[2, 2] == 1.0


def test_the_jpeg_shows_the_same_picture(running):
    jpeg = running.until("camera/wrist/image_raw/compressed")
    raw = running.until("camera/wrist/image_raw", lambda m: stamp_ns(m) >= stamp_ns(jpeg))
    assert np.abs(msg_to_image(jpeg).astype(int) - msg_to_image(raw)).mean() < 12


def test_a_stream_that_stops_is_named_and_resumes(running, arm):
    running.status("camera_wrist: stream", lambda s: s.level == OK)
    seen = len(running.messages("/diagnostics"))
    arm.send(signal.SIGSTOP)
    status, values = running.status("camera_wrist: stream", lambda s: s.level == ERROR, seen)
    assert "sim/state" in status.message and float(values["age_ms"]) >= 150
    frames = len(running.messages("camera/wrist/image_raw"))
    running.status("camera_wrist: stream", lambda s: s.level == ERROR, len(running.messages("/diagnostics")))
    assert len(running.messages("camera/wrist/image_raw")) == frames, "no state, no frame"
    seen = len(running.messages("/diagnostics"))
    arm.send(signal.SIGCONT)
    running.status("camera_wrist: stream", lambda s: s.level != ERROR, seen)
    running.until("camera/wrist/image_raw", after=frames)


def test_a_pulled_cable_is_an_error_that_says_so_and_ends_with_the_first_frame(running, camera):
    def fault(kind):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=kind)
        request = SetParameters.Request(parameters=[Parameter(name="sim.fault", value=value)])
        assert running.call(SetParameters, "camera_wrist/set_parameters", request).results[0].successful

    seen = len(running.messages("/diagnostics"))
    fault("disconnect")
    status, values = running.status("camera_wrist: stream", lambda s: "is missing" in s.message, seen)
    assert status.level == ERROR and values["outages"] == "1" and "simulated" in values["device"]
    camera.until("the node keeps trying to open it")
    seen = len(running.messages("/diagnostics"))
    fault("none")
    running.status("camera_wrist: stream", lambda s: s.level == OK, seen)
    camera.until("is back")


def test_it_reports_rate_latency_and_losses(running):
    _, values = running.status("camera_wrist: stream", after=len(running.messages("/diagnostics")))
    expected = {
        "rate_hz",
        "expected_hz",
        "age_ms",
        "latency_p50_ms",
        "latency_p99_ms",
        "frames",
        "dropped",
        "outages",
        "device",
    }
    assert expected <= set(values)
    assert (
        float(values["expected_hz"]) == 20.0
        and int(values["frames"]) > 0
        and float(values["latency_p50_ms"]) > 0
    )


def test_a_signal_ends_it_with_code_0(running, camera):
    camera.send(signal.SIGINT)
    code, output = camera.wait()
    assert code == 0 and "Traceback" not in output


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("role:=left", ["left", "static, wrist"]),
        ("camera_driver:=webcam", ["webcam", "sim"]),
        ("source:=sim", ["'source'", "'camera_driver' now"]),
        ("rate_hz:=0.0", ["rate_hz"]),
        ("rig:=calvin", ["rate_hz", "20", "30"]),
    ],
)
def test_a_wrong_parameter_ends_it_with_one_line_that_names_it(parameter, words):
    code, output = NodeProcess("gr1_robot.cameras.node", parameter).wait()
    assert code == 1 and "Traceback" not in output and all(word in output for word in words)
