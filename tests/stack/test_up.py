"""`gr1 up`: from one command to a running stack, and to a clean end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from gr1_bringup import processes, run_video, stack, startup
from gr1_bringup.commands.up import main as gr1_up
from gr1_common.stack_monitor import StackMonitor
from gr1_core import Rig
from tests.support.program import Program
from tests.support.ros_graph import SpinningNodes
from tests.support.waiting import eventually


@pytest.fixture
def up(tmp_path, running):
    return lambda *words: running(Program("-m", "gr1_core", "up", "--out", tmp_path / "run", *words))


def gone(pids) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_the_expert_drives_it_can_be_measured_and_ends_cleanly_with_a_video(up, tmp_path):
    stack = up("--driver", "expert", "--checkpoint", "untrained")
    stack.until("all nodes are up")
    assert "UNTRAINED" in stack.said and "the scripted expert drives" in stack.said
    measured = subprocess.run(
        [sys.executable, "-m", "gr1_core", "measure", "--seconds", "3"],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert measured.returncode == 0, measured.stderr
    document = json.loads(measured.stdout.splitlines()[-1])
    assert document["policy"]["steps"] > 0 and document["commands"]["count"] > 0
    assert (
        document["arm_beats"]["period_max_ms"] >= document["arm_beats"]["period_p50_ms"] > 0
        and document["arm_loop"]["period_max_ms"] > 0
    )
    assert all(document["cameras"][role]["count"] > 0 for role in ("static", "wrist"))
    children = stack.nodes()
    assert sorted(children) == ["arm", "camera_static", "camera_wrist", "expert", "policy"]
    stack.signal(signal.SIGINT)
    assert stack.wait() == 0, stack.said
    assert "did not end on SIGINT" not in stack.said and "Traceback" not in stack.said
    assert gone(children.values())
    assert "at the end" in stack.said and "policy step" in stack.said
    assert {f"{name}.log" for name in children} <= {path.name for path in (tmp_path / "run").iterdir()}
    with av.open(str(tmp_path / "run" / "video.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in video.decode(video=0)) > 5


HANGS = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
time.sleep(7.0)
"""
"""Ends as an arm node does whose driver hangs."""


@pytest.mark.slow
def test_a_node_that_needs_seven_seconds_to_let_go_of_its_arm_gets_them(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "program", lambda node: [sys.executable, "-c", HANGS])
    running = processes.Processes(tmp_path, os.environ)
    running.start([stack.Node("gr1_robot", "arm_node", "arm")])
    log = tmp_path / "arm.log"
    eventually(lambda: log.exists() and "ready" in log.read_text(), "the node")
    assert running.stop() == [] and running.all[0].exit_code == 0


def test_a_node_that_dies_ends_the_run_with_exit_code_1_and_its_name(up):
    stack = up("--no-video", "--checkpoint", "untrained")
    children = eventually(lambda: len(found := stack.nodes()) == 4 and found, "four nodes", 90)
    os.kill(children["camera_wrist"], signal.SIGKILL)
    assert stack.wait() == 1
    assert "camera_wrist was killed by SIGKILL" in stack.said
    assert gone(children.values())


def test_the_nodes_do_not_outlive_a_killed_runner(up):
    stack = up("--no-video", "--checkpoint", "untrained")
    children = eventually(lambda: len(found := stack.nodes()) == 4 and found, "four nodes", 90)
    stack.signal(signal.SIGKILL)
    eventually(lambda: gone(children.values()), "the end of all nodes")


@pytest.mark.slow
def test_a_policy_that_cannot_be_configured_ends_the_run_and_says_why_once(up, tmp_path):
    Rig.load("kinova_gen2").save(tmp_path / "rig.yaml")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text('{"no_such_field": 1}')
    stack = up("--no-video", "--checkpoint", str(tmp_path))
    assert stack.wait() == 1
    assert "policy ended with exit code 1" in stack.said and stack.said.count("no_such_field") == 1
    assert "at the end" not in stack.said, "figures of a stack that never was up"


@pytest.mark.slow
def test_a_fault_is_injected_at_its_time_and_the_table_shows_what_it_does(up):
    stack = up(
        "--robot",
        "sim",
        "--checkpoint",
        "untrained",
        "--no-video",
        "--fault",
        "camera_static:1s",
        "--seconds",
        "4",
    )
    assert stack.wait() == 0, stack.said
    assert "fault: camera_static drop_out from 1." in stack.said
    assert "injected fault 'drop_out'" in stack.said.partition("at the end")[2]


def test_a_fault_that_cannot_be_is_refused_before_anything_starts(capsys, tmp_path):
    assert gr1_up(["--out", str(tmp_path / "run"), "--fault", "camera:3s"]) == 2
    assert "'camera' is not one of arm, camera_static, camera_wrist" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_beside_another_stack_nothing_is_started(capsys, tmp_path, monkeypatch):
    for name, value in processes.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(startup, "GHOST_LIMIT", 2.0)
    other = SpinningNodes()
    node = rclpy.create_node("arm", context=other.context)
    other.start(node)
    try:
        assert gr1_up(["--out", str(tmp_path / "run"), "--no-video"]) == 1
    finally:
        other.close()
    said = capsys.readouterr().out
    assert "arm: already running in ROS_DOMAIN_ID" in said and "another stack runs" in said
    logs = list((tmp_path / "run").glob("*.log"))
    assert not any("[INFO]" in log.read_text() for log in logs)


def test_what_a_former_stack_said_is_not_taken_for_the_new_ones_word(monitor):
    statuses = monitor.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    status = DiagnosticStatus(name="policy: step", level=DiagnosticStatus.OK)
    eventually(
        lambda: statuses.publish(DiagnosticArray(status=[status])) or monitor.snapshot().statuses, "a status"
    )
    eventually(lambda: monitor.clear_statuses() or not monitor.snapshot().statuses, "an empty slate")


@pytest.fixture
def monitor():
    made = StackMonitor("gr1_test")
    made.start()
    yield made
    made.close()


def test_a_full_disk_stops_the_video_and_nothing_else(monitor, tmp_path):
    (tmp_path / "video.mp4").symlink_to("/dev/full")
    said = []
    video = run_video.Video(tmp_path / "video.mp4", monitor, predicted="predicted", say=said.append)
    video.start()
    eventually(lambda: said, "the end of the video")
    video.close()
    assert said == ["video stopped: No space left on device; the run goes on"] and not video.whole
