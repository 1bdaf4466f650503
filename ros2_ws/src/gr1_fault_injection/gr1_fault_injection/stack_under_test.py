"""The simulated stack as processes: nodes, parameters and services by name, to be broken one by one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from gr1_bringup import processes, stack
from gr1_common import stop_socket
from gr1_fault_injection.observer import Observer

UP_S = 120.0
MOTION = "motion process"
"""The name of the arm node's motion process, beside those of the nodes."""
_REST = re.compile(r"has ended without a farewell; no motion commanded after (\d+) ms")
_ANSWER_S = 2.0
_SERVICES = ("arm/reset", "arm/stop", "sim/reset", "recorder/start", "recorder/discard")


class StackError(RuntimeError):
    """The stack under test cannot be brought up, or does not answer."""


class StackUnderTest:
    """A running stack with a policy that moves. parameters: node name -> parameters on top of the usual.

    environments: node name -> variables that only this node gets; "" for all nodes.
    """

    def __init__(
        self,
        folder: Path,
        chosen: dict,
        parameters: Mapping = {},
        environments: Mapping = {},
        stamps: bool = True,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        base = processes.environment(folder) | environments.get("", {})
        nodes = stack.nodes(stack.settings(**chosen))
        self.nodes = {
            node.name: dataclasses.replace(
                node, parameters={**node.parameters, **parameters.get(node.name, {})}
            )
            for node in nodes
        }
        quiet = dict(echo=lambda _: None)
        self._of = {
            name: processes.Processes(folder, base | environments.get(name, {}), **quiet)
            for name in self.nodes
        }
        self.folder, self._stopped = folder, set()
        for name, value in processes.environment(folder).items():
            os.environ.setdefault(name, value)
        self.observer = Observer("gr1_faults", stamps)
        node = self.observer.monitor.node
        self._set = {name: node.create_client(SetParameters, f"{name}/set_parameters") for name in self.nodes}
        self._get = {name: node.create_client(GetParameters, f"{name}/get_parameters") for name in self.nodes}
        self._services = {name: node.create_client(Trigger, name) for name in _SERVICES}
        self.observer.monitor.start()
        for name in self.nodes:
            self.start(name)

    # Processes

    def start(self, name: str, **parameters) -> None:
        """Starts this node (again), with further parameters."""
        node = self.nodes[name]
        self._of[name].start([dataclasses.replace(node, parameters={**node.parameters, **parameters})])

    def process(self, name: str) -> processes.Process:
        return self._of[name].all[-1]

    def kill(self, name: str) -> None:
        """SIGKILL. name: a node's, or MOTION."""
        self._signal(name, signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self._stopped.add(name)
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._signal(name, signal.SIGCONT)
        self._stopped.discard(name)

    def _signal(self, name: str, number: int) -> None:
        if name != MOTION:
            return self.process(name).signal(number)
        node = self.process("arm").pid
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            children = Path(f"/proc/{node}/task/{node}/children").read_text().split()
            for child in children:
                os.kill(int(child), number)

    def stop_without_ros(self) -> None:
        """The emergency stop by the stop socket. Raises StackError."""
        [answer] = stop_socket.stop([stop_socket.socket_file("arm")]) or [None]
        if answer is None or not answer.stopped:
            raise StackError(f"the stop socket does not stop the arm: {answer}")

    def rest_in_log(self) -> float | None:
        """ms that a motion process whose node was killed needed to command no motion; None: not yet."""
        found = _REST.search(self.process("arm").log.read_text())
        return float(found[1]) if found else None

    def dead(self) -> list[str]:
        """Nodes that have ended."""
        return [name for name in self.nodes if self.process(name).exit_code is not None]

    def close(self) -> None:
        for name in list(self._stopped):
            self.thaw(name)
        running = [self._of[name] for name in self.nodes if name in self._of]
        threads = [threading.Thread(target=one.stop) for one in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.observer.monitor.close()

    # Services and parameters

    def up(self) -> None:
        """Waits until the arm moves for the first time. Raises StackError with what is missing."""
        until = time.monotonic() + UP_S
        while not self.moving(1.0):
            if dead := self.dead():
                process = self.process(dead[0])
                raise StackError(
                    f"{process.how_it_ended()}: {' / '.join(process.last_lines()[-3:]) or process.log}"
                )
            if time.monotonic() > until:
                raise StackError(
                    f"the arm does not move {UP_S:.0f} s after the start; "
                    f"{self.state()}; logs in {self.folder}"
                )
            with contextlib.suppress(StackError):
                self.reset()
                self.home()

    def moving(self, timeout: float, speed: float = 0.0) -> bool:
        """Whether the arm is commanded to move faster than `speed` within `timeout` seconds; looks at new
        messages only.
        """
        asked = time.monotonic()
        return bool(
            self.observer.wait(
                lambda: any(
                    one.at > asked and one.linear > speed for one in reversed(self.observer.speeds())
                ),
                timeout,
            )
        )

    def home(self) -> None:
        """A fresh table, the arm at home: sim/reset."""
        self.call("sim/reset")

    def reset(self) -> None:
        """A person releases the latch: arm/reset."""
        self.call("arm/reset")

    def call(self, service: str, patience: float = 15.0) -> str:
        """Calls a Trigger service, again where an answer is lost on the way to a node that was just started.
        Raises StackError.
        """
        return self._ask(
            self._services[service],
            Trigger.Request(),
            patience,
            lambda answer: (answer.success, answer.message),
        )

    def set(self, name: str, **parameters) -> None:
        """Live parameters; '__' in a name stands for a dot. Raises StackError."""
        values = [
            Parameter(key.replace("__", "."), value=value).to_parameter_msg()
            for key, value in parameters.items()
        ]
        request = SetParameters.Request(parameters=values)

        def read(response) -> tuple[bool, str]:
            reasons = "; ".join(one.reason for one in response.results)
            return all(one.successful for one in response.results), reasons

        self._ask(self._set[name], request, 15.0, read)

    def has(self, name: str, parameter: str) -> bool:
        """Whether the node has declared this parameter."""
        found = []
        self._ask(
            self._get[name],
            GetParameters.Request(names=[parameter]),
            15.0,
            lambda answer: found.append(answer.values) or (True, ""),
        )
        return bool(found[0]) and found[0][0].type != 0

    def gate(self) -> tuple[str, str]:
        """The gate's state and its reason, from /diagnostics."""
        status = self.observer.monitor.snapshot().statuses.get("arm: gate")
        return (status.values.get("state", ""), status.values.get("reason", "")) if status else ("", "")

    def state(self) -> str:
        """All that is not OK on /diagnostics, in one line."""
        statuses = self.observer.monitor.snapshot().statuses
        return (
            "; ".join(
                f"{name}: {status.message}"
                for name, status in sorted(statuses.items())
                if status.level != "OK"
            )
            or "all is well"
        )

    def _ask(self, client, request, patience: float, read) -> str:
        until, why = time.monotonic() + patience, "it does not answer"
        while time.monotonic() < until:
            if not client.wait_for_service(min(_ANSWER_S, patience)):
                continue
            done = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, done=done: done.set())
            if done.wait(_ANSWER_S):
                good, why = read(future.result())
                if good:
                    return why
                time.sleep(0.1)
            else:
                client.remove_pending_request(future)
        raise StackError(f"{client.srv_name}: {why}")
