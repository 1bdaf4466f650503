"""Injected faults: what each switch shows, what --fault accepts, how the real stack stops."""

import dataclasses
import json
import math
import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import JointState

from gr1_bringup import stack
from gr1_common import qos
from gr1_common.messages import nanoseconds
from gr1_core import Rig
from gr1_core.sim import Twin
from gr1_fault_injection import catalogue, fault_injector, report, shim
from gr1_fault_injection.commands.faults import main as gr1_faults
from gr1_fault_injection.injection import Run, inject_once
from gr1_fault_injection.observer import Speed
from gr1_fault_injection.report import Row
from gr1_fault_injection.stack_under_test import StackError
from gr1_robot.arm.drivers.sim import backend as arms
from gr1_robot.cameras.driver import Unplugged
from gr1_robot.cameras.drivers import sim as cameras
from tests.support.ros_graph import SpinningNodes
from tests.support.waiting import eventually

POSSIBLE = fault_injector.possible_faults(stack.nodes(stack.settings()))

# What --fault understands


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("camera_static:3s", fault_injector.Fault("camera_static", "drop_out", 3.0)),
        ("camera_wrist:freeze:2.5s+1s", fault_injector.Fault("camera_wrist", "freeze", 2.5, 1.0)),
        ("arm:stuck:0+0.5", fault_injector.Fault("arm", "stuck", 0.0, 0.5)),
    ],
)
def test_node_kind_and_times(word, fault):
    assert fault_injector.parse([word], POSSIBLE) == [fault]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("camera:3s", "'camera' is not one of arm, camera_static, camera_wrist"),
        (
            "arm:black:3s",
            "arm has no fault 'black', there are disconnect, drop_out, delay, drift, stuck, ignore, force",
        ),
        ("arm:none:3s", "arm has no fault 'none'"),
        ("arm", "is not NODE[:KIND]:AT[+FOR]"),
        ("arm:-1s", "is not NODE[:KIND]:AT[+FOR]"),
        ("arm:stuck:3s+", "is not NODE[:KIND]:AT[+FOR]"),
        ("arm:3s+0s", "a fault of 0 s shows nothing"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_what_can(word, said):
    with pytest.raises(stack.SettingError) as refused:
        fault_injector.parse([word], POSSIBLE)
    assert said in str(refused.value) and word in str(refused.value) and "\n" not in str(refused.value)


def test_only_what_is_simulated_has_switches():
    real = stack.nodes(stack.settings(wrist="realsense"))
    assert sorted(fault_injector.possible_faults(real)) == ["arm", "camera_static"]
    with pytest.raises(stack.SettingError, match="run with --robot sim"):
        fault_injector.parse(["arm:3s"], {})


def test_a_fault_is_set_at_its_time_and_taken_back_only_if_it_is_still_the_one():
    spinning, said, set_to = SpinningNodes(), [], []
    arm = rclpy.create_node("arm", context=spinning.context)
    arm.declare_parameter("sim.fault", "none")
    arm.add_post_set_parameters_callback(lambda changes: set_to.extend(change.value for change in changes))
    asking = rclpy.create_node("asking", context=spinning.context)
    faults = fault_injector.parse(["arm:stuck:1s+3s", "arm:drift:2s+4s"], POSSIBLE)
    injector = fault_injector.FaultInjector(faults, asking, said.append)
    spinning.start(arm, asking)
    try:
        client = injector._clients["arm"]
        eventually(client.service_is_ready, "the arm's parameter service")
        for now, shown, values in (
            (0.9, "", []),
            (1.0, "FAULT arm stuck", ["stuck"]),
            (2.1, "FAULT arm drift", ["stuck", "drift"]),
            (4.0, "FAULT arm drift", ["stuck", "drift"]),
            (6.0, "", ["stuck", "drift", "none"]),
        ):
            injector.inject_due(now)
            eventually(lambda values=values: set_to == values, f"the faults {values}")
            assert injector.title() == shown
        eventually(lambda: len(said) == 3, "three lines for a person")
        assert injector.due_in(6.0) == float("inf") and "arm drift is over" in said[-1]
    finally:
        spinning.close()


# What the switches show


@pytest.fixture(scope="module")
def rig():
    return Rig.load("kinova_gen2")


@pytest.fixture(scope="module")
def arm(rig):
    made = arms.Arm(rig, "open_drawer", 0)
    made.connect()
    yield made
    made.close()


def driven(arm, fault, ticks=40, **options):
    """The arm's states while it is told to move by 0.2 m/s along y with this fault."""
    arm.set_option("fault", "none")
    arm.reset("open_drawer", 0)
    arm.read_state()
    for name, value in (*options.items(), ("fault", fault)):
        arm.set_option(name, value)
    states = []
    for _ in range(ticks):
        states.append(arm.read_state())
        arm.send_twist(np.array([0.0, 0.2, 0.0]), np.zeros(3))
    return states


def test_a_healthy_arm_follows_and_reports_no_force(arm):
    states = driven(arm, "none", ticks=80)  # it has inertia
    assert states[-1].measured.position[1] - states[0].measured.position[1] > 0.05
    assert states[-1].force is None and not arm.faults()


def test_a_lost_arm_has_no_poses_and_says_so(arm):
    states = driven(arm, "disconnect", ticks=2)
    assert states[-1].measured is None and states[-1].commanded is None and "disconnect" in arm.faults()[0]
    arm.set_option("fault", "none")
    assert arm.read_state().measured is not None and not arm.faults()


def test_a_state_that_stands_still_grows_old(arm):
    states = driven(arm, "drop_out")
    assert len({state.at for state in states}) == 1 and time.monotonic() - states[-1].at > 0


def test_a_late_state_is_as_old_as_was_asked(arm):
    arm.set_option("delay_s", 0.02)
    states = driven(arm, "delay", ticks=1, delay_s=0.02)
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        states.append(arm.read_state())
        answered = time.monotonic()
    assert answered - states[-1].at >= 0.02 and states[-1].at > states[0].at


def test_a_stuck_arm_stays_while_it_is_asked_to_go(arm):
    last = driven(arm, "stuck", ticks=80)[-1]
    assert np.linalg.norm(last.commanded.position - last.measured.position) > 0.07


def test_a_sinking_arm_and_one_that_touches_something(arm, rig):
    states = driven(arm, "drift", ticks=2)
    assert states[-1].measured.position[2] < states[0].measured.position[2]
    assert np.linalg.norm(driven(arm, "force", ticks=2)[-1].force) > rig.limits.force


@pytest.fixture(scope="module")
def camera():
    """The simulated wrist camera in a graph in which the arm never rests."""
    spinning, ended, twin = SpinningNodes(), threading.Event(), Twin()
    node = rclpy.create_node("camera", context=spinning.context)
    publisher = node.create_publisher(JointState, "sim/state", qos.SENSOR)
    made = cameras.Camera(node, "wrist", 160, 120, 20.0, {"fault": "none", "delay_s": 0.3})

    def move():
        while not ended.wait(0.02):
            twin.tick((0.0, 0.05, 0.0), (0.0, 0.0, 0.0))
            message = JointState(position=twin.state())
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)

    spinning.start(node)
    mover = threading.Thread(target=move)
    mover.start()
    made.open()
    yield made
    made.close()
    ended.set()
    mover.join()
    spinning.close()


def seen(camera, fault, count=2):
    camera.set_option("fault", fault)
    frames = []
    eventually(
        lambda: (frame := camera.read(0.5)) and frames.append(frame) or len(frames) >= count,
        f"{count} frames with '{fault}'",
    )
    return frames


def test_each_fault_of_a_camera_looks_like_it(camera):
    before, after = seen(camera, "none")
    assert after.stamp > before.stamp and not np.array_equal(before.image, after.image)
    before, after = seen(camera, "freeze")
    assert after.stamp > before.stamp and np.array_equal(before.image, after.image)
    before, after = seen(camera, "repeat")
    assert after.stamp == before.stamp and np.array_equal(before.image, after.image)
    assert seen(camera, "none")[-1].stamp > after.stamp
    before, after = seen(camera, "black")
    assert before.image.max() < 10 and not np.array_equal(before.image, after.image)
    knocked = seen(camera, "bump")[-1].image.astype(float)
    assert np.abs(knocked - seen(camera, "none")[-1].image).mean() > 3.0
    late = seen(camera, "late", count=1)[0]
    assert nanoseconds(camera.node.get_clock().now().to_msg()) - late.stamp >= 3e8
    camera.set_option("fault", "drop_out")
    assert camera.read(0.1) is None and "drop_out" in camera.missing()
    camera.set_option("fault", "disconnect")
    with pytest.raises(Unplugged, match="the cable is pulled"):
        camera.read(0.1)
    assert seen(camera, "none")


def test_the_clock_of_a_process_can_be_set_also_from_a_folder_with_spaces(tmp_path):
    folder = tmp_path / "mit Leerzeichen ü"
    folder.mkdir()
    try:
        switch = shim.Switch(shim.build(folder), folder / "switch")
    except shim.ShimError as error:
        pytest.skip(str(error))
    switch.jump(3600.0)
    asks = [sys.executable, "-S", "-c", "import time; print(time.time())"]
    done = subprocess.run(asks, capture_output=True, text=True, env=os.environ | switch.environment)
    assert float(done.stdout) - time.time() > 3500.0 and "cannot be preloaded" not in done.stderr


# The table


def test_the_table_counts_every_run_that_breaks_the_promise():
    good = Run(190.0, 120.0, 30.0, "gate expired", "by itself", 0.5, "")
    rows = [Row(catalogue.FAULTS[1], [good, good]), Row(catalogue.FAULTS[-1], skipped="no root")]
    assert report.good(rows) and "stopped 2 of 2" in rows[0].verdict and "no root" in rows[1].verdict
    rows[0].runs.append(
        Run(260.0, 200.0, 60.0, "gate expired", "by itself", 0.5, "rest 260 ms after the fault was visible")
    )
    assert not report.good(rows) and "FAILED 1 of 3" in rows[0].verdict
    told = rows[0].to_dict()
    assert told["visible_to_zero_ms"] == {"p50": 190.0, "max": 260.0} and told["failed"] == 1
    assert report.markdown(rows).count("\n") == 4
    assert report.counts(rows)["failed"] == 1 and report.counts(rows)["not_good"] == [rows[0].fault.name]


class Stack:
    """Scene, stack and observer of a stack whose arm says at these moments (s after the fault) how fast it
    moves (m/s).

    taut: from when on (s after the fault) its command leads it by max_following_error.
    """

    def __init__(self, beats, taut):
        self.rig, self._beats, self._taut, self._began = (
            Rig.load("kinova_gen2"),
            beats,
            taut,
            time.monotonic(),
        )
        self.stack = self.observer = self

    def inject(self):
        self._began = time.monotonic()

    def speeds(self):
        heard = [Speed(self._began + at, speed, speed > 0.0) for at, speed in self._beats]
        return [speed for speed in heard if speed.at <= time.monotonic()]

    def wait(self, condition, timeout):
        until = time.monotonic() + timeout
        while not condition() and time.monotonic() < until:
            time.sleep(0.005)
        return condition()

    def lead(self):
        due = self._began + self._taut
        return [(due, 1.01 * self.rig.limits.max_following_error)] if due <= time.monotonic() else []

    def gate(self):
        return "following", ""

    def state(self):
        return "all is well"

    def moving(self, *_):
        return True

    def home(self, *_):
        pass

    clear = home

    def measured(self, *_):
        return []

    commands = frames = statuses = measured


STOPS = [(0.01 * tick, 0.2 if tick < 15 else 0.0) for tick in range(600)]


def injected(beats, visible="injected", taut=math.inf):
    fault = dataclasses.replace(
        catalogue.FAULTS[0], inject=Stack.inject, clear=Stack.clear, visible=visible, restarts="", rearm=False
    )
    return inject_once(fault, Stack(beats, taut), random.Random(0))


def test_an_arm_that_is_not_heard_is_not_taken_for_one_that_rests():
    assert not injected(STOPS).wrong and 140.0 < injected(STOPS).visible_to_zero_ms < 160.0
    for stalled in (STOPS[:5], [*STOPS[:15], *STOPS[60:]]):
        assert "no message of the arm for" in injected(stalled).wrong


def test_a_rest_before_the_fault_could_be_seen_is_not_taken_for_the_answer_to_it():
    beats = [(0.01 * tick, 0.2 if tick < 20 or 40 <= tick < 130 else 0.0) for tick in range(300)]
    run = injected(beats, visible="lead:held", taut=1.2)
    assert not run.wrong and 95.0 < run.visible_to_zero_ms < 105.0


def test_an_arm_that_was_at_rest_already_took_no_time():
    run = injected(
        [(0.01 * tick, 0.2 if tick < 20 else 0.0) for tick in range(600)], visible="lead:sunk", taut=0.5
    )
    assert not run.wrong and run.visible_to_zero_ms == 0.0


def test_a_fault_is_not_injected_before_the_camera_that_shows_it_is_heard():
    with pytest.raises(StackError, match="do not arrive"):
        injected(STOPS, visible="frame:static")


def test_only_an_arm_whose_own_process_ends_may_fall_silent_and_gets_no_times():
    run = injected(STOPS[:5], visible="beat")
    assert not run.wrong and run.visible_to_zero_ms is None and run.fault_to_zero_ms is None
    row = Row(catalogue.FAULTS[0], [run])
    assert row.cells()[2:4] == ("-", "-") and "within" not in row.verdict
    assert "did not stop" in injected(STOPS, visible="beat").wrong
    assert "rest 390 ms after" in injected([(0.01 * tick, 0.2) for tick in range(40)], visible="beat").wrong


@pytest.mark.slow
def test_the_real_stack_stops_for_each_fault_and_the_table_says_how(tmp_path):
    only = "camera drops out,policy stopped,contact force"
    words = [
        sys.executable,
        "-m",
        "gr1_core",
        "faults",
        "--each",
        "1",
        "--only",
        only,
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    faults = {fault["fault"]: fault for fault in json.loads((tmp_path / "faults.json").read_text())["faults"]}
    assert len(faults) == 3 and all(
        fault["count"] == 1 and fault["travel_mm"]["max"] < 100 for fault in faults.values()
    )
    assert "static camera" in faults["camera drops out"]["runs"][0]["reason"]
    assert faults["contact force"]["runs"][0]["recovery"] == "arm/reset"
    assert "contact force" in (tmp_path / "faults.md").read_text()


def test_a_fault_that_is_not_in_the_table_is_refused_with_those_that_are(capsys):
    with pytest.raises(SystemExit) as ended:
        gr1_faults(["--only", "earthquake"])
    assert ended.value.code == 2 and "camera frozen" in capsys.readouterr().err
