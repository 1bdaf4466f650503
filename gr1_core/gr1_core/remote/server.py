"""One policy for several clients over websockets, each with a history of its own.

The clients' steps are computed one after the other; a step takes a fraction of a control period, so a few
robots share one computer. Everything that concerns safety stays with the client: the server knows no robot.
"""

from __future__ import annotations

import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from gr1_core.policy import Action, History, Observation, Policy
from gr1_core.remote import protocol, transport
from gr1_core.remote.protocol import ProtocolError
from gr1_core.rig import ROLES, RigError

MAX_CLIENTS = 16
_PING_S = 5.0
_INVALID_MESSAGE = 1007


@dataclass(frozen=True)
class Served:
    """What a policy is called: the checkpoint's name, the SHA-256 of its weights, and the JSON records about
    it by file name.
    """

    checkpoint: str
    weights: str = ""
    records: Mapping[str, dict] = field(default_factory=dict)


@dataclass
class _Rollout:
    """One client's side of the policy. history: None while it is the active one, or before its first
    instruction.
    """

    frames: dict[str, np.ndarray]
    history: History | None = None
    action: Action | None = None
    number: int = -1


class PolicyServer:
    """Serves from its construction until `close`. Raises OSError if it cannot listen.

    port 0: a free one, see `port`. tls: None: without TLS, for loopback addresses only. log gets one line for
    each client that comes, goes or is refused, from any thread.
    """

    def __init__(
        self,
        policy: Policy,
        served: Served,
        token: str,
        *,
        host: str = "",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] = lambda line: None,
    ):
        self._policy, self._served, self._token, self._log = policy, served, token.encode(), log
        self._hello = protocol.pack(
            protocol.Hello(
                policy.rig.to_dict(),
                policy.config.to_dict(),
                served.checkpoint,
                served.weights,
                policy.precision,
                dict(served.records),
            )
        )
        self._empty = policy.history()
        self._model = threading.Lock()
        self._active: _Rollout | None = None
        self._clients: set[ServerConnection] = set()
        self._server = serve(
            self._talk,
            sock=_listen(host, port),
            ssl=tls,
            subprotocols=[protocol.SUBPROTOCOL],
            process_request=self._admit,
            compression=None,
            max_size=protocol.largest_request(policy.rig),
            ping_interval=_PING_S,
            ping_timeout=2 * _PING_S,
            server_header=None,
        )
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="policy server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends all connections. May be called again."""
        self._server.shutdown()
        self._thread.join()

    # One client, in a thread of its own

    def _admit(self, connection: ServerConnection, request):
        """An HTTP refusal of the handshake, or None."""
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            self._log(f"{_name(connection)}: refused, wrong token")
            return connection.respond(HTTPStatus.UNAUTHORIZED, "wrong token\n")
        if len(self._clients) >= MAX_CLIENTS:
            self._log(f"{_name(connection)}: refused, {MAX_CLIENTS} clients are connected")
            return connection.respond(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_CLIENTS} clients are connected\n"
            )
        return None

    def _talk(self, connection: ServerConnection) -> None:
        transport.tune(connection.socket, 2 * _PING_S)
        name, rollout = _name(connection), _Rollout(protocol.new_frames(self._policy.rig))
        self._clients.add(connection)
        self._log(f"{name}: connected")
        try:
            connection.send(self._hello)
            while True:
                for request in self._pending_requests(connection):
                    connection.send(protocol.pack(self._answer(rollout, request)))
                    if isinstance(request, protocol.Step) and request.future and rollout.action:
                        frames = self._answer(rollout, protocol.FutureRequest(request.number))
                        connection.send(protocol.pack(frames))
        except ProtocolError as error:
            self._log(f"{name}: refused, {error}")
            connection.close(_INVALID_MESSAGE, str(error)[:120])
        except ConnectionClosed as closed:
            self._log(f"{name}: gone ({closed})")
        finally:
            self._clients.discard(connection)
            with self._model:
                if self._active is rollout:
                    self._active = None

    def _pending_requests(self, connection: ServerConnection) -> list[protocol.Step | protocol.FutureRequest]:
        """Waits for a request and takes all that lie there. A request before a new rollout is void: its
        client has given it up, and does not wait for it.
        """
        requests = [connection.recv()]
        try:
            while True:
                requests.append(connection.recv(timeout=0))
        except TimeoutError:
            pass
        messages = [protocol.unpack(one, protocol.Step, protocol.FutureRequest) for one in requests]
        begins = [i for i, one in enumerate(messages) if getattr(one, "instruction", None) is not None]
        return messages[begins[-1] :] if begins else messages

    def _answer(self, rollout: _Rollout, request) -> protocol.Message:
        try:
            if isinstance(request, protocol.FutureRequest):
                return self._future(rollout, request.number, request.patches)
            return self._step(rollout, request)
        except ProtocolError:
            raise
        except RigError as error:
            return protocol.Refusal(request.number, "rig", str(error))
        except Exception as error:  # whatever fails: this client's arm must stop, and the others go on
            if not isinstance(error, ValueError):
                self._log(f"a step failed: {error!r}")
            return protocol.Refusal(request.number, "policy", str(error) or repr(error))

    def _step(self, rollout: _Rollout, request: protocol.Step) -> protocol.Answer:
        began = time.perf_counter()
        arm = protocol.numbers(request.arm, 6, "arm")
        for role in ROLES:
            camera, data = self._policy.rig.cameras[role], getattr(request, role)
            protocol.decode_view(data, request.encoding, camera, rollout.frames[role])
        rollout.action, rollout.number = None, request.number
        decoded = time.perf_counter()
        with self._model:
            free = time.perf_counter()
            self._activate(rollout)
            if request.instruction is not None:
                self._policy.reset(request.instruction)
            action = self._policy.step(Observation(**rollout.frames, arm=arm, gripper=request.gripper))
        rollout.action = action
        return protocol.Answer(
            request.number,
            [float(value) for value in action.delta],
            action.gripper_logit,
            np.asarray(action.later, np.float64).tobytes(),
            decoded - began,
            free - decoded,
            time.perf_counter() - free,
        )

    def _future(self, rollout: _Rollout, number: int, patches: bool) -> protocol.Message:
        if rollout.action is None or rollout.number != number:
            return protocol.Refusal(number, "policy", f"step {number} is not this client's newest")
        with self._model:
            future = rollout.action.future()
        arrays = [future.static_patches, future.wrist_patches] if patches else []
        return protocol.FutureAnswer(
            number,
            future.static.tobytes(),
            future.wrist.tobytes(),
            *(np.asarray(array, np.float32).tobytes() for array in arrays),
        )

    def _activate(self, rollout: _Rollout) -> None:
        """Puts this client's history into the policy, and takes the last one's out."""
        if self._active is rollout:
            return
        if self._active is not None:
            self._active.history = self._policy.history()
        self._policy.restore(rollout.history or self._empty)
        rollout.history, self._active = None, rollout


def _listen(host: str, port: int) -> socket.socket:
    """host empty: all addresses, IPv4 and IPv6."""
    if host:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _name(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0].removeprefix('::ffff:')}:{address[1]}" if address else "a client"
