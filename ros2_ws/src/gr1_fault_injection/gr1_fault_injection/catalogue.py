"""Every fault of the table: how it is injected, when it is visible, what ends it, what the arm must do."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

from geometry_msgs.msg import TwistStamped

from gr1_common.messages import to_twist
from gr1_fault_injection.scene import Clock, Default, Disk, Network, Scene, Skipped, Sleep
from gr1_fault_injection.stack_under_test import MOTION

JUMP_S = 10.0
_SLOW_S = 0.3
_HZ = 20.0
_TAKEOVER_S, _TAKEOVER_SPEED = 0.5, 0.15
_SLEEP_S = 600.0


@dataclass(frozen=True)
class Fault:
    """visible: from when on the fault can be noticed, see injection.VISIBLE. restarts: the node that is
    started again.

    rearm: the arm must stay at rest until arm/reset. lasting: it must stay at rest while the fault lasts.
    """

    name: str
    what: str
    scene: type[Scene]
    inject: Callable[[Scene], None]
    clear: Callable[[Scene], None]
    visible: str
    restarts: str = ""
    rearm: bool = False
    lasting: bool = True
    prepare: Callable[[Scene], None] = lambda scene: None


def _killed(node: str, visible: str, rearm: bool = False, name: str = "") -> Fault:
    return Fault(
        f"{name or node} killed",
        f"SIGKILL of {name or node}",
        Default,
        lambda scene: scene.stack.kill(node),
        lambda scene: scene.stack.start("arm" if node == MOTION else node),
        visible,
        restarts="arm" if node == MOTION else node,
        rearm=rearm,
    )


def _stopped(node: str, visible: str, rearm: bool = False, name: str = "") -> Fault:
    return Fault(
        f"{name or node} stopped",
        f"SIGSTOP of {name or node}, later SIGCONT",
        Default,
        lambda scene: scene.stack.freeze(node),
        lambda scene: scene.stack.thaw(node),
        visible,
        rearm=rearm,
    )


def _switched(name: str, what: str, node: str, kind: str, visible: str, rearm: bool = False) -> Fault:
    return Fault(
        name,
        f"{what} (sim.fault: {kind})",
        Default,
        lambda scene: scene.stack.set(node, sim__fault=kind),
        lambda scene: scene.stack.set(node, sim__fault="none"),
        visible,
        rearm=rearm,
    )


def _teleop_command(name: str, what: str, speed: float) -> Fault:
    def inject(scene: Scene) -> None:
        scene.publish_repeatedly("teleop", lambda: _twist(scene, speed), _HZ)

    # Afterwards the operator is lost: nothing moves until a person acts.
    return Fault(name, what, Default, inject, lambda scene: scene.stop_publishing(), "injected", rearm=True)


def _lose_operator(scene: Scene) -> None:
    """A person takes over, and falls silent without a release."""
    scene.publish_repeatedly("teleop", lambda: _twist(scene, _TAKEOVER_SPEED), _HZ)
    time.sleep(_TAKEOVER_S)
    scene.stop_publishing()


def _twist(scene: Scene, speed: float) -> TwistStamped:
    message = TwistStamped(twist=to_twist((0.0, speed, 0.0), (0.0, 0.0, 0.0)))
    message.header.stamp, message.header.frame_id = (
        scene.stack.observer.monitor.node.get_clock().now().to_msg(),
        "base_link",
    )
    return message


def _replay(scene: Scene) -> None:
    sent = cycle([copy.deepcopy(message) for message in scene.stack.observer.sent])
    scene.stack.freeze("policy")
    scene.publish_repeatedly("policy", lambda: next(sent), _HZ)


def _replay_over(scene: Scene) -> None:
    scene.stop_publishing()
    scene.stack.thaw("policy")


def _require_delay(scene: Scene) -> None:
    if not scene.stack.has("policy", "sim.delay_s"):
        raise Skipped("the policy node has no parameter sim.delay_s")


def _jumped(seconds: float) -> Fault:
    return Fault(
        f"wall clock {seconds:+g} s",
        f"the wall clock of all nodes is set by {seconds:+g} s",
        Clock,
        lambda scene: scene.switch.jump(seconds),
        lambda scene: None,
        "injected",
        lasting=False,
    )


FAULTS = (
    _killed("arm", "log", rearm=True, name="arm node"),
    _killed(MOTION, "beat", rearm=True, name="motion process"),
    _killed("camera_static", "frame:static"),
    _killed("camera_wrist", "frame:wrist"),
    _killed("policy", "command"),
    _stopped("arm", "beat", name="arm node"),
    _stopped(MOTION, "beat", rearm=True, name="motion process"),
    _stopped("camera_static", "frame:static"),
    _stopped("camera_wrist", "frame:wrist"),
    _stopped("policy", "command"),
    _switched("camera unplugged", "static camera's cable", "camera_static", "disconnect", "frame:static"),
    _switched("camera drops out", "no more frames", "camera_static", "drop_out", "frame:static"),
    _switched(
        "camera frozen", "one image again and again, stamps fresh", "camera_static", "freeze", "repeat:static"
    ),
    _switched(
        "camera repeats a frame",
        "one frame again and again, its stamp too",
        "camera_static",
        "repeat",
        "frame:static",
    ),
    _switched(
        "frames late", "frames arrive 0.5 s after their exposure", "camera_static", "late", "frame:static"
    ),
    _teleop_command("NaN commands", "teleoperation sends NaN", math.nan),
    _teleop_command("huge commands", "teleoperation sends 100 m/s", 100.0),
    Fault(
        "operator lost",
        "a person takes over from the policy and falls silent without a release",
        Default,
        _lose_operator,
        lambda scene: None,
        "sent",
        rearm=True,
    ),
    Fault(
        "gr1 stop",
        "the emergency stop by the stop socket, as of gr1 stop, the space bar, Ctrl-Z and the pages' button",
        Default,
        lambda scene: scene.stack.stop_without_ros(),
        lambda scene: None,
        "injected",
        rearm=True,
    ),
    Fault(
        "replayed commands",
        "the policy is stopped, its last commands are published again and again, unchanged",
        Default,
        _replay,
        _replay_over,
        "command",
    ),
    Fault(
        "policy too slow",
        f"each step of the policy takes {_SLOW_S:g} s longer",
        Default,
        lambda scene: scene.stack.set("policy", sim__delay_s=_SLOW_S),
        lambda scene: scene.stack.set("policy", sim__delay_s=0.0),
        "command",
        lasting=False,
        prepare=_require_delay,
    ),
    _switched("arm lost", "the connection to the arm", "arm", "disconnect", "injected", rearm=True),
    _switched("arm's state stands still", "the same state again and again", "arm", "drop_out", "injected"),
    _switched("arm's state late", "0.5 s old", "arm", "delay", "injected"),
    _switched("arm held fast", "it does not follow", "arm", "stuck", "lead:held"),
    _switched("arm sinks", "the measured pose drifts away", "arm", "drift", "lead:sunk"),
    _switched("contact force", "twice the limit", "arm", "force", "injected", rearm=True),
    _jumped(JUMP_S),
    _jumped(-JUMP_S),
    Fault(
        "computer suspended",
        f"it sleeps for {_SLEEP_S:g} s: CLOCK_BOOTTIME has gone on, the steady clock has not",
        Sleep,
        lambda scene: scene.switch.sleep(_SLEEP_S),
        lambda scene: None,
        "injected",
        rearm=True,
    ),
    Fault(
        "network cut",
        "no datagram reaches or leaves the policy's process",
        Network,
        lambda scene: scene.switch.cut(True),
        lambda scene: scene.switch.cut(False),
        "command",
    ),
    Fault(
        "disk full",
        "no byte is left under the recorder's folder",
        Disk,
        lambda scene: scene.fill(),
        lambda scene: scene.empty(),
        "recorder",
        rearm=True,
        prepare=lambda scene: scene.stack.call("recorder/start"),
    ),
)


def choose_faults(words: str) -> list[Fault]:
    """words: names or parts of names as "a,b"; empty: all. Raises ValueError for a word that no fault's name
    holds.
    """
    found = []
    for word in filter(None, words.split(",")):
        named = [fault for fault in FAULTS if word == fault.name] or [
            fault for fault in FAULTS if word in fault.name
        ]
        if not named:
            raise ValueError(f"no fault '{word}': there are {', '.join(fault.name for fault in FAULTS)}")
        found += named
    return [fault for fault in FAULTS if fault in found or not words]
