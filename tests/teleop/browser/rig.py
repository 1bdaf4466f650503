"""A rig without a robot, for the tests of the pages.

It has the real server, link and clutch, an arm that follows each command at once, a recorder that writes
small bags, and moving camera images. It prints the messages of the operator's page. It reads and writes one
JSON document a line.

stdout: {"url", "view_url"} once; then {"connected": kind, "device"}, {"received": message}, {"gone": reason},
    {"instruction": text}, {"confirmed": true}, {"verdict": text}, {"clutch": state, "hand"} at each change,
    {"moved": [x, y, z] in m} after each command that is not zero.
stdin: {"status": {...}} changes `RobotView.status`; {"link": {...}} changes the link's state; {"loses": text}
    changes what conversion would leave out; {"pulse": {...}} sends a haptic pulse; {"images": false} removes
    the cameras; {"restart": true} restarts the server on its port.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from gr1_core import images
from gr1_core.data import metadata
from gr1_core.pose import Pose
from gr1_core.rig import Rig
from gr1_teleop.clutch import Clutch
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.operator_link import OperatorLink
from gr1_teleop.page_clock import PageClock
from gr1_teleop.server import Server
from gr1_teleop.task_list import Task, TaskList
from tests.data.bag_fixture import Recording

TOKEN = "a-token-for-the-browser-tests"
DEMO_GIF = Path(__file__).parents[3] / "docs/images/demo.gif"
VIEWS = {"static": (0, 0, 432, 323), "wrist": (432, 180, 576, 324)}
RIG = Rig.load("kinova_gen2")
SETTINGS = ClutchSettings(timeout_s=1.0, max_sample_age_s=1.0)
"""Chromium that renders on a busy processor sends few samples."""
IDLE = 5
"""Number of the earlier episode whose arm rests at the beginning."""

_writing = threading.Lock()


def emit(**document) -> None:
    with _writing:
        print(json.dumps(document), flush=True)


class PrintingLink(OperatorLink):
    """The link of the node, which prints what it gets. `overrides` replace parts of its state."""

    def __init__(self):
        super().__init__(Clutch(SETTINGS, RIG.limits, RIG.period), PageClock())
        self.overrides, self._extra = {}, []

    def connect(self, kind: str, device: str, session: str = "") -> object:
        key = super().connect(kind, device, session)
        emit(connected=kind, device=device)
        return key

    def receive(self, key, text: str, now: float) -> list[dict]:
        if self.is_operator(key):
            emit(received=json.loads(text))
        return super().receive(key, text, now)

    def disconnect(self, key, why: str) -> None:
        present = self.is_operator(key)
        super().disconnect(key, why)
        if present:
            emit(gone=why)

    def pulse(self, pulse: dict) -> None:
        self._extra.append(pulse)

    def state(self) -> dict:
        state = super().state()
        extra, self._extra = self._extra, []
        return state | {"haptics": [*state["haptics"], *extra]} | self.overrides


class Arm(threading.Thread):
    """Computes a command each control period, as the node does; its pose follows at once."""

    def __init__(self, link: OperatorLink):
        super().__init__(daemon=True)
        self._link, self._pose = link, Pose(np.array([0.4, 0.0, 0.2]), np.array([1.0, 0.0, 0.0, 0.0]))

    def run(self) -> None:
        shown, due = {}, time.monotonic()
        while True:
            command = self._link.compute_command(self._pose, time.monotonic())
            if command is not None and command.linear.any():
                self._pose = Pose(self._pose.position + RIG.period * command.linear, self._pose.quaternion)
                emit(moved=self._pose.position.tolist())
            state = {name: self._link.figures()[name] for name in ("clutch", "hand")}
            if state != shown:
                emit(**state)
                shown = state
            due = max(due + RIG.period, time.monotonic())
            time.sleep(due - time.monotonic() if due > time.monotonic() else 0.0)


class FakeRecorder:
    """Records and labels episodes like the recorder; a bag holds a small motion at 10 Hz."""

    def __init__(self, folder: Path, video: dict[str, list[np.ndarray]]):
        self.folder, self.video, self.instruction = Path(folder), video, ""
        self.loses = ""
        self.state, self.began, self._number = {"state": "idle", "bag": "", "outcome": ""}, 0.0, 0

    def start(self) -> str:
        if self.state["state"] == "recording":
            raise ValueError("an episode is being recorded already: end it first")
        if not self.instruction:
            raise ValueError(
                "no instruction: publish one on the topic `instruction`, or type one at the workstation"
            )
        self._number += 1
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{self._number}-{self.instruction.replace(' ', '_')[:40]}"
        self.state, self.began = {"state": "recording", "bag": name, "outcome": ""}, time.monotonic()
        return name

    def success(self) -> str:
        return self._end("success")

    def failure(self) -> str:
        return self._end("failure")

    def discard(self) -> str:
        return self._end("discarded")

    def relabel(self, instruction: str) -> str:
        if not self.state["bag"] or self.state["state"] == "recording":
            raise ValueError("there is no finished episode to relabel")
        metadata.change_labels(self.folder / self.state["bag"], {"instruction": instruction})
        emit(relabelled=instruction)
        return self.state["bag"]

    def loss(self) -> str:
        return self.loses if self.state["state"] == "recording" else ""

    def publish_instruction(self, instruction: str) -> None:
        self.instruction = instruction
        emit(instruction=instruction)

    def recorder_state(self) -> dict:
        seconds = time.monotonic() - self.began if self.state["state"] == "recording" else 0.0
        return self.state | {"seconds": seconds, "loss": self.loss()}

    def _end(self, outcome: str) -> str:
        if self.state["state"] != "recording":
            raise ValueError("no episode is being recorded")
        self.write(self.state["bag"], self.instruction, outcome, self._number * 37)
        self.state = {"state": "idle", "bag": self.state["bag"], "outcome": outcome}
        return self.state["bag"]

    def write(
        self,
        name: str,
        instruction: str,
        outcome: str,
        frame: int,
        seconds: int = 12,
        started: str = "",
        idle: int = 0,
    ) -> None:
        """idle: seconds at the beginning without motion."""
        recording, steps = Recording(), 10 * seconds
        moving = np.clip((np.arange(steps + 1) - 10 * idle) / (steps - 10 * idle), 0.0, 1.0)
        for number, share in enumerate(moving):
            at_ms = 100 * number
            for role, frames in self.video.items():
                recording.frame(at_ms, role, frames[(frame + number) % len(frames)], "jpeg")
            place = (0.4 + 0.2 * share, 0.02 * (frame % 7) + 0.05 * np.sin(6 * share), 0.2 + 0.1 * share)
            closure = float(share > 0.6)
            for later in (0, 30, 60):
                recording.arm(at_ms + later, place, closure=closure)
            if number < steps:
                speed = 10.0 * (moving[number + 1] - share)
                recording.twist(at_ms + 5, (0.2 * speed, 0.3 * speed * np.cos(6 * share), 0.1 * speed))
                recording.grip(at_ms + 6, closure)
        labels = {"started": started or datetime.now(UTC).isoformat(timespec="seconds")}
        recording.save(self.folder / name, instruction=instruction, outcome=outcome, **labels)


class FakeRobotView:
    """The server's view of the robot."""

    def __init__(self, recorder: FakeRecorder, video: dict[str, list[np.ndarray]], link: OperatorLink):
        self._link = link
        self._recorder, self.changes, self.cameras = recorder, {}, True
        self._video = {
            role: [images.encode_jpeg(frame, 85) for frame in frames[::3]] for role, frames in video.items()
        }

    def camera_images(self) -> dict[str, bytes]:
        if not self.cameras:
            return {}
        number = int(time.monotonic() * 10)
        shown = {role: frames[number % len(frames)] for role, frames in self._video.items()}
        if self.changes.get("policy"):
            shown |= {
                f"predicted_{role}": frames[(number + 2) % len(frames)]
                for role, frames in self._video.items()
            }
        still = self._video["static"][0]
        if (self.changes.get("policy") or {}).get("call"):
            shown |= {"call": still}
        if (self.changes.get("evaluation") or {}).get("overlay"):
            shown |= {"start_scene": still}
        return shown

    def confirm_call(self) -> tuple[bool, str]:
        emit(confirmed=True)
        return True, "the policy goes on at full speed"

    def judge(self, verdict: str) -> tuple[bool, str]:
        emit(verdict=verdict)
        return True, f"noted: {verdict}"

    def want_predicted(self) -> None:
        pass

    def status(self) -> dict:
        rates = {
            "camera/static/image_raw/compressed": 30,
            "camera/wrist/image_raw/compressed": 30,
            "arm/pose": 100,
            "arm/gripper": 100,
        }
        topics = [
            {"topic": topic, "hz": hz - 0.3, "expected_hz": hz, "age_s": 0.02, "problem": ""}
            for topic, hz in rates.items()
        ]
        known = {
            "gate": {"state": "moving", "reason": "", "source": "teleop"}
            if self._link.figures()["clutch"] == "engaged"
            else {"state": "holding", "reason": "no_command", "source": ""},
            "recorder": self._recorder.recorder_state(),
            "topics": topics,
        }
        return known | {"instruction": self._recorder.instruction, "warnings": []} | self.changes


def video() -> dict[str, list[np.ndarray]]:
    """Both cameras' views from docs/images/demo.gif: [H, W, 3] RGB."""
    with Image.open(DEMO_GIF) as source:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(source)][::3]
    return {role: [np.asarray(frame.crop(box)) for frame in frames] for role, box in VIEWS.items()}


def main(past: int, tasks: str) -> None:
    """past: number of bags that exist at the start. tasks: JSON of [[instruction, episodes]], or ""."""
    views, link = video(), PrintingLink()
    Arm(link).start()
    with tempfile.TemporaryDirectory() as folder:
        recorder = FakeRecorder(Path(folder), views)
        eggplant, drawer = "put the eggplant on the plate", "open the drawer"
        blocks = "stack the red block on the blue block and push both to the left"
        earlier = [
            (eggplant, "success"),
            (drawer, "success"),
            (drawer, "discarded"),
            (eggplant, "failure"),
            (blocks, "success"),
        ]
        for number in range(past):
            instruction, outcome = earlier[number % len(earlier)]
            started = f"2026-05-04T09:{10 + 3 * number:02d}:00+00:00"
            recorder.write(
                f"20260504-09{10 + 3 * number:02d}00-{number}",
                instruction,
                outcome,
                11 * number,
                9 + number,
                started,
                idle=6 if number == IDLE else 0,
            )
        view, port = FakeRobotView(recorder, views, link), 0
        listed = TaskList(tuple(Task(*entry) for entry in json.loads(tasks))) if tasks else None
        episodes = EpisodeControl(recorder, folder, tasks=listed)
        episodes.begin("")

        def serve() -> Server:
            new = Server(link, episodes, view, host="127.0.0.1", port=port, token=TOKEN)
            new.start()
            return new

        server = serve()
        port = int(server.url.split(":")[2].split("/")[0])
        emit(url=server.url, view_url=server.view_url)
        for line in sys.stdin:
            order = json.loads(line)
            view.changes = order.get("status", view.changes)
            view.cameras = order.get("images", view.cameras)
            link.overrides = order.get("link", link.overrides)
            recorder.loses = order.get("loses", recorder.loses)
            if "pulse" in order:
                link.pulse(order["pulse"])
            if "instruction" in order:
                recorder.instruction = order["instruction"]
            if "restart" in order:
                server.close()
                server = serve()
                emit(restarted=True)
        server.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2] if len(sys.argv) > 2 else "")
