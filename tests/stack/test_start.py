"""What makes the stack's start short: no node imports what it does not use, and a held process enters the ROS
graph when it is released.
"""

import signal
import subprocess
import sys

import pytest

from gr1_bringup import processes, stack, startup

HEAVY = {"torch", "transformers", "timm", "torchvision", "mujoco", "pandas", "matplotlib", "lerobot"}
NODES = [
    node
    for driver in ("policy", "expert", "teleop")
    for node in stack.nodes(
        stack.settings(robot="sim", driver=driver, record="true" if driver == "teleop" else "false")
    )
]


def python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, **options)


@pytest.mark.parametrize("module", sorted({node.module for node in NODES} | {"gr1_bringup.run"}))
def test_no_node_imports_a_heavy_library_with_its_module(module):
    imported = python(f"import sys, {module}\nprint(*sys.modules)").stdout.split()
    assert HEAVY & set(imported) == set()


@pytest.mark.parametrize(
    "module", ["gr1_robot.cameras.node", "gr1_recorder.recorder_node", "gr1_bringup.run"]
)
def test_what_turns_no_poses_imports_no_scipy(module):
    assert (
        "scipy"
        not in python(f"import sys, {module}, gr1_core.sim.renderer\nprint(*sys.modules)").stdout.split()
    )


def test_every_kind_of_node_is_among_them():
    assert {node.name for node in NODES} == set(startup.NODES)


def test_the_shipped_policy_needs_no_library_of_other_models_and_no_compiler():
    load = "from gr1_core import Policy\nPolicy.from_pretrained('demo').warm_up()"
    imported = python(f"import sys\n{load}\nprint(*sys.modules)").stdout.split()
    unused = {"transformers", "timm", "torchvision", "open_clip", "sympy", "torch._dynamo", "mujoco"}
    assert unused & set(imported) == set()


HELD = """
import rclpy
from gr1_common.process import run_node
print("imported", flush=True)

def make():
    print("made", flush=True)
    raise ValueError("the end of this test")

raise SystemExit(run_node(make, [], (ValueError,), prepare=lambda: print("prepared", flush=True)))
"""


def held(environment) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", HELD], env=environment, text=True, **pipes)


@pytest.fixture
def environment(tmp_path):
    return processes.environment(tmp_path) | {processes.HOLD: "1"}


def test_a_held_process_prepares_and_makes_its_node_when_it_is_released(environment):
    process = held(environment)
    assert [process.stdout.readline() for _ in range(2)] == ["imported\n", "prepared\n"]
    out, error = process.communicate("\n", timeout=60)
    assert (out, error, process.returncode) == ("made\n", "error: the end of this test\n", 1)


def test_a_held_process_ends_with_its_runner_and_on_a_signal(environment):
    process = held(environment)
    assert process.communicate(timeout=60) == ("imported\nprepared\n", "") and process.returncode == 0
    process = held(environment)
    assert [process.stdout.readline() for _ in range(2)] == ["imported\n", "prepared\n"]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
