"""Encodings beyond rgb8, bgr8 and JPEG: through cv_bridge where ROS 2's is installed, and otherwise refused
by name.
"""

import array
import sys

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from gr1_common import messages
from gr1_common.messages import ImageError, msg_to_image

STAND_IN = """
import cv2
import numpy as np

class CvBridgeError(TypeError):
    pass

class CvBridge:
    def imgmsg_to_cv2(self, msg, desired_encoding="passthrough"):
        if (msg.encoding, desired_encoding) != ("yuv422", "rgb8"):
            raise CvBridgeError(f"[{msg.encoding}] is not a color format")
        grey = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
"""


def message(encoding: str) -> Image:
    return Image(
        height=2, width=3, encoding=encoding, step=3, data=array.array("B", [0, 50, 100, 150, 200, 250])
    )


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Installs a package cv_bridge of a version, with this text as its module."""

    def install(version: str, text: str = STAND_IN) -> None:
        (tmp_path / "cv_bridge.py").write_text(text)
        info = tmp_path / f"cv_bridge-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cv-bridge\nVersion: {version}\n")
        monkeypatch.syspath_prepend(tmp_path)

    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    yield install
    sys.modules.pop("cv_bridge", None)


def test_an_unusual_encoding_is_read_by_cv_bridge(installed):
    installed("4.1.0")
    grey = cv2.cvtColor(np.array([[0, 50, 100], [150, 200, 250]], np.uint8), cv2.COLOR_GRAY2RGB)
    np.testing.assert_array_equal(msg_to_image(message("yuv422")), grey)


def test_what_cv_bridge_cannot_read_either_is_refused_by_name(installed):
    installed("4.1.0")
    with pytest.raises(ImageError, match="3x2 image of encoding 'nv21'.*not a color format"):
        msg_to_image(message("nv21"))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "32FC1", "rgb16"])
def test_more_than_8_bits_are_refused_not_reduced(installed, encoding):
    installed("4.1.0")
    with pytest.raises(ImageError, match=f"'{encoding}' is not supported: more than 8 bits"):
        msg_to_image(message(encoding))


def test_without_it_the_encoding_and_cv_bridge_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(ImageError, match="'bayer_rggb8' needs cv_bridge.*ros-jazzy-cv-bridge"):
        msg_to_image(message("bayer_rggb8"))


def test_the_one_for_ros_1_is_not_taken_for_it(installed):
    installed("1.13.0.post0")
    with pytest.raises(ImageError, match="'yuv422' needs cv_bridge.*1.13.0.post0.*ROS 1"):
        msg_to_image(message("yuv422"))


def test_one_that_was_built_for_another_numpy_is_named(installed):
    installed("4.1.0", "raise AttributeError('_ARRAY_API not found')")
    with pytest.raises(ImageError, match="'yuv422' needs cv_bridge.*_ARRAY_API not found"):
        msg_to_image(message("yuv422"))


def test_the_usual_encodings_never_ask_for_it(monkeypatch):
    monkeypatch.setattr(messages, "_load_cv_bridge", lambda: pytest.fail("cv_bridge was asked for"))
    expected = {
        "rgb8": [1, 2, 3],
        "bgr8": [3, 2, 1],
        "rgba8": [1, 2, 3],
        "bgra8": [3, 2, 1],
        "mono8": [1, 1, 1],
    }
    for encoding, first in expected.items():
        msg = Image(height=1, width=1, encoding=encoding, step=4, data=array.array("B", [1, 2, 3, 4]))
        assert msg_to_image(msg)[0, 0].tolist() == first
