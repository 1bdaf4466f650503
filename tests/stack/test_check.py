"""`gr1 check rig`: what it measures, when it moves nothing, and that the arm is at rest however it ends."""

import io
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from PIL import Image
from rich.console import Console

from gr1_bringup import processes
from gr1_check import response
from gr1_check import rig_processes as rigs
from gr1_check.commands.check_rig import main as gr1_check_rig
from gr1_check.operator_prompt import OperatorPrompt, Quit
from gr1_check.response import Recording
from gr1_check.rig_check import RigCheck
from gr1_check.steps import STEPS
from gr1_check.test_motion import MotionDeviation, TestMotion
from gr1_common.qos import SENSOR
from gr1_common.stack_monitor import StackMonitor
from gr1_core import Rig
from tests.support.program import Program
from tests.support.waiting import eventually

from ..kinova_gen2.standin import StandIn, sdk

GR1 = "import sys; from gr1_core.cli import main; sys.exit(main())"


class Run(Program):
    """`gr1 check rig`."""

    def __init__(self, folder: Path, *words: str):
        super().__init__("-c", GR1, "check", "rig", "--out", folder, *words)
        self.folder = folder

    def results(self) -> dict[tuple[str, str], dict]:
        document = json.loads((self.folder / "report.json").read_text())
        return {(one["step"], one["subject"]): one for one in document["results"]}


@pytest.fixture
def check(tmp_path, running):
    return lambda *words: running(Run(tmp_path / "check", *words))


@pytest.mark.slow
def test_the_simulated_rig_passes_and_leaves_report_and_images(check):
    run = check("--yes", "--only", "images,expiry")
    code, found = run.wait(), run.results()
    assert code == 0, run.said
    assert {step for step, _ in found} == {"devices", "images", "pose", "arming", "stop", "expiry"}
    assert {one["level"] for one in found.values()} == {"OK"}
    for role, size in (("static", (640, 360)), ("wrist", (320, 240))):
        assert Image.open(run.folder / f"{role}.png").size == size
    assert (run.folder / "cameras.png").is_file()
    stopped, silent = found["stop", "stop"]["figures"], found["expiry", "silence"]["figures"]
    assert 0 <= stopped["zero_ms"] <= 250 and 0 < silent["zero_ms"] <= 250
    assert found["pose", "kinematics"]["figures"]["off_mm"] < 1.0
    assert (
        "passed: " in (run.folder / "report.md").read_text()
        and "stop: the emergency stop" in (run.folder / "transcript.txt").read_text()
    )


@pytest.mark.slow
def test_every_step_passes_on_the_simulated_rig(check):
    run = check("--yes")
    code, found = run.wait(), run.results()
    assert code == 0, run.said
    assert {step for step, _ in found} == {step.name for step in STEPS}
    for name in ("+x", "-x", "+y", "-y", "+z", "-z"):
        assert found["moves", name]["figures"]["measured"] == pytest.approx(10, abs=3)
        assert found["turns", f"about {name}"]["figures"]["measured"] == pytest.approx(5.7, abs=1.5)


@pytest.mark.slow
def test_a_cold_gen2_is_homed_released_led_into_its_workspace_and_measured(tmp_path, monkeypatch):
    standin = StandIn(tmp_path)
    standin.world.retract, standin.world.fingers_known = 6, 0
    for name, value in (processes.environment(tmp_path) | standin.environment).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "lab.yaml").write_text(f"arm: {{kinova_gen2.sdk: {sdk()}}}")
    chosen = rigs.settings(
        robot="kinova_gen2",
        rig="",
        static="realsense",
        wrist="realsense",
        hardware=str(tmp_path / "lab.yaml"),
    )
    console = Console(file=io.StringIO(), record=True)
    check = RigCheck(chosen, tmp_path, console, OperatorPrompt(console, yes=True))
    # There are no cameras here: the steps that want them are left out, and so is the one that waits for
    # them.
    steps = [step for step in STEPS if step.name in ("arming", "stop", "moves", "home")]
    walk = check._walk
    check._walk = lambda wanted: check.rig_nodes.until_up(check.client) or walk(wanted)
    code = check.run(steps)
    assert code == 0, (tmp_path / "transcript.txt").read_text()
    found = {(one.step, one.subject): one for one in check.report.results}
    assert (
        "outside the workspace" in found["arming", "homing"].text
        and found["arming", "into workspace"].level == "OK"
    )
    assert found["moves", "+z"].figures["measured"] == pytest.approx(10, abs=3)


@pytest.mark.slow
def test_without_a_camera_nothing_is_moved(check):
    run = check("--yes", "--wrist", "realsense", "--only", "devices,moves")
    code, found = run.wait(), run.results()
    assert code == 1
    assert found["devices", "camera_wrist"]["level"] == "FAIL" and found["devices", "camera_wrist"]["remedy"]
    assert [found[step, ""]["level"] for step in ("arming", "stop", "moves")] == ["left out"] * 3
    assert found["devices", "camera_static"]["level"] == found["pose", "kinematics"]["level"] == "OK"


def test_ctrl_c_stops_the_moving_arm_before_its_node_ends(check):
    monitor, twists, gates = StackMonitor("gr1_test"), [], []

    def heard(message):
        v = message.twist.linear
        twists.append(np.linalg.norm((v.x, v.y, v.z)))
        status = monitor.snapshot().statuses.get("arm: gate")
        gates.append(status.values.get("reason") if status else None)

    monitor.node.create_subscription(TwistStamped, "arm/commanded_twist", heard, SENSOR)
    monitor.start()
    try:
        run = check("--yes", "--only", "moves")
        run.until("moves: ")
        before = len(twists)
        eventually(lambda: max(twists[before:], default=0) > 0.01, "a motion")
        nodes = run.nodes()
        run.signal(signal.SIGINT)
        assert run.wait(30) == 1
    finally:
        monitor.close()
    assert twists[-1] == 0.0 and "emergency_stop" in gates[before:]
    assert len(nodes) == 3 and not any(Path(f"/proc/{pid}").exists() for pid in nodes.values())
    assert (
        "interrupted by SIGINT" in run.said
        and "the arm is stopped" in run.said
        and "Traceback" not in run.said
    )
    assert json.loads((run.folder / "report.json").read_text())["completed"] == "no"


def test_a_real_arm_is_not_moved_without_a_person(tmp_path, capsys, monkeypatch):
    assert gr1_check_rig(["--robot", "kinova_gen2", "--yes", "--out", str(tmp_path / "run")]) == 2
    assert "leave --yes out" in capsys.readouterr().out and not (tmp_path / "run").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(Quit, match="a person beside the arm"):
        OperatorPrompt(Console(file=io.StringIO()), yes=False).confirm("the arm moves")


@pytest.mark.parametrize(("answer", "goes_on"), [("\n", True), ("s\n", False)])
def test_the_person_is_told_and_decides(answer, goes_on, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    shown = io.StringIO()
    assert OperatorPrompt(Console(file=shown), yes=False).confirm("the arm moves 1 cm") is goes_on
    assert "the arm moves 1 cm" in shown.getvalue()


WRONG = [
    (("--only", "dance"), "no step 'dance'; there are devices"),
    (("--robot", "kinova_gen2", "--static", "sim"), "a simulated camera sees the simulated arm only"),
    (("--hardware", "nowhere.yaml"), "no file 'nowhere.yaml'"),
    (("--rig", "nowhere"), "no rig 'nowhere'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_arguments_are_refused_before_anything_starts(words, said, tmp_path, capsys):
    assert gr1_check_rig([*words, "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().out and not (tmp_path / "run").exists()


class DeviatingArm:
    """An arm that is commanded along x and moves along y, as with a turned base frame."""

    def __init__(self):
        self.calls, self.position = [], np.zeros(3)
        self.pose = self.twist = self

    late = 0.0

    @property
    def rows(self):
        return [(time.time() - self.late, time.time())]

    @property
    def newest(self):
        return np.concatenate([self.position, (0.0, 0.0, 0.0, 1.0)])

    def collect(self, seconds):
        return 0.0

    def wait(self, condition, timeout):
        condition()
        return True

    def since(self, moment):
        return np.zeros((0, 9))

    def send_twist(self, linear, angular):
        self.position = self.position + (0.0, 0.02 if np.any(linear) else 0.0, 0.0)
        return 0.0

    def call_service(self, service, timeout=5.0):
        self.calls.append(service)
        return True, "", 0.0


def test_an_arm_that_deviates_is_stopped_at_once():
    client = DeviatingArm()
    with pytest.raises(MotionDeviation, match="deviated"):
        TestMotion(client, Rig.load("kinova_gen2")).move((0.02, 0, 0), np.zeros(3), 0.5)
    assert client.calls == ["stop"] and client.position[1] < 0.1


def test_a_motion_that_cannot_be_watched_is_ended():
    client = DeviatingArm()
    client.late = 2.0
    with pytest.raises(MotionDeviation, match="too busy to watch"):
        TestMotion(client, Rig.load("kinova_gen2")).move((0.02, 0, 0), np.zeros(3), 0.5)
    assert client.calls == ["stop"]


def recording(
    direction, *, delay: float, distance: float = 0.01, speed: float = 0.02, expiry: float = 0.0
) -> Recording:
    """Commands from 0 s on; the gate lets them through 10 ms later, the arm follows `delay` later along
    `direction`.
    """
    stamps = np.arange(-0.3, 2.0, 0.01)
    lasts = distance / speed
    moving = (stamps > 0.005) & (stamps < 0.005 + lasts + expiry)
    twist = np.zeros((len(stamps), 7))
    twist[:, 0], twist[:, 1] = stamps, speed * moving
    way = np.clip(stamps - delay, 0.0, lasts + expiry) * speed
    pose = np.zeros((len(stamps), 8))
    pose[:, 0], pose[:, 7] = stamps, 1.0
    pose[:, 1:4] = way[:, None] * np.asarray(direction)
    return Recording(0.0, lasts, pose, twist)


def test_a_faithful_arm_is_measured_as_one():
    found = response.translation(recording((1, 0, 0), delay=0.05), (1, 0, 0))
    assert found.measured == pytest.approx(10, abs=0.3) and found.commanded == pytest.approx(10, abs=0.3)
    assert found.across < 0.01 and found.direction_error_deg < 0.1
    assert (
        found.gate_ms == pytest.approx(10, abs=1)
        and 50 < found.motion_ms <= 90
        and found.rest_ms <= 20
        and 0 < found.settle_ms < 100
    )


def test_a_turned_base_frame_shows_as_a_wrong_direction():
    found = response.translation(recording((0, 1, 0), delay=0.05), (1, 0, 0))
    assert found.direction_error_deg == pytest.approx(90, abs=1) and found.across == pytest.approx(
        10, abs=0.3
    )
    assert response.translation(
        recording((-1, 0, 0), delay=0.05), (1, 0, 0)
    ).direction_error_deg == pytest.approx(180, abs=1)


def test_an_arm_that_does_not_move_has_no_direction_and_no_first_motion():
    found = response.translation(recording((0, 0, 0), delay=0.05), (1, 0, 0))
    assert found.measured == 0 and np.isnan(found.direction_error_deg) and np.isnan(found.motion_ms)


def test_rest_counts_from_the_last_command_and_never_comes_while_it_moves():
    silent = recording((1, 0, 0), delay=0.0, expiry=0.15)
    assert response.rest_after(silent, silent.ended) == pytest.approx(0.16, abs=0.011)
    assert response.travelled_after(silent, silent.ended) == pytest.approx(0.003, abs=3e-4)
    assert np.isnan(response.rest_after(Recording(0.0, 0.5, silent.pose[:60], silent.twist[:60]), 0.5))


def test_a_turn_is_measured_in_degrees_about_its_axis():
    straight = recording((0, 0, 0), delay=0.0)
    pose, twist = straight.pose.copy(), np.zeros_like(straight.twist)
    half = np.clip(pose[:, 0], 0.0, 0.5) * 0.2 / 2
    pose[:, 6], pose[:, 7] = np.sin(half), np.cos(half)
    twist[:, 0], twist[:, 6] = straight.twist[:, 0], 10 * straight.twist[:, 1]
    found = response.rotation(Recording(0.0, 0.5, pose, twist), (0, 0, 1))
    assert found.measured == pytest.approx(np.degrees(0.1), abs=0.1) and found.commanded == pytest.approx(
        np.degrees(0.1), abs=0.2
    )
    assert found.direction_error_deg < 0.1 and found.drift_mm == 0
