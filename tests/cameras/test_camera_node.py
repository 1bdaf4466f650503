"""The camera node with a camera that comes and goes, whatever its driver."""

import time
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from gr1_robot.cameras import node as camera_node
from gr1_robot.cameras.driver import CameraDriver, CameraError, Frame, PlaybackEnded, Unplugged
from tests.support import ros_graph

FIRST, LONGEST = 0.02, 0.08
LEVELS = ("info", "warning", "fatal")


class Scripted(CameraDriver):
    """Each opening takes the next line of the script: an error that it raises, or a number of frames, after
    which it is unplugged.
    """

    script: list
    shape = (360, 640, 3)

    def open(self):
        self.opened.append(time.monotonic())
        line = self.script.pop(0) if self.script else PlaybackEnded("the script has ended")
        if isinstance(line, Exception):
            raise line
        self.left = line

    def read(self, timeout):
        if not self.left:
            raise Unplugged("the cable was pulled")
        self.left -= 1
        return Frame(self.node.get_clock().now().nanoseconds, np.zeros(self.shape, np.uint8), np.eye(3))

    def close(self):
        self.closed += 1

    def describe(self):
        return "Scripted 1000"

    def missing(self):
        return "the script"

    opened: list
    closed = 0


@pytest.fixture
def play(monkeypatch):
    """Runs the node over a script until its camera thread has ended; returns the driver, the node and its
    log.
    """
    ros_graph.init_ros()
    nodes = []
    monkeypatch.setattr(camera_node, "_BACK_OFF_S", (FIRST, LONGEST))

    def run(script, shape=(360, 640, 3)):
        def load(kind, *args):
            driver = Scripted(*args)
            driver.script, driver.opened, driver.shape = list(script), [], shape
            return driver

        monkeypatch.setattr(camera_node, "load_driver", load)
        said = []
        logger = SimpleNamespace(
            **{level: partial(lambda level, text: said.append((level, text)), level) for level in LEVELS}
        )
        monkeypatch.setattr(camera_node.CameraNode, "get_logger", lambda self: logger)
        node = camera_node.CameraNode()
        nodes.append(node)
        node._thread.join(ros_graph.TIMEOUT)
        assert not node._thread.is_alive()
        return node._driver, node, said

    yield run
    for node in nodes:
        node.close()
        node.destroy_node()


def test_an_absent_camera_is_looked_for_less_and_less_often(play):
    source, _, said = play([Unplugged("no camera")] * 6)
    waits = [after - before for before, after in pairwise(source.opened)]
    expected = [FIRST, 2 * FIRST, 4 * FIRST, LONGEST, LONGEST, LONGEST]
    assert len(waits) == 6 and all(wait >= least for wait, least in zip(waits, expected, strict=True))
    assert [text for level, text in said if level == "warning"] == [
        "no camera; the node keeps trying to open it"
    ], "once an outage"


def test_frames_make_the_search_quick_again_and_end_the_outage(play):
    source, node, said = play([Unplugged("no camera")] * 5 + [3, 2])
    assert node._frames == 5 and node._outages == 3 and source.closed >= 7
    assert [level for level, _ in said if level == "warning"] == ["warning"] * 3
    assert sum("is back: Scripted 1000" in text for _, text in said) == 2
    assert not node.finished.is_set() and node.exit_code == 0, "the end of a recording leaves the node alive"


def test_a_camera_that_cannot_be_used_ends_the_node(play):
    _, node, said = play([CameraError("two cameras: say which")])
    assert node.finished.is_set() and node.exit_code == 1 and ("fatal", "two cameras: say which") in said


def test_a_frame_of_another_size_is_refused_by_name(play):
    _, node, said = play([1], shape=(480, 640, 3))
    text = next(text for level, text in said if level == "fatal")
    assert node.exit_code == 1 and all(
        word in text for word in ("Scripted 1000", "640x480", "640x360", "'width'", "'height'")
    )
