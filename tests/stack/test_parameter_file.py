"""Texts of a laboratory stay texts on their way through YAML into a node."""

import math
import os
import re

import pytest
import rclpy
import yaml
from rclpy.node import Node

from gr1_bringup import hardware, processes, stack
from gr1_bringup.parameter_file import parameter_file
from tests.support.ros_graph import init_ros
from tests.support.waiting import eventually

TEXTS = [
    "038122250087",  # PyYAML writes these plain, and rcl reads a number or a truth
    "000362395012",
    "0888",
    "123E5",
    "nan",
    ".inf",
    "y",
    "N",
    "841512070001",
    "0x1F",
    "1_000",
    "1:30",
    "2024-01-01",
    "~",
    "null",
    "true",
    "",
    " a ",
    "pick: it",
    "# no",
    "- x",
    "{a: b}",
    "&a",
    "*a",
    "%x",
    "@x",
    'a"b\\c',
    "it's",
    "引き出し ☃",
]


def test_every_text_reaches_a_node_as_it_is(tmp_path):
    given = {f"t{number}": text for number, text in enumerate(TEXTS)}
    given |= {"all": TEXTS, "realsense.serial": "0888", "whole": 3, "decimal": 1e-5, "truth": True}
    (tmp_path / "node.yaml").write_text(parameter_file(given), encoding="utf-8")
    init_ros()
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "--params-file", str(tmp_path / "node.yaml")], context=context)
    node = Node("reader", context=context, start_parameter_services=False)
    try:
        defaults = {name: [""] if name == "all" else type(value)() for name, value in given.items()}
        read = {name: node.declare_parameter(name, default).value for name, default in defaults.items()}
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    assert read == given


@pytest.mark.parametrize("value", [math.pi, -0.0, 10**12, False])
def test_what_is_no_text_is_not_quoted(value):
    assert yaml.safe_load(parameter_file({"a": value}))["/**"]["ros__parameters"]["a"] == value


@pytest.mark.parametrize(
    "text",
    [
        "arm: {kinova_gen3.password: '0888', kinova_gen3.password: '0889'}",
        "camera_static: {realsense.serial: '1'}\ncamera_static: {realsense.serial: '2'}",
        'camera_wrist:\n  realsense.serial: "0888"\n  realsense.serial: "0888"',
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(text, tmp_path):
    (tmp_path / "lab.yaml").write_text(text)
    with pytest.raises(hardware.HardwareError, match=re.escape("is there twice")) as refused:
        hardware.load(str(tmp_path / "lab.yaml"))
    assert "lab.yaml" in str(refused.value) and "line" in str(refused.value)


def test_a_parameter_file_which_may_hold_a_password_is_the_users_alone(tmp_path):
    file = tmp_path / "arm.yaml"
    file.write_text("of an earlier run")
    file.chmod(0o644)
    node = stack.Node("gr1_none", "none", "arm", parameters={"kinova_gen3.password": "secret"}, python="true")
    started = processes.Processes(tmp_path, os.environ, lambda _: None)
    started.start([node])
    assert "secret" in file.read_text() and file.stat().st_mode & 0o777 == 0o600
    eventually(lambda: started.dead(), "the end of the process")
