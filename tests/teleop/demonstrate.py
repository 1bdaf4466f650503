"""A scripted operator demonstrates a task through the whole stack, from hand to bag.

    python -m tests.teleop.demonstrate [--hand browser|socket] [--task TASK]
        [--episodes 10] [--seed 7000] --bags BAGS

Starts `gr1 up --driver teleop --record` with the simulated rig. The last line is one JSON document.
browser: an emulated Quest 3 in headless Chromium. socket: messages over the page's websocket.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

TIMEOUT_S, START_S, PRESSES, GRIPS = 60.0, 180.0, 6, 20


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.teleop.demonstrate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--hand", choices=("browser", "socket"), default="browser")
    parser.add_argument("--task", default="put_eggplant_on_plate")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument(
        "--rig",
        default="kinova_gen2_small",
        help="cameras that a computer without a graphics card draws in time",
    )
    parser.add_argument("--bags", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="folder for the stack's logs (default: a temporary one)")
    options = parser.parse_args()
    # Both before the first import of rclpy.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    from tests.teleop.stack_observer import StackObserver

    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(options.bags, options.out or Path(folder), options.task, options.seed, options.rig) as stack,
    ):
        observer = StackObserver()
        hand = (BrowserHand if options.hand == "browser" else SocketHand)(
            stack.url, stack.certificate, observer
        )
        try:
            won = [
                demonstrate(observer, hand, options.task, options.seed + number)
                for number in range(options.episodes)
            ]
        finally:
            hand.close()
            observer.close()
    document = {
        "hand": options.hand,
        "task": options.task,
        "seed": options.seed,
        "episodes": len(won),
        "successes": sum(won),
    }
    print(
        json.dumps(
            document | {"seeds_failed": [options.seed + number for number, one in enumerate(won) if not one]}
        )
    )
    return 0


def demonstrate(observer, hand, task: str, seed: int) -> bool:
    """Records one episode: A, grip, the task, release, A twice (B twice after a failure)."""
    from gr1_core.rig import Rig
    from tests.teleop.scripted_hand import ScriptedHand

    instruction = observer.scene(seed)["instruction"]
    bag = begin(observer, hand)
    grip = hand.grip()
    engage(observer, hand, grip, 0.0)
    began, held, scripted, lost = (
        time.monotonic(),
        0,
        ScriptedHand(task, Rig.load("kinova_gen2"), grip, observer.pose()),
        0,
    )
    place, closure = grip, 0.0
    while held < 25 and time.monotonic() - began < TIMEOUT_S:
        time.sleep(0.02)
        now = time.monotonic()
        if observer.operator("clutch") != "engaged":
            # As a person does: opens the hand and grips again.
            lost += 1
            engage(observer, hand, place, closure)
            scripted = ScriptedHand(task, Rig.load("kinova_gen2"), place, observer.pose())
            continue
        scripted.look(observer.state(), now)
        place, closure = scripted.hand(observer.pose(), now)
        hand.hold(place, 1.0, closure)
        held = held + 1 if observer.success() else 0
    success = held >= 25
    hand.hold(place, 0.0, closure)
    observer.clutch("open")
    for _ in range(2):
        hand.tap("a-button" if success else "b-button")
    observer.recording("idle", "success" if success else "discarded")
    word, seconds = "success" if success else "failure", time.monotonic() - began
    print(
        f"{bag}: {instruction}, seed {seed}: {word} after {seconds:.1f} s, gripped {1 + lost} times",
        flush=True,
    )
    return success


def engage(observer, hand, place, closure: float) -> None:
    """Opens the hand and squeezes until the arm follows: on an overloaded computer late frames open the
    clutch."""
    from tests.teleop.stack_observer import NotSeen

    for _ in range(GRIPS):
        hand.hold(place, 0.0, closure)
        observer.clutch("open")
        hand.hold(place, 1.0, closure)
        with contextlib.suppress(NotSeen):
            return observer.clutch("engaged", within=2.0)
    raise NotSeen(f"the clutch did not engage in {GRIPS} tries")


def begin(observer, hand) -> str:
    """Presses A until recording has started: on an overloaded computer late images make the recorder refuse.

    Returns the bag's name.
    """
    from tests.teleop.stack_observer import NotSeen

    for _ in range(PRESSES):
        hand.tap("a-button")
        with contextlib.suppress(NotSeen):
            return observer.recording("recording", within=10.0)["bag"]
    raise NotSeen(f"the recorder refused to start {PRESSES} times")


class Stack:
    """`gr1 up --driver teleop --record` with the simulated rig."""

    def __init__(self, bags: Path, out: Path, task: str, seed: int, rig: str):
        self._home = tempfile.TemporaryDirectory()
        self.certificate = Path(self._home.name) / "gr1/teleop/server.pem"
        environment = os.environ | {"XDG_DATA_HOME": self._home.name, "PYTHONUNBUFFERED": "1"}
        options = {
            "driver": "teleop",
            "port": 0,
            "bags": bags,
            "out": out,
            "task": task,
            "seed": seed,
            "rig": rig,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        gr1 = Path(sys.executable).with_name("gr1")
        command = [str(gr1), "up", "--record", "--no-video", *words]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.said, self._spoke = "", threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Stack:
        def up() -> bool:
            return "all nodes are up" in self.said and "token=" in self.said

        with self._spoke:
            self._spoke.wait_for(lambda: up() or self._process.poll() is not None, START_S)
        if not up():
            self.__exit__()
            raise RuntimeError(f"the stack did not come up:\n{self.said}")
        self.url = re.search(r"https://\S+/\?token=\S+", self.said)[0]
        return self

    def __exit__(self, *_) -> None:
        self._process.send_signal(signal.SIGINT)
        self.code = self._process.wait(60)
        self._reader.join()
        self._home.cleanup()

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._spoke:
                self.said += line
                self._spoke.notify_all()


class SocketHand:
    """The page's websocket, without a page. Maps buttons to actions as the page does."""

    def __init__(self, url: str, certificate: Path, observer):
        from tests.teleop.headset_client import HeadsetClient, client

        self._headset, self._observer = HeadsetClient(client(url, certificate)), observer

    def grip(self):
        from gr1_core.pose import Pose

        return Pose(np.array(self._headset.position), np.array(self._headset.orientation))

    def hold(self, grip, squeeze: float, trigger: float) -> None:
        headset = self._headset
        headset.position, headset.orientation = grip.position.tolist(), grip.quaternion.tolist()
        headset.squeeze, headset.trigger = squeeze, trigger

    def tap(self, button: str) -> None:
        running = self._observer.recorder()["state"] == "recording"
        self._headset.press({"a-button": "success" if running else "start", "b-button": "discard"}[button])

    def close(self) -> None:
        self._headset.close()


class BrowserHand:
    """hand.mjs: the real page in Chromium, with an emulated Quest 3."""

    def __init__(self, url: str, certificate: Path, observer):
        here = Path(__file__).with_name("browser")

        self._process = subprocess.Popen(
            ["node", "hand.mjs", url], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._place = json.loads(self._hear("grip"))["grip"]

    def grip(self):
        from gr1_core.pose import Pose

        return Pose(np.array(self._place["position"]), np.array(self._place["orientation"]))

    def hold(self, grip, squeeze: float, trigger: float) -> None:
        self._place = {"position": grip.position.tolist(), "orientation": grip.quaternion.tolist()}
        self._say(self._place | {"squeeze": squeeze, "trigger": trigger})

    def tap(self, button: str) -> None:
        self._order({"tap": button})

    def relabel(self, instruction: str) -> None:
        """On the workstation page."""
        self._order({"relabel": instruction})

    def screenshot(self, path: Path) -> None:
        self._order({"screenshot": str(path)})

    def close(self) -> None:
        self._process.stdin.close()
        rest = self._process.stdout.read()
        self._process.wait(60)
        assert "problems" not in rest, rest

    def _order(self, order: dict) -> None:
        self._say(order)
        self._hear("done")

    def _say(self, order: dict) -> None:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _hear(self, what: str) -> str:
        line = self._process.stdout.readline()
        assert what in line, f"the browser's hand has ended: {line or 'its error is above'}"
        return line


if __name__ == "__main__":
    sys.exit(main())
