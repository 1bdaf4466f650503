import signal

import pytest

from gr1_recorder import Recorder
from tests.support.ros_graph import NodeProcess, init_ros

from .robot import RATES, Robot


@pytest.fixture(scope="module")
def robot():
    """Cameras, arm and instruction as topics."""
    init_ros()
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture
def launch(tmp_path):
    """launch("name:=value", ...): the recorder node as a process, its bags in tmp_path / "bags"; ready when
    it says so.
    """
    running = []

    def make(*parameters: str) -> NodeProcess:
        running.append(
            NodeProcess("gr1_recorder.recorder_node", f"root:={tmp_path / 'bags'}", *RATES, *parameters)
        )
        running[-1].until("ready")
        return running[-1]

    yield make
    for process in running:
        process.send(signal.SIGTERM)
        process.wait()


@pytest.fixture
def recorder():
    """The recorder's Python interface. A new one for each test: who outlives a killed recorder still sees it
    for 20 s.
    """
    with Recorder() as recorder:
        yield recorder
