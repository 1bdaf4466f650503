"""The four stacks for faults: the usual one, with a clock to set, a network to cut, a disk to fill."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from geometry_msgs.msg import TwistStamped

from gr1_common.dds import udp_environment
from gr1_common.qos import COMMAND
from gr1_core.rig import Rig
from gr1_fault_injection import constant_policy, shim
from gr1_fault_injection.stack_under_test import StackError, StackUnderTest

_DISK = "64m"
_MIN_FREE_MB = 20
_SMALL = {"static": (160, 90), "wrist": (160, 120)}
"""Image sizes that fit into one datagram: the network is to be cut on purpose, not by its own losses."""


class Skipped(RuntimeError):
    """This computer cannot run the scene; the text says why."""


class Scene:
    """A running stack and the means to inject faults into it. Close it."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.rig = Rig.load("kinova_gen2")
        self.switch: shim.Switch | None = None
        self.disk: Path | None = None
        self._ended, self._sender = threading.Event(), None
        self._publishers: dict = {}
        self.last_sent = -math.inf
        try:
            self.stack = self._start_stack()
        except BaseException:
            self.close()
            raise

    def _start_stack(self) -> StackUnderTest:
        return StackUnderTest(self.folder, self._settings())

    def _settings(self) -> dict[str, str]:
        """A policy that moves, with an instruction, so that no task sequence resets the table."""
        return {"checkpoint": self._checkpoint(), "instruction": "move away"}

    def _checkpoint(self) -> str:
        constant_policy.save(self.folder / "model", self.rig)
        return str(self.folder / "model")

    def publish_repeatedly(self, topic: str, message: Callable[[], TwistStamped | None], hz: float) -> None:
        """Publishes what message() returns, again and again, until `stop_publishing`."""
        publisher = self._publishers[topic]
        self.last_sent = -math.inf
        self._ended = threading.Event()

        def run(ended: threading.Event) -> None:
            while True:
                if (one := message()) is not None:
                    publisher.publish(one)
                    self.last_sent = time.monotonic()
                if ended.wait(1.0 / hz):
                    return

        self._sender = threading.Thread(target=run, args=(self._ended,), daemon=True)
        self._sender.start()

    def stop_publishing(self) -> None:
        self._ended.set()
        if self._sender:
            self._sender.join()
            self._sender = None

    def close(self) -> None:
        self.stop_publishing()
        if stack := getattr(self, "stack", None):
            stack.close()


class Default(Scene):
    """The stack as `gr1 up` starts it."""

    def _start_stack(self) -> StackUnderTest:
        stack = super()._start_stack()
        node = stack.observer.monitor.node
        self._publishers = {
            source: node.create_publisher(TwistStamped, f"command/{source}/twist", COMMAND)
            for source in ("teleop", "policy")
        }
        return stack


class Clock(Scene):
    """All nodes share a wall clock that can be set. The harness's own clock is true: the stamps are not to
    be compared with it.
    """

    stamps = False

    def _start_stack(self) -> StackUnderTest:
        self.switch = _switch(self.folder)
        return StackUnderTest(
            self.folder,
            self._settings(),
            environments={"": self.switch.environment},
            stamps=self.stamps,
        )


class Sleep(Clock):
    """The nodes' computer can be suspended; its wall clock stays true."""

    stamps = True


class Network(Scene):
    """No shared memory; the policy is connected to the robot by a network that can be cut. Small images."""

    def _start_stack(self) -> StackUnderTest:
        self.switch = _switch(self.folder)
        raw = self.rig.to_dict()
        for role, (width, height) in _SMALL.items():
            raw["cameras"][role] |= {"width": width, "height": height}
        self.rig = Rig.from_dict(raw)
        self.rig.save(self.folder / "rig.yaml")
        udp = udp_environment(self.folder)
        environments = {"": udp, "policy": {**udp, **self.switch.environment}}
        chosen = self._settings() | {"rig": str(self.folder / "rig.yaml")}
        return StackUnderTest(self.folder, chosen, environments=environments)


class Disk(Scene):
    """The policy's episodes are recorded onto a disk of 64 MB."""

    def _start_stack(self) -> StackUnderTest:
        root = self.folder / "bags"
        root.mkdir(exist_ok=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "gr1_faults", root],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            raise Skipped("a small disk can only be mounted by root")
        self.disk = root
        chosen = self._settings() | {"record": "true", "bags": str(root)}
        return StackUnderTest(self.folder, chosen, parameters={"recorder": {"min_free_mb": _MIN_FREE_MB}})

    def fill(self) -> None:
        """Leaves no byte."""
        ballast = os.open(self.disk / "ballast", os.O_CREAT | os.O_WRONLY)
        try:
            # The recorder writes meanwhile, so less may be free than a moment ago: the rest is filled byte
            # by
            # byte.
            with contextlib.suppress(OSError):
                room = os.fstatvfs(ballast)
                os.posix_fallocate(ballast, 0, room.f_bavail * room.f_frsize)
            os.lseek(ballast, 0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while True:
                    os.write(ballast, bytes(1 << 12))
        finally:
            os.close(ballast)

    def empty(self) -> None:
        (self.disk / "ballast").unlink(missing_ok=True)
        with contextlib.suppress(StackError):
            self.stack.call("recorder/discard", patience=1.0)
        for bag in self.disk.iterdir():
            shutil.rmtree(bag, ignore_errors=True)

    def close(self) -> None:
        super().close()
        if self.disk:
            subprocess.run(["umount", "-l", self.disk], capture_output=True, check=False)
            self.disk = None


def _switch(folder: Path) -> shim.Switch:
    try:
        return shim.Switch(shim.build(folder), folder / "switch")
    except shim.ShimError as error:
        raise Skipped(str(error)) from error
