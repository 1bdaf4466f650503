"""Markers for rviz: an arrow along the commanded velocity, the path behind it, the edges of the
workspace, and over a stopped arm the reason.
"""

from __future__ import annotations

from collections import deque
from itertools import product

from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from gr1_common.conventions import STOPPED
from gr1_common.messages import to_pose
from gr1_core.pose import Pose
from gr1_core.rig import Limits
from gr1_robot.arm.gate import Motion

_LOOK_AHEAD = 0.5
_PATH_POINTS = 100
_BALL, _LETTER = 0.05, 0.04  # m
_GREEN = ColorRGBA(r=0.1, g=0.8, b=0.3, a=1.0)
_RED = ColorRGBA(r=0.9, g=0.1, b=0.1, a=1.0)
_BLUE = ColorRGBA(r=0.2, g=0.5, b=1.0, a=0.8)
_GREY = ColorRGBA(r=0.6, g=0.6, b=0.6, a=0.5)


class Markers:
    """The arrow ends where the fingertips will be in half a second at this speed. A stopped arm has a red
    ball at its hand, and over it the reason in words.
    """

    def __init__(self, limits: Limits):
        self._path: deque[Point] = deque(maxlen=_PATH_POINTS)
        corners = [tuple(corner) for corner in product(*zip(limits.workspace_min, limits.workspace_max))]
        edges = [(a, b) for a in corners for b in corners if a < b and sum(x != y for x, y in zip(a, b)) == 1]
        self._edges = [Point(x=x, y=y, z=z) for edge in edges for x, y, z in edge]

    def to_message(self, header: Header, commanded: Pose, motion: Motion) -> MarkerArray:
        start = to_pose(*commanded).position
        end = to_pose(commanded.position + _LOOK_AHEAD * motion.linear, commanded.quaternion).position
        if not self._path or start != self._path[-1]:
            self._path.append(start)
        arrow = self._marker(
            header, 0, "commanded_motion", Marker.ARROW, 0.01, _RED if motion.state == STOPPED else _GREEN
        )
        arrow.scale = Vector3(x=0.01, y=0.02, z=0.03)
        arrow.points = [start, end]
        path = self._marker(header, 1, "commanded_path", Marker.LINE_STRIP, 0.004, _BLUE)
        path.points = list(self._path)
        workspace = self._marker(header, 2, "workspace", Marker.LINE_LIST, 0.003, _GREY)
        workspace.points = self._edges
        return MarkerArray(markers=[arrow, path, workspace, *self._stop(header, start, motion)])

    def _stop(self, header: Header, at: Point, motion: Motion) -> list[Marker]:
        ball = self._marker(header, 3, "stopped", Marker.SPHERE, _BALL, _RED)
        ball.scale = Vector3(x=_BALL, y=_BALL, z=_BALL)
        ball.pose.position = at
        text = self._marker(header, 4, "why_stopped", Marker.TEXT_VIEW_FACING, 0.0, _RED)
        text.scale.z = _LETTER
        text.pose.position = Point(x=at.x, y=at.y, z=at.z + 2 * _BALL)
        text.text = f"STOPPED: {motion.detail or motion.reason}"
        for marker in (ball, text):
            if motion.state != STOPPED:
                marker.action = Marker.DELETE
        return [ball, text]

    def _marker(
        self, header: Header, number: int, name: str, kind: int, width: float, color: ColorRGBA
    ) -> Marker:
        marker = Marker(header=header, ns=name, id=number, type=kind, action=Marker.ADD, color=color)
        marker.scale.x = width
        marker.pose.orientation.w = 1.0
        return marker
