"""Raw subscriptions, emptied in rounds: serialized messages with DDS's times and sequence numbers."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from itertools import islice

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from gr1_core.data import schemas
from gr1_recorder.stream_statistics import Message
from gr1_recorder.streams import Stream, StreamError

_SENDERS_EVERY_S = 1.0
_UNKNOWN = "_NODE_NAME_UNKNOWN_"


class RawSubscriber:
    """poll() passes every pending message to on_message(message, one_sender).

    An executor wakes up for every message; at 700 messages a second that costs several times as much as
    recording them. Here they wait in the middleware, which keeps two seconds' worth and the times of their
    arrival.
    """

    def __init__(
        self,
        node: Node,
        streams: Iterable[Stream],
        on_message: Callable[[Message, bool], None],
        newest_only: bool = False,
    ):
        """newest_only: of a best-effort stream a round passes the newest message alone, so that a reader who
        is slower than the senders stays at the present.
        """
        self._node, self._on_message = node, on_message
        self._group = _NoExecutor()
        self._queues = []
        self.streams: dict[str, Stream] = {}
        for stream in streams:
            qos = qos_of(stream)
            if newest_only and stream.qos == "best_effort":
                qos.depth = 1
            subscription = node.create_subscription(
                _type(stream), stream.topic, _ignore, qos, raw=True, callback_group=self._group
            )
            self._queues.append([subscription, subscription.topic_name, stream.type, True])
            self.streams[subscription.topic_name] = stream
        self._counted = 0.0
        self.unheard: dict[str, str] = {}
        """Absolute topic -> why a publisher on it is not heard, with the publisher's node."""

    def poll(self) -> None:
        now, wall = time.monotonic(), time.time_ns()
        if now - self._counted > _SENDERS_EVERY_S:
            self._counted = now
            self._look_at_publishers()
        simulated = self._clock_if_simulated()
        for subscription, topic, kind, one_sender in self._queues:
            most = 1 if subscription.qos_profile.depth == 1 else None
            for data, info in islice(_pending(subscription), most):
                received, sent = info["received_timestamp"] or wall, info["source_timestamp"] or wall
                stamp = schemas.header_stamp(kind, data)
                arrived = now - max(wall - received, 0) * 1e-9
                # Simulated time: all times of a message are on the clock of its stamps.
                log_time, sent = (received, sent) if simulated is None else (simulated, simulated)
                number = info["publication_sequence_number"]
                self._on_message(
                    Message(topic, data, log_time, sent, sent if stamp is None else stamp, number, arrived),
                    one_sender,
                )

    def _look_at_publishers(self) -> None:
        unheard = {}
        for queue in self._queues:
            subscription, topic, kind, _ = queue
            publishers = self._node.get_publishers_info_by_topic(topic)
            queue[3] = len(publishers) <= 1
            if problem := publisher_problem(publishers, kind, subscription.qos_profile):
                unheard[topic] = problem
        self.unheard = unheard

    def _clock_if_simulated(self) -> int | None:
        clock = self._node.get_clock()
        return clock.now().nanoseconds if clock.ros_time_is_active else None


def publisher_problem(publishers, kind: str, wanted: QoSProfile) -> str:
    """Why one of these publishers (TopicEndpointInfo) is not heard by a subscription of this type and QoS; ""
    if all are.
    """
    for one in publishers:
        name = f"node {one.node_namespace.rstrip('/')}/{one.node_name}"
        if _UNKNOWN in name:  # its discovery is not complete
            name = "a node"
        if one.topic_type != kind:
            return f"{name} publishes it as {one.topic_type}, expected {kind}"
        offered = one.qos_profile
        if (
            wanted.reliability == ReliabilityPolicy.RELIABLE
            and offered.reliability == ReliabilityPolicy.BEST_EFFORT
        ):
            return f"{name} publishes it best effort, which is not heard here: make its publisher reliable"
        if (
            wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL
            and offered.durability == DurabilityPolicy.VOLATILE
        ):
            return (
                f"{name} publishes it volatile, which is not heard here: make its publisher transient local"
            )
    return ""


class _NoExecutor(CallbackGroup):
    """Keeps the executor away from the subscriptions: poll() empties them."""

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False

    def ending_execution(self, entity) -> None:
        pass


def _pending(subscription):
    """The waiting messages, (bytes, times), and those that come meanwhile."""
    with subscription.handle:
        while taken := subscription.handle.take_message(subscription.msg_type, True):
            yield taken


def _ignore(message) -> None:
    """A subscription needs a callback."""


def qos_of(stream: Stream) -> QoSProfile:
    """What a stream is subscribed with."""
    reliability = ReliabilityPolicy.BEST_EFFORT if stream.qos == "best_effort" else ReliabilityPolicy.RELIABLE
    durability = (
        DurabilityPolicy.TRANSIENT_LOCAL if stream.qos == "transient_local" else DurabilityPolicy.VOLATILE
    )
    return QoSProfile(depth=stream.depth, reliability=reliability, durability=durability)


def _type(stream: Stream):
    """The message class of "package/msg/Name"; StreamError if it is not installed or no bag can hold it."""
    package, _, name = stream.type.split("/")
    try:
        schemas.type_definition(stream.type)
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except schemas.SchemaError as error:
        raise StreamError(f"topic {stream.topic}: {error}") from error
    except (ImportError, AttributeError) as error:
        raise StreamError(
            f"topic {stream.topic}: no message type '{stream.type}' is installed: install "
            f"ros-jazzy-{package.replace('_', '-')}"
        ) from error
