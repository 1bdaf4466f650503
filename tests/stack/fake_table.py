"""A simulated table of topics and services, with a policy that opens the drawer: trials without physics."""

import json

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from sensor_msgs.msg import JointState, TimeReference
from std_msgs.msg import String
from std_srvs.srv import Trigger

from gr1_common import messages, qos
from gr1_core.sim import Twin
from gr1_core.sim.state import DRAWER_QPOS
from tests.support.ros_graph import SpinningNodes


class FakeTable:
    """What trials need of a stack: services, a clock that runs ten times too fast, a drawer that the
    policy opens.

    slow: instructions at which the policy does nothing. painted: every table is refused. `events` has
    the calls in their order.
    """

    def __init__(self, slow=(), painted=False):
        self.events, self.slow = [], slow
        self._spinning = SpinningNodes()
        node = self.node = rclpy.create_node("arm", context=self._spinning.context)
        policy = self.policy = rclpy.create_node("policy", context=self._spinning.context)
        node.declare_parameter("sim.task", "open_drawer")
        node.declare_parameter("sim.seed", 0)
        if painted:
            node.add_on_set_parameters_callback(
                lambda _: SetParametersResult(successful=False, reason="the table is being painted")
            )
        node.create_service(Trigger, "sim/reset", self._reset)
        policy.create_service(ChangeState, "policy/change_state", self._change)
        policy.create_service(GetState, "policy/get_state", self._state)
        self._sim = node.create_publisher(JointState, "sim/state", qos.SENSOR)
        self._steps = policy.create_publisher(TimeReference, "policy/step", qos.SENSOR)
        policy.create_subscription(
            String, "instruction", lambda message: self.events.append(message.data), qos.LATCHED
        )
        twin = Twin()
        twin.reset("open_drawer", 0)
        self._shut = twin.state()
        self._time, self._active, self._let_go = 0.0, True, 0.0
        node.create_timer(0.005, self._tick)
        self._spinning.start(node, policy)

    def close(self):
        self._spinning.close()

    def _reset(self, _, response):
        task, seed = (self.node.get_parameter(f"sim.{name}").value for name in ("task", "seed"))
        self.events.append((task, seed))
        self._time = 0.0
        response.success, response.message = True, json.dumps({"instruction": f"the words of {task}"})
        return response

    def _state(self, _, response):
        response.current_state.id = (
            State.PRIMARY_STATE_ACTIVE if self._active else State.PRIMARY_STATE_INACTIVE
        )
        return response

    def _change(self, request, response):
        self._active = request.transition.id == Transition.TRANSITION_ACTIVATE
        self.events.append("go" if self._active else "hold")
        self._let_go = self._time
        response.success = True
        return response

    def _tick(self):
        self._time += 0.05
        state = self._shut.copy()
        state[0] = self._time
        said = next(
            (
                event
                for event in reversed(self.events)
                if isinstance(event, str) and event not in ("go", "hold")
            ),
            "",
        )
        if self._active and said not in self.slow and self._time - self._let_go > 1.0:
            state[4 + DRAWER_QPOS] = 0.15
        message = JointState(position=state.tolist())
        now = self.node.get_clock().now()
        message.header.stamp = now.to_msg()
        self._sim.publish(message)
        if self._active:
            step = TimeReference(time_ref=messages.to_stamp(now.nanoseconds - 40_000_000), source="cameras")
            step.header.stamp = message.header.stamp
            self._steps.publish(step)
