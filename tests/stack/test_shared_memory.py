"""Shared memory: what killed nodes leave is removed, what lives stays, and too little room is refused."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from gr1_bringup import shared_memory, stack
from gr1_bringup.arguments import SettingError
from tests.support.ros_graph import NodeProcess

NODE = """
import os
os.environ["ROS_DOMAIN_ID"] = "{domain}"  # nodes of one domain map each other's segments
import rclpy
rclpy.init()
node = rclpy.create_node("sharer")
print("up", flush=True)
rclpy.spin(node)
"""


def segments(pid: int) -> set[Path]:
    """The data segments that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {
        Path("/" + line.partition("/")[2])
        for line in lines
        if "/dev/shm/fastrtps_" in line and "_port" not in line
    }


def test_segments_of_a_killed_node_are_removed_and_those_of_a_living_one_stay(monkeypatch):
    monkeypatch.setattr(shared_memory, "_YOUNG_S", 0.0)
    killed, living = (NodeProcess("", code=NODE.format(domain=domain)) for domain in (104, 105))
    try:
        for process in (killed, living):
            process.until("up")
        of_killed, of_living = (segments(process.pid) for process in (killed, living))
        assert of_killed - of_living and of_living - of_killed
        killed.send(signal.SIGKILL)
        killed.wait()
        removed = shared_memory.remove_dead_segments()
        assert removed.count >= 1 and removed.bytes > 0 and "removed" in str(removed)
        assert all(file.exists() for file in of_living)
        assert not any(file.exists() for file in of_killed - of_living)
        lock = next(iter(of_living - of_killed))
        assert lock.with_name(f"{lock.name}_el").exists()
    finally:
        killed.end()
        living.end()


def test_a_file_that_is_not_the_middlewares_stays(tmp_path):
    (tmp_path / "fastrtps_note.txt").write_text("mine")
    dead = tmp_path / "fastrtps_0123456789abcdef"
    dead.write_bytes(bytes(100))
    os.utime(dead, (0, 0))
    young = tmp_path / "fastrtps_port7000"
    young.write_bytes(bytes(100))
    assert shared_memory.remove_dead_segments(tmp_path) == (1, 100)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fastrtps_note.txt", "fastrtps_port7000"]


def test_too_little_room_is_refused_with_the_remedy(tmp_path):
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "gr1_test", tmp_path], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system can only be mounted by root")
    nodes = stack.nodes(stack.settings(driver="expert"))
    try:
        with pytest.raises(SettingError, match=r"too small for camera frames: 8 of 8 MB.*--shm-size"):
            shared_memory.require_room(nodes, stack.environment(), tmp_path)
        shared_memory.require_room(nodes, {}, tmp_path)  # a profile of the user's: nothing is known of it
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    shared_memory.require_room(nodes, stack.environment())


def test_a_missing_shared_memory_is_named(tmp_path):
    with pytest.raises(SettingError, match="camera frames travel through it"):
        shared_memory.require_room([], stack.environment(), tmp_path / "none")
