"""The parameters of the policy node."""

from __future__ import annotations

from rclpy.node import Node

from gr1_common.option import Option
from gr1_common.parameters import declare
from gr1_common.qos import RELIABILITIES

ROBOTS = ("sim", "kinova_gen2", "kinova_gen3", "ros2")
PRECISIONS = ("auto", "fp32", "bf16", "int8", "fp64")
PARAMETERS = (
    Option(
        "checkpoint",
        "",
        "checkpoint folder, or demo, the shipped policy; empty: demo with robot 'sim'; untrained: a small "
        "model with random weights, robot 'sim' only",
    ),
    Option(
        "server",
        "",
        "wss://host:port of `gr1 serve`: the policy runs on that computer, and checkpoint, precision and "
        "threads are the server's; empty: it runs here",
    ),
    Option(
        "server_access",
        "",
        "access file of the server, copied from its computer; empty: ~/.local/share/gr1/serve/access.json",
    ),
    Option(
        "server_jpeg_quality",
        95,
        "quality of the images that go to the server; 0: raw pixels, about ten times the size",
        low=0,
        high=100,
    ),
    Option("rig", "kinova_gen2", "rig that the checkpoint must fit: a built-in one or a YAML file"),
    Option("robot", "sim", "the robot that the policy drives", choices=ROBOTS),
    Option(
        "precision",
        "auto",
        "arithmetic of the model; auto: the fastest that this computer supports",
        choices=PRECISIONS,
    ),
    Option("threads", 0, "threads of the model's linear algebra; 0: the library's choice", low=0, high=256),
    Option("instruction", "", "what to do until a message on the topic 'instruction'; empty: wait for one"),
    Option("act", True, "false: run and predict, but send no commands"),
    Option(
        "ignore_replay",
        False,
        "true: act even with a checkpoint that failed its open-loop replay (`gr1 replay`)",
    ),
    Option("image_reliability", "best_effort", "QoS of the camera subscriptions", choices=RELIABILITIES),
    Option(
        "max_skew_s",
        0.075,
        "s between the two frames of a step; a little more than the slower camera's period",
        low=0.0,
        high=10.0,
    ),
    Option(
        "max_gap_periods",
        2.5,
        "control periods between the frames of two steps; more clears the history",
        low=1.0,
        high=100.0,
    ),
    Option(
        "max_action_age_periods",
        2.5,
        "control periods: age of its frames above which an action is not sent",
        low=0.5,
        high=100.0,
    ),
    Option(
        "blend_s",
        1.0,
        "s after activation over which the policy's twists grow from 0 to their full length; 0: at once",
        low=0.0,
        high=10.0,
    ),
    Option(
        "prediction_monitor",
        True,
        "compare predicted frames with real ones, in the time that a control period leaves",
    ),
    Option(
        "prediction_limit",
        0.0,
        "score (1: the largest of the calibration) above which the prediction monitor calls the operator; "
        "-1: the checkpoint's own, which `gr1 calibrate` wrote; 0: report only",
        low=-1.0,
        high=1000.0,
    ),
    Option(
        "prediction_call_s",
        5.0,
        "s that a person has to take over or confirm when the prediction monitor calls; the policy moves at "
        "half speed meanwhile, then the arm is stopped; 0: stop at once",
        low=0.0,
        high=60.0,
    ),
    Option(
        "sim.delay_s",
        0.0,
        "robot 'sim' only: s by which each step is made longer, to simulate a model that is too slow",
        low=0.0,
        high=10.0,
    ),
)


def declare_parameters(node: Node) -> None:
    """Declares PARAMETERS on the node. Raises ParameterError."""
    for option in PARAMETERS:
        limits = {"low": option.low, "high": option.high, "choices": option.choices}
        declare(node, option.name, option.default, option.description, **limits)
