"""The recorder node: one bag per episode, begun and ended by services.

docs/reference/interfaces.md lists topics, services and parameters; docs/reference/bags.md describes a bag.
"""

from __future__ import annotations

import functools
import json
import platform
import sys
import threading
import time
import traceback
from importlib.metadata import version
from pathlib import Path

import yaml
from rclpy.clock import Clock, ClockType
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.diagnostics import ERROR, OK, WARN, Diagnostics
from gr1_common.loop import Loop
from gr1_common.parameters import ParameterError, declare
from gr1_common.process import run_node
from gr1_common.qos import LATCHED
from gr1_core.data import recovery
from gr1_core.data.metadata import BagError
from gr1_core.plural import plural
from gr1_core.rig import Rig, RigError
from gr1_recorder.episode import Limits
from gr1_recorder.raw_subscriber import RawSubscriber
from gr1_recorder.session import RecorderRefusal, Session
from gr1_recorder.streams import IMAGES, StreamError, streams_of
from gr1_recorder.writer import MB

RECEIVE_S = 0.02
_POLL_S = 0.1
_STATE_S = 0.5
_ASK_AGAIN_S = 1.0
_ENDS = {"success": "success", "failure": "failure", "discard": "discarded"}
_CHANGEABLE = ("instruction", "operator", "note")


class RecorderNode(Node):
    """See the module's text. Raises ParameterError, RigError or StreamError for what the user can mend."""

    exit_code = 0

    def __init__(self):
        super().__init__("recorder")
        root = Path(declare(self, "root", "bags", "Folder that the bags go into.", read_only=True)).absolute()
        self._rig = _rig(
            declare(self, "rig", "kinova_gen2", "Built-in rig or path of its YAML file.", read_only=True)
        )
        images = declare(
            self, "images", "jpeg", "Camera images in the bags.", read_only=True, choices=tuple(IMAGES)
        )
        declare(self, "operator", "", "The driver that demonstrates: a label of the bags.")
        declare(
            self,
            "instruction",
            "",
            "The bags' instruction until one is published on the topic 'instruction'.",
            read_only=True,
        )
        for label in _CHANGEABLE:
            declare(
                self,
                f"relabel.{label}",
                "",
                f"What recorder/relabel writes as the last bag's {label}; empty: it stays.",
            )
        declare(
            self,
            "patience_s",
            5.0,
            "How long a start waits for streams and instruction before it is refused.",
            low=0.1,
            high=60.0,
        )
        extra = declare(
            self, "extra_topics", [""], "Further topics to record, each as name:type.", read_only=True
        )
        hz = {
            "camera_static": declare(
                self, "hz.camera_static", 20.0, "Nominal rate of this camera.", low=0.1, read_only=True
            ),
            "camera_wrist": declare(
                self, "hz.camera_wrist", 20.0, "Nominal rate of this camera.", low=0.1, read_only=True
            ),
            "arm": declare(
                self, "hz.arm", 100.0, "Nominal rate of arm/* and joint_states.", low=0.1, read_only=True
            ),
            "sim_state": declare(
                self, "hz.sim_state", 50.0, "Nominal rate of sim/state.", low=0.1, read_only=True
            ),
            "sim_success": declare(
                self, "hz.sim_success", 10.0, "Nominal rate of sim/success.", low=0.1, read_only=True
            ),
        }
        limits = Limits(
            queue=MB
            * declare(
                self, "queue_mb", 256, "Messages that may wait for a slow disk.", low=1, read_only=True
            ),
            min_free=MB
            * declare(
                self,
                "min_free_mb",
                1000,
                "Free disk that a start needs; at half of it an episode is ended.",
                low=1,
                read_only=True,
            ),
            max_seconds=declare(
                self,
                "max_episode_s",
                600.0,
                "An episode that becomes longer is ended, unfinished.",
                low=1.0,
                read_only=True,
            ),
        )
        text = (
            "Call arm/stop when a recording ends by itself (a full disk, a limit), so that nothing moves "
            "unrecorded."
        )
        self._stops_arm = declare(self, "stop_arm", True, text, read_only=True)
        self._recover(root)
        self._subscriber = RawSubscriber(
            self,
            streams_of(self._rig, images, hz, filter(None, extra)),
            lambda *received: self._session.on_message(*received),
        )
        self._session = Session(
            root,
            self._subscriber.streams,
            limits,
            self._subscriber.poll,
            lambda: self.get_clock().now().nanoseconds,
            lambda: self._subscriber.unheard,
        )
        self._state, self._stated = self.create_publisher(String, "recorder/state", LATCHED), 0.0
        self._diagnostics = Diagnostics(self, self._report)
        self.finished = threading.Event()
        self._loop = Loop(self._receive, RECEIVE_S, self._on_failure, "receiver")
        self.create_service(Trigger, "recorder/start", self._serve(self._start))
        for name, outcome in _ENDS.items():
            self.create_service(
                Trigger, f"recorder/{name}", self._serve(lambda outcome=outcome: self._end(outcome))
            )
        self.create_service(Trigger, "recorder/relabel", self._serve(self._relabel))
        self._stop = self.create_client(Trigger, "arm/stop")
        # the reason of a recording's end that the arm has not stopped after yet; time of the last call of
        # arm/stop
        self._moving, self._asked = "", 0.0
        self.create_timer(_POLL_S, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._loop.start()
        self.get_logger().info(f"ready: rig '{self._rig.name}', {images} images, bags go to {root}")

    def close(self) -> None:
        """A running recording becomes a complete bag, marked unfinished."""
        self._loop.end()
        if self._session.episode:
            self._session.episode.stop("the recorder was ended in mid-episode")
            self.get_logger().warning(self._session.poll())

    def _recover(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(
                f"parameter 'root': the folder '{root}' cannot be made: {error.strerror}"
            ) from error
        for folder in recovery.unfinished_bags(root):
            self.get_logger().info(f"recovering {folder.name}")
            try:
                self.get_logger().warning(f"recovered: {recovery.recover_bag(folder)}")
            except BagError as error:
                self.get_logger().warning(f"not recovered: {error}")

    # The loop's thread

    def _receive(self, _: float) -> None:
        for fault in self._session.receive():
            self.get_logger().warning(fault)
            self._report()

    def _on_failure(self, error: Exception) -> None:
        self.get_logger().fatal(f"recording has ended: {''.join(traceback.format_exception(error))}")
        self.exit_code = 1
        self.finished.set()

    # The executor's thread

    def _serve(self, act):
        def answer(_, response: Trigger.Response) -> Trigger.Response:
            try:
                response.success, response.message = True, act()
            except (RecorderRefusal, BagError) as error:
                response.success, response.message = False, str(error)
                self.get_logger().error(str(error))
            self._report()
            self._publish_state()
            return response

        return answer

    def _start(self) -> str:
        rig = yaml.safe_dump(self._rig.to_dict(), sort_keys=False)
        name = self._session.start(
            {**self._labels(), "rig": rig, "versions": _versions()}, self.get_parameter("patience_s").value
        )
        self._moving = ""
        self.get_logger().info(f"recording {name}")
        return name

    def _labels(self) -> dict[str, str]:
        return {name: self.get_parameter(name).value for name in ("operator", "instruction")}

    def _end(self, outcome: str) -> str:
        name = self._session.end(outcome)
        state = self._session.state(time.monotonic())
        text = (
            f"{name}: {outcome}, {state['seconds']:g} s, {state['mb']:g} MB, "
            f"{plural(state['lost'], 'message')} lost, {plural(state['gaps'], 'gap')}"
        )
        self.get_logger().log(text, LoggingSeverity.WARN if state["lost"] else LoggingSeverity.INFO)
        if self._session.warning:
            self.get_logger().warning(self._session.warning)
        return name

    def _relabel(self) -> str:
        labels = {name: text for name in _CHANGEABLE if (text := self.get_parameter(f"relabel.{name}").value)}
        if not labels:
            raise RecorderRefusal(
                "nothing to change: set one of the parameters "
                f"{', '.join(f'relabel.{name}' for name in _CHANGEABLE)} first"
            )
        name = self._session.relabel(labels)
        self.get_logger().info(f"{name}: {', '.join(labels)} changed")
        return name

    def _poll(self) -> None:
        if done := self._session.poll():
            self._moving, self._asked = done if self._stops_arm else "", float("-inf")
            if not self._moving:
                self._alarm(done)
        if self._moving and time.monotonic() - self._asked >= _ASK_AGAIN_S:
            self._stop_the_arm()
        if time.monotonic() - self._stated > _STATE_S:
            self._publish_state()

    def _stop_the_arm(self) -> None:
        """Calls arm/stop; called again until the arm has answered, since a request or its answer may be
        lost.
        """
        self._asked = time.monotonic()
        if self._stop.service_is_ready():
            self._stop.call_async(Trigger.Request()).add_done_callback(
                functools.partial(self._on_stopped, self._moving)
            )
            text = f"{self._moving}; arm/stop has been called"
        else:
            text = f"{self._moving}; no node offers arm/stop: the arm may go on moving, unrecorded"
        if text != self._session.alarm:
            self._alarm(text)

    def _on_stopped(self, ended: str, answer) -> None:
        if ended == self._moving and answer.result() is not None and answer.result().success:
            self._moving = ""
            self._alarm(f"{ended}; the arm is stopped: call arm/reset when it may go on")

    def _alarm(self, text: str) -> None:
        self._session.alarm = text
        self.get_logger().error(text)
        self._report()

    def _report(self) -> None:
        level, message, values = self._session.report(time.monotonic(), self._labels())
        self._diagnostics.status(
            "episode",
            {"OK": OK, "WARN": WARN, "ERROR": ERROR}[level],
            message,
            values,
            state=(values["bag"], self._session.alarm),
        )

    def _publish_state(self) -> None:
        self._stated = time.monotonic()
        self._state.publish(String(data=json.dumps(self._session.state(self._stated))))


def _rig(source: str) -> Rig:
    try:
        return Rig.load(source)
    except OSError as error:
        raise ParameterError(f"parameter 'rig': '{source}' cannot be read: {error}") from error


def _versions() -> str:
    packages = ("gr1_core", "gr1_recorder", "mcap")
    return json.dumps(
        {"python": platform.python_version(), "ros": "jazzy"} | {name: version(name) for name in packages}
    )


def main(args=None) -> int:
    return run_node(RecorderNode, args, errors=(ParameterError, RigError, StreamError))


if __name__ == "__main__":
    sys.exit(main())
