"""Measures latency and stopping from hand to arm: node, link, gate, simulated arm, a headset's websocket.

    python -m tests.teleop.measure [--seconds 20] [--stops 10] [--network 0:0,50:0,150:0,300:0,0:5,50:5]

network: pairs of injected delay (ms, each way) and loss (% of the frames). As with TCP, a lost frame delays
those behind it until it has been sent again: after the answer to the next frame, 0.2 s later if it is lost
twice. Prints for each pair: latency from a sample to its command (p50, p99), commands per second, how often
the clutch opened and why. Then: time from the last sample of a headset that vanishes in motion to the zero
command, and to the arm at rest. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

AMPLITUDE, TURN_S = 0.05, 4.0  # m of the hand up and down, s for once


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.teleop.measure", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--network", default="0:0,50:0,150:0,300:0,0:5,50:5")
    options = parser.parse_args()
    # Before the first import of rclpy.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    from tests.support.ros_graph import NodeProcess

    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        nodes = [
            NodeProcess("gr1_robot.arm.node", "robot:=sim"),
            NodeProcess("gr1_teleop.teleop_node", "port:=0", "host:=127.0.0.1"),
        ]
        try:
            nodes[1].until("ready", 120.0)
            url = re.search(r"https://\S+/\?token=\S+", "".join(nodes[1]._lines))[0]
            bench = Bench(url, Path(home) / "gr1/teleop/server.pem")
            rows = [
                bench.network(float(delay), float(loss), options.seconds)
                for delay, loss in _pairs(options.network)
            ]
            stops = [bench.stop(up=bool(number % 2)) for number in range(options.stops)]
            bench.close()
        finally:
            for node in nodes:
                node.send(signal.SIGINT)
                node.wait(60)
    kinds = {name: sorted(stop[name] for stop in stops) for name in ("command_ms", "rest_ms")}
    told = {
        name: {"median": values[len(values) // 2], "longest": values[-1]}
        for name, values in kinds.items()
        if values
    }
    print(
        json.dumps(
            {
                "load": round(os.getloadavg()[0], 1),
                "cores": os.cpu_count(),
                "network": rows,
                "stop": told,
                "stops": len(stops),
            }
        )
    )
    return 0


class Bench:
    def __init__(self, url: str, certificate: Path):
        from geometry_msgs.msg import TwistStamped

        from gr1_common.messages import from_twist
        from gr1_common.qos import COMMAND, SENSOR
        from tests.teleop.headset_client import client
        from tests.teleop.stack_observer import StackObserver

        self._observer, self._client = StackObserver(), client(url, certificate)
        self._moves = {"command": (True, 0.0), "arm": (True, 0.0)}
        self._changed = threading.Condition()
        self._counted = 0

        def see(what: str, message) -> None:
            moves, now = any(part.any() for part in from_twist(message.twist)), time.monotonic()
            with self._changed:
                self._counted += what == "command"
                self._moves[what] = moves, now
                self._changed.notify_all()

        node = self._observer.node
        node.create_subscription(
            TwistStamped, "command/teleop/twist", lambda message: see("command", message), COMMAND
        )
        node.create_subscription(
            TwistStamped, "arm/commanded_twist", lambda message: see("arm", message), SENSOR
        )

    def network(self, delay_ms: float, loss: float, seconds: float) -> dict:
        """One row: the hand goes up and down, and grips again where the clutch opens by itself."""
        wearer = self._wear(delay_ms, loss)
        started, count, opened, followed, reasons = time.monotonic(), self._counted, 0, 0.0, set()
        height, last, pressed, was = wearer.position[1], started, started, False
        while (now := time.monotonic()) - started < seconds:
            wearer.position[1] = height + AMPLITUDE * math.sin(2 * math.pi * (now - started) / TURN_S)
            engaged = self._observer.operator("clutch") == "engaged"
            followed += (now - last) * engaged
            if was and not engaged:
                opened += 1
                reasons.add(self._observer.operator("why"))
            if not engaged and now - pressed > 0.5:  # as a person does: open, squeeze again
                wearer.squeeze, pressed = 1.0 - wearer.squeeze, now
            was, last = engaged, now
            time.sleep(0.01)
        figures = {
            name: self._number(name)
            for name in ("pose_to_command_p50_ms", "pose_to_command_p99_ms", "rtt_ms", "lost", "old")
        }
        row = {
            "delay_ms": delay_ms,
            "loss_percent": loss,
            **figures,
            "commands_a_second": round((self._counted - count) / seconds, 2),
        }
        row |= {"followed": round(followed / seconds, 2), "opened": opened, "reasons": sorted(reasons)}
        self._leave(wearer)
        print(json.dumps(row), flush=True)
        return row

    def stop(self, up: bool) -> dict:
        """A headset vanishes while its hand moves evenly: ms from its last sample to the zero command, and to
        an arm at rest."""
        wearer = self._wear(0.0, 0.0)
        wearer.squeeze = 1.0
        self._observer.clutch("engaged")
        began, height = time.monotonic(), wearer.position[1]
        while time.monotonic() - began < 0.6:
            wearer.position[1] = height + (0.1 if up else -0.1) * (time.monotonic() - began)
            time.sleep(0.005)
        gone = wearer.vanish()
        times = {
            f"{name}_ms": self._rests(what, gone) for name, what in (("command", "command"), ("rest", "arm"))
        }
        self._leave(wearer)
        return times

    def close(self) -> None:
        self._observer.close()

    def _wear(self, delay_ms: float, loss: float):
        from tests.teleop.headset_client import HeadsetClient

        wearer = HeadsetClient(self._client, delay_s=1e-3 * delay_ms, loss=loss / 100.0)
        self._observer.clutch("open")
        time.sleep(1.5 + 2e-3 * delay_ms)  # the first round trips: the clock is known then
        return wearer

    def _leave(self, wearer) -> None:
        wearer.squeeze = 0.0
        wearer.close()
        self._observer._until(
            "that the operator is gone", lambda: self._observer._seen["operator"]["operator"] == ""
        )

    def _number(self, name: str) -> float | None:
        value = float(self._observer.operator(name))
        return round(value, 1) if math.isfinite(value) else None

    def _rests(self, what: str, since: float) -> float:
        def rests() -> bool:
            moves, at = self._moves[what]
            return not moves and at > since

        with self._changed:
            assert self._changed.wait_for(rests, 10.0), f"{what} goes on moving"
            return round(1e3 * (self._moves[what][1] - since), 1)


def _pairs(text: str):
    return (pair.split(":") for pair in text.split(",") if pair)


if __name__ == "__main__":
    sys.exit(main())
