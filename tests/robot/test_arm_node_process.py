"""The arm node as a process: how it ends, what it says of its driver, and how it refuses parameters."""

import signal

import pytest

from gr1_robot import renamed
from tests.support.ros_graph import NodeProcess


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_code_0(number):
    process = NodeProcess("gr1_robot.arm.node", "markers_hz:=5.0")
    try:
        process.until("arm 'sim' with rig")
        process.send(number)
        code, output = process.wait()
        assert code == 0 and "Traceback" not in output
    finally:
        process.end()


OTHER = """
import sys
from gr1_robot.arm import motion_client, node
def fail(*_):
    raise RuntimeError("broken on purpose")
motion_client.PROGRAM = (sys.executable, "-c", {motion!r})
{node}
sys.exit(node.main())
"""
MOTION = """
import os, signal, sys, threading
from gr1_robot.arm import motion_process
from gr1_robot.arm.drivers.sim.backend import Arm
close, read_state, calls = Arm.close, Arm.read_state, []
def let_go(self):
    print("let go of the arm", flush=True)
    close(self)
Arm.close = let_go
def fail(*_):
    raise RuntimeError("broken on purpose")
def after_20(then):
    def state_(self):
        calls.append(1)
        if len(calls) > 20:
            then()
        return read_state(self)
    return state_
def hang():
    os.kill(os.getppid(), signal.SIGTERM)
    threading.Event().wait()
BREAK
sys.exit(motion_process.main())
"""


def other(motion: str = "", node: str = "") -> str:
    """An arm node whose motion process, and which itself, is changed by this code."""
    return OTHER.format(motion=MOTION.replace("BREAK", motion), node=node)


@pytest.mark.parametrize(
    ("node", "motion", "code", "words"),
    [
        ("node.ArmNode._report = fail", "", 1, "broken on purpose"),
        ("node.ArmNode._publish_state = fail", "", 1, "broken on purpose"),
        ("node.ArmNode._open_topics = fail", "", 1, "broken on purpose"),
        ("", "Arm.read_state = after_20(fail)", 1, "broken on purpose"),
        ("", "motion_process.Loop = fail", 1, "broken on purpose"),
        ("", "motion_process.MotionProcess._report = fail", 1, "broken on purpose"),
        ("", "Arm.describe = fail", 1, "broken on purpose"),
        ("", "Arm.read_state = after_20(hang)", 0, "let go"),
    ],
    ids=[
        "a callback fails",
        "publishing fails",
        "the node's start fails",
        "the loop fails",
        "the motion process's start fails",
        "the motion process's own work fails",
        "a call of the driver fails",
        "the driver hangs and a signal comes",
    ],
)
def test_it_lets_go_of_the_arm_on_every_way_out(node, motion, code, words):
    process = NodeProcess("", code=other(motion, node))
    try:
        found, output = process.wait()
        assert found == code and words in output and "let go of the arm" in output
    finally:
        process.end()


DRIVER = """
described = []
def describe(self):
    described.append(1)
    return f"an arm, described {len(described)}"
Arm.describe, Arm.diagnostic_values = describe, lambda self: {"sent": 7}
"""
FIGURES = """
import os, signal
told, status = [], node.Diagnostics.status
def status_(self, name, level, message, values, state=None):
    status(self, name, level, message, values, state)
    if name == "backend":
        told.append(values)
    if len(told) == 3:
        print(told[-1]["device"], "sent", told[-1]["sent"], flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
node.Diagnostics.status = status_
"""


def test_the_drivers_figures_are_told_and_the_driver_is_not_asked_each_second_what_it_is():
    code, output = NodeProcess("", code=other(DRIVER, FIGURES)).wait()
    assert code == 0 and "an arm, described 1 sent 7" in output


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("robot:=hal", ["robot", "hal", "sim"]),
        *((f"robot:={old}", [f"'{old}' is called '{new}' now"]) for old, new in renamed.ROBOTS.items()),
        *(
            (f"{old}:=1", [f"'{old}'", f"'{new}' now"])
            for old, new in list(renamed.ARM_PARAMETERS.items())[-3:]
        ),
        ("rig:=nowhere", ["nowhere", "kinova_gen2"]),
        ("rig:=calvin", ["rig 'calvin'", "limits.linear_speed is 0.6", "at most 0.2"]),
        ("sim.task:=fly", ["sim.task", "fly", "open_drawer"]),
        ("markers_hz:=10", ["markers_hz", "10.0"]),
    ],
)
def test_a_wrong_parameter_ends_it_with_one_line_that_names_it(parameter, words):
    code, output = NodeProcess("gr1_robot.arm.node", parameter).wait()
    assert code == 1 and "Traceback" not in output
    assert all(word in output for word in words)
