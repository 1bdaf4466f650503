"""A stand-in for the arm itself: a TCP server that carries out twists until it is told to stop, as a Gen3
does.

It runs in the test's process, so that a test sees the pose, the log and the switches; the arm node and the
watchdog are clients.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from gr1_core.kinematics import gen3
from gr1_robot.arm.drivers.kinova_gen3.backend import HOME

TOOL = 0.12
"""m from the flange to the arm's own tool point: the vendor's for a Robotiq 2F-85."""
ACCELERATION = 0.64, 2.75
"""m/s2 and rad/s2."""
READY, MANUAL, IN_FAULT = 7, 9, 4
MIXED, TOOL_FRAME, BASE = 1, 2, 3


class Entry(NamedTuple):
    """at: s on the steady clock; connection: its number; what: the method, or "rest" when the arm comes to
    rest; detail: of it.
    """

    at: float
    connection: int
    what: str
    detail: object = None


class StandInArm:
    """`sag`: m that the measured pose hangs below the commanded one.

    Switches: `hung`; `full`; `refusing`, the names of methods; `nowhere`, its poses are NaN.
    """

    def __init__(self, password: str = "admin", joints: int = 7, sag: float = 0.002):
        self.password, self.sag = password, sag
        self.joints = [angle % 360.0 for angle in (*HOME, 0)[:joints]]
        position, quaternion = gen3(TOOL).forward(np.radians(HOME))
        self.position, self.rotation = position, Rotation.from_quat(quaternion)
        self.tool = (0.0, 0.0, TOOL, 0.0, 0.0, 0.0)
        self.wrench = (0.0,) * 6
        self.closure, self.closure_asked, self.finger_speed, self.servoing = 0.0, 0.0, 4.0, 0
        self.fault_bank, self.joint_fault_bank, self.fault_persists = 0, 0, False
        self.state = READY
        self.motors = 1  # of its gripper
        self.full = self.hung = self.nowhere = False
        self.refusing: set[str] = set()
        self.log: list[Entry] = []
        self._twist, self._owner = (BASE, np.zeros(6)), 0
        self._velocity = np.zeros(6)
        self._now = time.monotonic()
        self._changed = threading.Condition(threading.RLock())
        self._peers: dict[int, tuple[socket.socket, dict]] = {}
        self._count, self._ending = 0, threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._start(self._accept)
        self._start(self._watch)

    # What a test does and sees

    def close(self) -> None:
        self._ending.set()
        self.hang_up()
        self.refuse_connections()

    def hang_up(self) -> None:
        """Every connection ends."""
        with self._changed:
            for sock, _ in self._peers.values():
                _shut(sock)

    def refuse_connections(self) -> None:
        _shut(self._server)
        self._server.close()

    def accept_connections(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._start(self._accept)

    def fault(self, base: int = 0, joint: int = 0, persists: bool = False) -> None:
        """The arm stops by itself and refuses to move until its faults are cleared, which does not help if
        the cause persists.
        """
        with self._changed:
            self._advance()
            self.fault_bank, self.joint_fault_bank, self.fault_persists, self.state = (
                base,
                joint,
                persists,
                IN_FAULT,
            )
            self._rest("fault")

    @property
    def moving(self) -> bool:
        """Whether it has a twist to carry out; after that it brakes."""
        with self._changed:
            return bool(self._twist[1].any())

    @property
    def at_rest(self) -> bool:
        """Whether it stands still."""
        return not (self._twist[1].any() or self._velocity.any())

    def pose(self) -> tuple[np.ndarray, Rotation]:
        """The commanded tool point's, now."""
        with self._changed:
            self._advance()
            return self.position.copy(), self.rotation

    def until(self, test, timeout: float = 20.0):
        """Waits until test(self) is true and returns what it gave."""
        with self._changed:
            assert self._changed.wait_for(lambda: test(self), timeout), (
                f"not within {timeout} s; the end of the log: {self.log[-8:]}"
            )
            return test(self)

    def rests(self, after: float) -> Entry:
        """The first time the arm came to rest after that time."""
        return self.until(
            lambda arm: next((entry for entry in arm.log if entry.what == "rest" and entry.at > after), None)
        )

    def calls(self, what: str) -> list[Entry]:
        with self._changed:
            return [entry for entry in self.log if entry.what == what]

    # Motion

    def _advance(self) -> None:
        now = time.monotonic()
        way = self.finger_speed * (now - self._now)
        self.closure += float(np.clip(self.closure_asked - self.closure, -way, way))
        while self._now < now:
            span = min(now - self._now, 0.005)
            self._accelerate(span)
            self.position = self.position + span * self._velocity[:3]
            self.rotation = Rotation.from_rotvec(span * self._velocity[3:]) * self.rotation
            self._now += span
            if not (self._velocity.any() or self._twist[1].any()):
                self._now = now

    def _accelerate(self, span: float) -> None:
        """The velocity, m/s and rad/s in the base frame, follows the twist as fast as the arm can."""
        frame, twist = self._twist
        linear, angular = twist[:3], np.radians(twist[3:])
        if frame == TOOL_FRAME:
            linear = self.rotation.apply(linear)
        if frame != BASE:
            angular = self.rotation.apply(angular)
        for part, wanted, most in zip((slice(0, 3), slice(3, 6)), (linear, angular), ACCELERATION):
            change = wanted - self._velocity[part]
            size = np.linalg.norm(change)
            self._velocity[part] += change * min(most * span / max(size, 1e-12), 1.0)

    def _rest(self, why: str) -> None:
        if self._twist[1].any():
            self._note(self._owner, "rest", why)
        self._twist = (BASE, np.zeros(6))
        if self.state == MANUAL:
            self.state = READY

    def _note(self, connection: int, what: str, detail=None) -> None:
        self.log.append(Entry(time.monotonic(), connection, what, detail))
        self._changed.notify_all()

    def _watch(self) -> None:
        """A session's own motion stops when its connection has been silent for too long."""
        while not self._ending.wait(0.01):
            with self._changed:
                self._advance()
                self._changed.notify_all()
                peer = self._peers.get(self._owner, (None, {"heard": -np.inf, "patience": 2.0}))[1]
                if self._twist[1].any() and time.monotonic() - peer["heard"] > peer["patience"]:
                    self._rest("inactivity")

    # Connections

    def _start(self, work, *arguments) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        server = self._server
        with contextlib.suppress(OSError):
            while True:
                sock, _ = server.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._count += 1
                self._start(self._serve, sock, self._count)

    def _serve(self, sock: socket.socket, number: int) -> None:
        from kortex_api import wire

        peer = {"heard": time.monotonic(), "patience": 2.0, "session": False}
        with self._changed:
            self._peers[number] = sock, peer
        with contextlib.suppress(OSError):
            while True:
                header, payload = wire.read(sock)
                if self.hung:
                    continue
                with self._changed:
                    peer["heard"] = time.monotonic()
                    try:
                        answer, error = self._answer(header["method"], payload, number, peer), ""
                    except Refusal as refusal:
                        answer, error = b"", str(refusal)
                wire.write(sock, {"id": header["id"], "error": error}, answer)
        with self._changed:
            # The owner of a motion is remembered: its silence stops the arm, not the end of its connection.
            if number != self._owner:
                self._peers.pop(number)
            self._note(number, "hung up")
        sock.close()

    def _answer(self, method: str, payload: bytes, number: int, peer: dict) -> bytes:
        from kortex_api.schema import METHODS, message

        service, _, name = method.partition(".")
        kind, answer = METHODS[service][name]
        request = message(kind).FromString(payload) if kind else None
        if not peer["session"] and name != "CreateSession":
            raise Refusal("INVALID_USER_SESSION_ACCESS")
        if name in self.refusing:
            raise Refusal("METHOD_FAILED")
        self._advance()
        reply = message(answer)()
        if name not in ("RefreshFeedback", "GetArmState"):
            self._note(number, name, request)
        getattr(self, f"_on_{name}", lambda *_: None)(request, reply, number, peer)
        return reply.SerializeToString()

    def _on_CreateSession(self, request, reply, number, peer) -> None:
        if self.full:
            raise Refusal("MAXIMUM_NUMBER_OF_SESSIONS_REACHED")
        if (request.username, request.password) != ("admin", self.password):
            raise Refusal("INVALID_CREDENTIALS")
        peer["session"], peer["patience"] = True, request.connection_inactivity_timeout / 1e3

    def _on_CloseSession(self, request, reply, number, peer) -> None:
        peer["session"] = False

    def _on_SetServoingMode(self, request, reply, number, peer) -> None:
        self.servoing = request.servoing_mode

    def _on_SendTwistCommand(self, request, reply, number, peer) -> None:
        if self.state == IN_FAULT or self.servoing != 2:
            raise Refusal("ROBOT_IN_FAULT" if self.state == IN_FAULT else "WRONG_SERVOING_MODE")
        twist = request.twist
        values = [getattr(twist, f"{part}_{axis}") for part in ("linear", "angular") for axis in "xyz"]
        if any(values):
            self._twist, self._owner, self.state = (request.reference_frame, np.array(values)), number, MANUAL
        else:
            self._rest("twist")

    def _on_Stop(self, request, reply, number, peer) -> None:
        self._rest("Stop")

    def _on_ClearFaults(self, request, reply, number, peer) -> None:
        if not self.fault_persists:
            self.fault_bank = self.joint_fault_bank = 0
            self.state = READY

    def _on_SendGripperCommand(self, request, reply, number, peer) -> None:
        if request.mode != 3:
            raise Refusal("UNSUPPORTED_ACTION")
        self.closure_asked = request.gripper.finger[0].value

    def _on_GetActuatorCount(self, request, reply, number, peer) -> None:
        reply.count = len(self.joints)

    def _on_GetArmState(self, request, reply, number, peer) -> None:
        reply.active_state = self.state

    def _on_GetFirmwareBundleVersions(self, request, reply, number, peer) -> None:
        reply.main_bundle_version = "2.5.2"

    def _on_GetSerialNumber(self, request, reply, number, peer) -> None:
        reply.serial_number = "STANDIN-7\0"

    def _on_GetToolConfiguration(self, request, reply, number, peer) -> None:
        for name, value in zip(("x", "y", "z", "theta_x", "theta_y", "theta_z"), self.tool):
            setattr(reply.tool_transform, name, value)

    def _on_RefreshFeedback(self, request, reply, number, peer) -> None:
        base = reply.base
        base.active_state, base.fault_bank_a = self.state, self.fault_bank
        angles = np.full(3, np.nan) if self.nowhere else self.rotation.as_euler("xyz", degrees=True)
        for name, drop in (("tool_pose", self.sag), ("commanded_tool_pose", 0.0)):
            for axis, place, angle in zip("xyz", self.position - (0.0, 0.0, drop), angles):
                setattr(base, f"{name}_{axis}", place)
                setattr(base, f"{name}_theta_{axis}", angle)
        for axis, force, torque in zip("xyz", self.wrench[:3], self.wrench[3:]):
            setattr(base, f"tool_external_wrench_force_{axis}", force)
            setattr(base, f"tool_external_wrench_torque_{axis}", torque)
        for angle in self.joints:
            actuator = reply.actuators.add()
            actuator.position, actuator.velocity, actuator.fault_bank_a = angle, 1.0, self.joint_fault_bank
        for _ in range(self.motors):
            reply.interconnect.gripper_feedback.motor.add().position = 100.0 * self.closure


class Refusal(Exception):
    """The arm's answer to a call that it will not carry out."""


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
