"""The layout for rviz2: names that rviz knows, topics that the stack has, and all images in sight.

rviz ignores a property that it does not know, so a misspelt one is silently without effect. The names are
those of rviz_default_plugins and rviz_common in ROS 2 Jazzy.
"""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
import yaml

from gr1_bringup import processes, stack, viewers
from gr1_common.shell import callers_environment
from gr1_core.rig import Rig
from tests.support.waiting import eventually

COMMON = {"Class", "Name", "Enabled", "Value"}
TOPIC = {"Depth", "Durability Policy", "History Policy", "Reliability Policy", "Value"}
PROPERTIES = {
    "rviz_default_plugins/Grid": {
        "Alpha", "Cell Size", "Color", "Line Style", "Normal Cell Count", "Offset", "Plane",
        "Plane Cell Count", "Reference Frame",
    },
    "rviz_default_plugins/Axes": {"Length", "Radius", "Reference Frame", "Show Trail", "Alpha"},
    "rviz_default_plugins/MarkerArray": {"Topic", "Namespaces"},
    "rviz_default_plugins/RobotModel": {
        "Alpha", "Collision Enabled", "Description File", "Description Source", "Description Topic",
        "TF Prefix", "Update Interval", "Visual Enabled", "Mass Properties", "Links",
    },
    "rviz_default_plugins/TF": {
        "Frame Timeout", "Frames", "Marker Scale", "Show Arrows", "Show Axes", "Show Names", "Tree",
        "Update Interval",
    },
    "rviz_default_plugins/Pose": {
        "Topic", "Shape", "Alpha", "Color", "Axes Length", "Axes Radius", "Head Length", "Head Radius",
        "Shaft Length", "Shaft Radius",
    },
    "rviz_default_plugins/Wrench": {
        "Topic", "Accept NaN Values", "Alpha", "Arrow Width", "Force Arrow Scale", "Force Color",
        "History Length", "Torque Arrow Scale", "Torque Color",
    },
    "rviz_default_plugins/Image": {"Topic", "Max Value", "Median window", "Min Value", "Normalize Range"},
}  # fmt: skip
GEOMETRY = {"X", "Y", "Width", "Height", "Hide Left Dock", "Hide Right Dock", "QMainWindow State"}
IMAGES = {
    "camera/static/image_raw",
    "camera/wrist/image_raw",
    "policy/predicted/static",
    "policy/predicted/wrist",
    "policy/panel",
}


@pytest.fixture(scope="module")
def layout():
    return yaml.safe_load((stack.share() / "rviz" / "gr1.rviz").read_text())


@pytest.fixture(scope="module")
def displays(layout):
    return layout["Visualization Manager"]["Displays"]


def test_every_property_is_one_that_rviz_knows(displays):
    for display in displays:
        unknown = set(display) - COMMON - PROPERTIES[display["Class"]]
        assert not unknown, (display["Name"], unknown)
        if isinstance(topic := display.get("Topic"), dict):
            assert set(topic) <= TOPIC, display["Name"]


def test_the_images_the_wrench_and_both_poses_are_shown(displays):
    topics = {}
    for display in displays:
        topics.setdefault(display["Class"].split("/")[1], set()).add(
            (display.get("Topic") or {}).get("Value")
        )
    assert topics["Image"] == IMAGES
    assert topics["Pose"] == {"arm/pose", "arm/commanded_pose"}
    assert topics["Wrench"] == {"arm/wrench"} and topics["MarkerArray"] == {"arm/markers"}
    assert {display["Name"] for display in displays if not display["Enabled"]} == {"Frames"}


def test_the_arm_is_shown_from_the_description_that_its_node_publishes(displays):
    [model] = [display for display in displays if display["Class"].endswith("/RobotModel")]
    assert model["Description Source"] == "Topic"
    assert model["Description Topic"]["Value"] == "robot_description"
    assert model["Description Topic"]["Durability Policy"] == "Transient Local"


def test_the_arms_frames_are_published_where_an_apt_ros_has_the_program(tmp_path, monkeypatch):
    program = tmp_path / "lib" / "robot_state_publisher" / "robot_state_publisher"
    program.parent.mkdir(parents=True)
    program.write_text("")
    rig = Rig.load("kinova_gen2")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    rviz, frames = viewers.programs("sim", rig)
    assert frames["parameters"]["robot_description"].startswith("<?xml")
    assert [one["name"] for one in viewers.programs("ros2", rig)] == ["rviz"]


def test_the_window_shows_all_five_images_at_once(layout, displays):
    geometry = layout["Window Geometry"]
    docks = {name for name, value in geometry.items() if isinstance(value, dict)}
    assert set(geometry) - docks <= GEOMETRY and not any(geometry[dock]["collapsed"] for dock in docks)
    images = {display["Name"] for display in displays if display["Class"].endswith("/Image")}
    panels = {panel["Name"] for panel in layout["Panels"]}
    assert docks == images | panels
    state = bytes.fromhex(geometry["QMainWindow State"])
    assert state.startswith(bytes.fromhex("000000ff00000000fd")), "QMainWindow::saveState, with docks"
    for dock in docks:
        name = dock.encode("utf-16-be")
        written = b"\xfb" + len(name).to_bytes(4, "big") + name  # 0xfb: a dock widget that is visible, docked
        at = state.find(written)
        assert at > 0, dock
        flags = state[at + len(written)]
        assert flags & 1, f"{dock} is hidden"


RVIZ = """#!/bin/bash
echo "libraries=$LD_LIBRARY_PATH mark=$_ROS_WHEELS_BOOTSTRAP_COMPLETE"
"""


@pytest.fixture
def rviz_on_path(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "rviz2"
    program.write_text(RVIZ)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.mark.parametrize("callers", ["", "/opt/ros/jazzy/lib:/opt/ros/jazzy/opt/rviz_ogre_vendor/lib"])
def test_rviz_gets_the_libraries_of_its_caller_and_not_those_of_the_wheels(
    tmp_path, rviz_on_path, monkeypatch, callers
):
    wheels = [f"{sys.prefix}/lib", *map(str, sorted(_wheels(sys.prefix)))]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join([*wheels, *filter(None, callers.split(":"))]))
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    run = processes.Processes(tmp_path, processes.environment(tmp_path), lambda text: None)
    run.start([stack.Node("rviz2", "rviz2", "rviz")])
    eventually(lambda: run.dead(), "the end of the program")
    run.all[0].last_lines()
    assert (tmp_path / "rviz.log").read_text() == f"libraries={callers} mark=\n"


def test_our_own_nodes_keep_the_wheels_libraries():
    environment = {"LD_LIBRARY_PATH": "/x", "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1", "HOME": "/h"}
    assert callers_environment(environment) == {"LD_LIBRARY_PATH": "/x", "HOME": "/h"}


def test_an_rviz_of_apt_that_is_not_sourced_is_started_in_its_own_environment(tmp_path, monkeypatch):
    apt = tmp_path / "jazzy"
    (apt / "lib" / "rviz2").mkdir(parents=True)
    (apt / "lib" / "rviz2" / "rviz2").write_text("")
    (apt / "setup.bash").write_text("")
    monkeypatch.setattr(processes, "APT_ROS", apt)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    command = processes.program(stack.Node("rviz2", "rviz2", "rviz"))
    assert (
        command[:2] == ["bash", "-c"] and f"source {apt / 'setup.bash'} && exec ros2 run rviz2" in command[2]
    )


def _wheels(prefix):
    return Path(prefix).glob("lib/python3*/site-packages/ros_*.libs")
