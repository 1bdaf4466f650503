"""The recorder from a Python program: the services as plain calls that return when they are done."""

from __future__ import annotations

import json
import threading
from typing import NamedTuple

import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common.qos import LATCHED
from gr1_common.shell import other_users

_OVERTAKEN_S = 1.0
_DISCOVERY_S = 3.0


class RecorderError(ValueError):
    """The recorder refused, for the reason in the text, or does not answer."""


class State(NamedTuple):
    """The recorder's state. state: "recording" or "idle"; root: the bags' folder; bag: name of the running
    or the last one; outcome: the last one's, "" while it is recorded; lost: messages that are lost;
    episodes: outcome -> number, since the recorder was started; steps, kept: control steps so far, and those
    that conversion would keep; loss: what it would leave out, in words, "" if it is little."""

    state: str
    root: str
    bag: str
    outcome: str
    seconds: float
    messages: int
    mb: float
    lost: int
    gaps: int
    episodes: dict[str, int]
    steps: int
    kept: int
    loss: str


class Recorder:
    """Begins and ends episodes of a running recorder node.

        from gr1_recorder import Recorder

        with Recorder() as recorder:
            name = recorder.start()              # returns when all streams deliver and recording has begun
            drive_the_arm()
            recorder.success()                   # or failure(), discard(): returns when the bag is complete
              on the disk
            recorder.failure()                   # changes the last bag's outcome
            recorder.relabel(note="the drawer was stuck", operator="Ada")
            print(recorder.state.episodes)       # {"failure": 1}

    namespace: the stack's. timeout: seconds that an answer may take. Raises RecorderError when the recorder
    refuses, naming why, or does not answer. It may be used beside other rclpy code: its ROS context is its
    own.
    """

    def __init__(self, namespace: str = "", timeout: float = 30.0):
        self._timeout = timeout
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(
            "gr1_recorder_client", context=self._context, namespace=namespace, use_global_arguments=False
        )
        self._changed, self._state = threading.Condition(), None
        names = ("start", "success", "failure", "discard", "relabel")
        self._clients = {name: self._node.create_client(Trigger, f"recorder/{name}") for name in names}
        self._set = self._node.create_client(SetParameters, "recorder/set_parameters")
        # Created last: when this is heard, the recorder has discovered the clients above, and no answer is
        # lost.
        self._node.create_subscription(String, "recorder/state", self._on_state, LATCHED)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._executor.spin, name="recorder client", daemon=True)
        self._thread.start()

    def start(self) -> str:
        """Begins an episode; returns the bag's name."""
        return self._await(self._trigger("start"), "")

    def success(self) -> str:
        """Ends the episode as a success, or changes the last one's outcome; returns the bag's name."""
        return self._await(self._trigger("success"), "success")

    def failure(self) -> str:
        """Ends the episode as a failure, or changes the last one's outcome; returns the bag's name."""
        return self._await(self._trigger("failure"), "failure")

    def discard(self) -> str:
        """Ends the episode as one not to be used, or changes the last one's outcome; the bag stays. Returns
        its name.
        """
        return self._await(self._trigger("discard"), "discarded")

    def relabel(self, instruction: str = "", operator: str = "", note: str = "") -> str:
        """Changes the last bag's labels that are given, leaves the others; returns its name."""
        given = {"relabel.instruction": instruction, "relabel.operator": operator, "relabel.note": note}
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg() for name, value in given.items()]
        )
        self._call(self._set, request)
        return self._trigger("relabel")

    @property
    def state(self) -> State:
        """The recorder's newest state."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._state is not None, min(_DISCOVERY_S, self._timeout)):
                if other_users():  # more patience does not open their shared memory
                    raise RecorderError(self._silent("the topic recorder/state", _DISCOVERY_S))
            if not self._changed.wait_for(lambda: self._state is not None, self._timeout):
                raise RecorderError(self._silent("the topic recorder/state", self._timeout))
            return self._state

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _on_state(self, message: String) -> None:
        with self._changed:
            self._state = State(**json.loads(message.data))
            self._changed.notify_all()

    def _await(self, bag: str, outcome: str) -> str:
        """Waits until `state` agrees with the answer: topics and services overtake each other."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._state and (self._state.bag, self._state.outcome) == (bag, outcome), _OVERTAKEN_S
            )
        return bag

    def _trigger(self, name: str) -> str:
        answer = self._call(self._clients[name], Trigger.Request())
        if not answer.success:
            raise RecorderError(answer.message)
        return answer.message

    def _call(self, client, request):
        if not (self.state and client.wait_for_service(self._timeout)):
            raise RecorderError(self._silent(client.srv_name, self._timeout))
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(self._timeout):
            raise RecorderError(self._silent(client.srv_name, self._timeout))
        return future.result()

    def _silent(self, what: str, seconds: float) -> str:
        why = other_users() or "is the recorder running in this ROS_DOMAIN_ID and namespace?"
        return f"no answer from {what} within {seconds:g} s: {why}"
