"""Shells in which ROS 2 cannot work: each is named with its remedy before anything is started."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter

from gr1_bringup import hardware, stack
from gr1_common.diagnostics import ERROR, Diagnostics
from gr1_common.shell import other_users, shell_problem
from tests.support.ros_graph import init_ros
from tests.support.waiting import eventually


@pytest.fixture
def wheels(tmp_path):
    """A Python environment with the wheels of ROS 2, with one middleware."""
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    (site / "ros_wheels_bootstrapper").mkdir(parents=True)
    (site / "ros_rcl.libs").mkdir()
    for name in ("librmw_fastrtps_cpp.so", "librmw_fastrtps_shared_cpp.so", "librmw_dds_common.so"):
        (tmp_path / "venv" / "lib" / name).write_text("")
    return tmp_path / "venv"


def other_ros(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).mkdir()
    return str(folder)


@pytest.mark.parametrize("text", ["", "0", "7", "101", "232"])
def test_a_domain_that_is_a_number_is_right(wheels, text):
    assert shell_problem({"ROS_DOMAIN_ID": text}, str(wheels)) == ""


@pytest.mark.parametrize("text", ["lab", "-1", "1.5", "233", "0x1", " 3", "١"])
def test_a_domain_that_is_no_number_is_named(wheels, text):
    problem = shell_problem({"ROS_DOMAIN_ID": text}, str(wheels))
    assert f"ROS_DOMAIN_ID is '{text}'" in problem and "unset ROS_DOMAIN_ID" in problem


@pytest.mark.parametrize("name", ["rmw_cyclonedds_cpp", "rmw_zenoh_cpp", "fastrtps", "rmw_dds_common"])
def test_a_middleware_that_is_not_installed_is_named(wheels, name):
    problem = shell_problem({"RMW_IMPLEMENTATION": name}, str(wheels))
    assert f"RMW_IMPLEMENTATION is '{name}'" in problem and "(there is rmw_fastrtps_cpp)" in problem
    assert shell_problem({"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}, str(wheels)) == ""


@pytest.mark.parametrize("distribution", ["humble", "jazzy"])
@pytest.mark.parametrize(
    ("variable", "below", "mark"),
    [
        ("PYTHONPATH", "lib/python3.12/site-packages", "rclpy"),
        ("PYTHONPATH", "local/lib/python3.10/dist-packages", "rclpy"),
        ("LD_LIBRARY_PATH", "lib", "librcl.so"),
        ("LD_LIBRARY_PATH", "lib/x86_64-linux-gnu", "librmw_implementation.so"),
    ],
)
def test_another_ros_beside_the_wheels_is_named(wheels, tmp_path, distribution, variable, below, mark):
    folder = other_ros(tmp_path / "opt" / "ros" / distribution / below, mark)
    problem = shell_problem({variable: f"/tools:{folder}"}, str(wheels))
    assert (
        f"{variable} holds another ROS ({folder})" in problem
        and f"env -u PYTHONPATH -u {variable}"[:20] in problem
    )
    (tmp_path / "plain").mkdir()
    assert shell_problem({variable: folder}, str(tmp_path / "plain")) == "", (
        "an environment without wheels uses it"
    )


def test_the_wheels_own_folders_and_a_workspace_are_no_other_ros(wheels, tmp_path):
    workspace = other_ros(tmp_path / "install" / "my_package" / "lib" / "python3.11", "my_package")
    own = os.pathsep.join([str(wheels / "lib"), str(wheels / "lib/python3.11/site-packages/ros_rcl.libs")])
    assert shell_problem({"PYTHONPATH": workspace, "LD_LIBRARY_PATH": own}, str(wheels)) == ""


@pytest.mark.parametrize(
    "command", [["up", "--seconds", "1"], ["record", "start"], ["health"], ["node", "arm"]]
)
def test_every_ros_command_says_so_at_once_and_its_help_is_there(command):
    environment = {**os.environ, "ROS_DOMAIN_ID": "lab"}
    run = [sys.executable, "-m", "gr1_core", *command]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("gr1: ROS_DOMAIN_ID is 'lab'")
    assert len(done.stderr.splitlines()) == 1


def test_another_users_nodes_in_this_domain_are_named(tmp_path):
    if os.geteuid():
        pytest.skip("needs root to make another user's files")
    for port, owner in ((7410 + 250 * 5, 65534), (7411 + 250 * 5, 0), (7410 + 250 * 6, 65534)):
        path = tmp_path / f"fastrtps_port{port}"
        path.write_text("")
        os.chown(path, owner, owner)
    problem = other_users({"ROS_DOMAIN_ID": "5"}, tmp_path)
    assert problem.startswith("user nobody has ROS 2 nodes in ROS_DOMAIN_ID 5")
    assert "FASTDDS_BUILTIN_TRANSPORTS=UDPv4" in problem and "as one user" in problem
    assert other_users({"ROS_DOMAIN_ID": "7"}, tmp_path) == other_users({}, tmp_path) == ""
    assert other_users({}, tmp_path / "none") == other_users({"ROS_DOMAIN_ID": "x"}, tmp_path) == ""


def test_who_chooses_the_transports_of_fast_dds_is_not_overruled(monkeypatch):
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" in stack.environment()
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in stack.environment()


def test_a_node_with_simulated_time_and_without_clock_says_so_on_diagnostics():
    init_ros()
    node, listener = rclpy.create_node("simulated"), rclpy.create_node("listener")
    heard = []
    node.set_parameters([Parameter("use_sim_time", value=True)])
    diagnostics = Diagnostics(node, period=0.05)
    listener.create_subscription(
        DiagnosticArray, "/diagnostics", lambda array: heard.extend(array.status), 10
    )

    def said():
        rclpy.spin_once(node, timeout_sec=0.01)
        rclpy.spin_once(listener, timeout_sec=0.01)
        return [one for one in heard if one.name == "simulated: clock"]

    status = eventually(said, "a status about the clock")[0]
    assert status.level == ERROR and "no node publishes /clock" in status.message
    del diagnostics
    node.destroy_node()
    listener.destroy_node()


def test_random_edits_of_a_hardware_file_are_refused_by_name_or_used(tmp_path):
    """No edit of bytes or lines gives anything but parameters or a HardwareError that names the file."""
    text = (stack.share() / "config" / "hardware.yaml").read_text()
    text += '\ncamera_wrist: {realsense.serial: "038122250087", rate_hz: 20.0}\n'
    rng, file = random.Random(3), tmp_path / "lab.yaml"
    pieces = [
        "[",
        "}",
        ": ",
        "\t",
        "\0",
        "&a ",
        "*a",
        "'",
        '"',
        "!!python/none ",
        "- ",
        "é",
        "\n",
        "1e400",
        "?",
    ]
    for _ in range(300):
        edited = list(text)
        for _ in range(rng.choice((1, 1, 3, 10))):
            at = rng.randrange(len(edited))
            edited[at : at + rng.choice((0, 1, 1, 30))] = rng.choice(pieces)
        file.write_text("".join(edited), encoding="utf-8")
        try:
            found = hardware.load(str(file))
            assert set(found) <= set(hardware.NODES)
        except hardware.HardwareError as error:
            assert str(file) in str(error)
    for data in (b"\xff\xfe", b"\x80\x81", bytes(range(256))):
        file.write_bytes(data)
        with pytest.raises(hardware.HardwareError, match="lab.yaml"):
            hardware.load(str(file))


def test_the_shell_module_needs_no_ros():
    code = "import sys; sys.modules['rclpy'] = None; import gr1_common.shell"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path("/")).returncode == 0
