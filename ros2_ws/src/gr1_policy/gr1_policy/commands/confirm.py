"""`gr1 confirm`: answers the policy's call: it goes on at full speed."""

from __future__ import annotations

import argparse
import sys

from gr1_core.commands.arguments import Parser

HELP = "answer the policy's call: what it saw is no danger, it goes on at full speed"
_ANSWER_S = 5.0


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="gr1 confirm",
        description="Answer the policy's call. The prediction monitor calls when the images differ from what "
        "the policy predicted; the policy then moves at half speed, and the arm is stopped if nobody takes "
        "over or confirms in time. Calls the service policy/confirm. Exit code 1 where nothing is confirmed.",
    )
    made.add_argument("--namespace", default="", help="the stack's ROS namespace")
    return made


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from std_srvs.srv import Trigger

    from gr1_policy.call_topics import CONFIRM

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("gr1_confirm", namespace=options.namespace, use_global_arguments=False)
    try:
        service = node.create_client(Trigger, CONFIRM)
        if not service.wait_for_service(_ANSWER_S):
            print("gr1 confirm: no policy is running here: is it the right ROS_DOMAIN_ID?", file=sys.stderr)
            return 1
        future = service.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=_ANSWER_S)
        if not future.done():
            print(f"gr1 confirm: the policy has not answered for {_ANSWER_S:g} s", file=sys.stderr)
            return 1
        answer = future.result()
        print(answer.message, file=sys.stdout if answer.success else sys.stderr)
        return 0 if answer.success else 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
