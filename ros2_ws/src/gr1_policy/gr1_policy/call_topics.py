"""The ROS side of a call of the operator: `policy/call`, its image, `policy/confirm`, the slowed gate."""

from __future__ import annotations

import json

from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gr1_common import qos
from gr1_core import images
from gr1_policy.operator_call import CALLING, Call
from gr1_policy.prediction_panel import draw_evidence

TOPIC, IMAGE_TOPIC, CONFIRM = "policy/call", "policy/call/image", "policy/confirm"
_EVENTS = QoSProfile(depth=10)
_JPEG_QUALITY = 90
NO_CALL = "the policy does not call"


class CallTopics:
    """Made at configure, closed at cleanup. monitor: has the evidence; None: there are no calls.

    `attach` gives it the controller, which calls `slow_policy`.
    """

    def __init__(self, node, monitor):
        self._node, self._monitor, self._controller = node, monitor, None
        self._call: Call | None = None
        self._wanted, self._confirmed = False, None
        self._messages = node.create_publisher(String, TOPIC, _EVENTS)
        self._images = node.create_publisher(CompressedImage, IMAGE_TOPIC, qos.LATCHED)
        self._slow = node.create_client(SetBool, "arm/slow_policy")
        self._service = node.create_service(Trigger, CONFIRM, self._on_confirm)
        self._person = node.create_subscription(
            TwistStamped, "command/teleop/twist", self._on_teleop, qos.COMMAND
        )

    def attach(self, controller) -> None:
        self._controller = controller

    def close(self) -> None:
        node = self._node
        for destroy, entity in (
            (node.destroy_publisher, self._messages),
            (node.destroy_publisher, self._images),
            (node.destroy_client, self._slow),
            (node.destroy_service, self._service),
            (node.destroy_subscription, self._person),
        ):
            destroy(entity)

    # Called by the controller, in its threads

    def on_change(self, call: Call) -> None:
        """A call has begun or ended."""
        self._call = call if call.state == CALLING else None
        log = self._node.get_logger()
        if call.state == CALLING:
            log.warning(
                f"the policy calls: {call.reason}. It moves at half speed; take over, or confirm with "
                f"`gr1 confirm`, within {call.timeout:g} s"
            )
            self._publish_evidence()
        else:
            log.info(f"call {call.number}: {call.state.replace('_', ' ')}")
        self._publish(call)

    def slow_policy(self, slow: bool) -> bool:
        """Asks the gate; False where it cannot be asked now. Without an answer `refresh` asks again."""
        self._wanted, self._confirmed = slow, None
        return self._ask()

    def refresh(self) -> None:
        """Called once a second: a call is repeated for whoever has come late."""
        if call := self._call:
            self._publish(call)
        if self._confirmed is not self._wanted:
            self._ask()

    # Internals

    def _ask(self) -> bool:
        if not self._slow.service_is_ready():
            return False
        wanted = self._wanted
        self._slow.call_async(SetBool.Request(data=wanted)).add_done_callback(
            lambda answer: self._on_answer(wanted, answer.result())
        )
        return True

    def _on_answer(self, wanted: bool, answer) -> None:
        if answer is None or not answer.success or wanted is not self._wanted:
            return
        self._confirmed = wanted
        if wanted:
            self._controller.call.on_slowed()

    def _publish(self, call: Call) -> None:
        evidence = self._monitor.evidence if self._monitor else None
        document = {
            "number": call.number,
            "state": call.state,
            "reason": call.reason,
            "timeout_s": call.timeout,
            "camera": evidence.camera if evidence else "",
            "score": round(evidence.score, 2) if evidence else None,
            "limit": self._monitor.limit if self._monitor else None,
        }
        self._messages.publish(String(data=json.dumps(document)))

    def _publish_evidence(self) -> None:
        message = CompressedImage(format="jpeg")
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.data = images.encode_jpeg(draw_evidence(self._monitor.evidence), _JPEG_QUALITY)
        self._images.publish(message)

    # The executor's thread

    def _on_teleop(self, _: TwistStamped) -> None:
        self._controller.on_person()

    def _on_confirm(self, _, response: Trigger.Response) -> Trigger.Response:
        reason = self._controller.confirm()
        response.success = bool(reason)
        response.message = f"the policy goes on at full speed: {reason}" if reason else NO_CALL
        return response
