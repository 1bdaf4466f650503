"""A policy on another machine, with the interface of `Policy`.

The client keeps one connection and renews it when it is lost. A step waits for its answer for a limited time
only; an answer that comes later belongs to no step any more and is dropped. Nothing is asked for twice: an
observation that got no answer is old by then.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

import numpy as np
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from gr1_core.images import JPEG_QUALITY
from gr1_core.model.config import ConfigError, GR1Config
from gr1_core.policy import Action, Future, Observation, PolicyError
from gr1_core.remote import protocol, transport
from gr1_core.remote.access import Access
from gr1_core.remote.latency import Latency
from gr1_core.remote.protocol import ProtocolError
from gr1_core.rig import ROLES, Rig, RigError

_PING_S, _DEAD_S = 1.0, 3.0
_OPEN_S = 5.0
_RETRY_S = (0.1, 0.2, 0.5, 1.0)
_COPY_AGAIN = "copy the access file that `gr1 serve` names from the server's computer again"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class RemoteError(ValueError):
    """A server that cannot be used; the text names it and the remedy."""


class LateAnswer(PolicyError, TimeoutError):
    """No answer in time. The action that would have come is not carried out."""


class RemotePolicy:
    """Use `reset`, `step` and futures from one thread at a time. Raises RemoteError if the server cannot be
    used.

    url: wss://host:port, or ws://host:port of a loopback address. quality: of the JPEG images; 0: raw pixels,
    whose actions equal the server's own bit for bit. timeout: s that a step waits for its answer. patches:
    futures hold the decoder's raw output, too; else those arrays are empty.
    log gets a line when the connection is lost or back, from another thread.
    """

    def __init__(
        self,
        url: str,
        access: Access,
        *,
        quality: int = JPEG_QUALITY,
        timeout: float = 0.25,
        patches: bool = False,
        log: Callable[[str], None] = lambda line: None,
    ):
        self.url, self._access, self._tls = url, access, _tls(url, access)
        self._quality, self._timeout, self._patches, self._log = quality, timeout, patches, log
        self.latency = Latency()
        self.on_lost: Callable[[str], None] = lambda reason: None
        """Called from another thread as soon as the connection is lost."""
        self._changed = threading.Condition()
        self._connection: ClientConnection | None = None
        self._why = "not connected yet"
        self._outbox: bytes | None = None
        self._answers: dict[tuple[type, int], protocol.Message] = {}
        self._awaited: int = -1
        self._number = 0
        self._instruction: str | list[int] | None = None
        self._begins, self._wants_future = True, False
        self._ended = threading.Event()
        connection, self.hello = self._open()
        try:
            self.rig = Rig.from_dict(self.hello.rig, url)
            self.config = GR1Config.from_dict(self.hello.config, url)
        except (RigError, ConfigError) as error:
            connection.close()
            raise RemoteError(f"{error}: server and client are of different versions") from None
        self._thread = threading.Thread(
            target=self._keep_connected, args=(connection,), name="policy client", daemon=True
        )
        self._thread.start()
        self._await_connection()

    @property
    def precision(self) -> str:
        """The arithmetic on the server."""
        return self.hello.precision

    @property
    def connection_error(self) -> str:
        """Why there is no connection now; empty while there is one."""
        with self._changed:
            return "" if self._connection else self._why

    def close(self) -> None:
        """Ends the connection. May be called again."""
        self._ended.set()
        with self._changed:
            connection = self._connection
            self._changed.notify_all()
        if connection:
            connection.close()
        self._thread.join()

    def reset(self, instruction: str | Sequence[int]) -> None:
        """Starts a rollout with an empty history; it reaches the server with the next step, whose exception
        says if the instruction cannot be used.
        """
        self._instruction = instruction if isinstance(instruction, str) else [int(one) for one in instruction]
        self._begins = True

    def warm_up(self) -> None:
        """Nothing: the server has warmed up."""

    def step(self, observation: Observation) -> Action:
        """As `Policy.step`. Raises LateAnswer if the answer takes longer than `timeout`, and PolicyError
        without a connection. After both the history is lost: the next step begins a new rollout.
        """
        if self._instruction is None:
            raise PolicyError("no instruction yet: call reset(instruction) before step()")
        began = time.perf_counter()
        encoding = protocol.JPEG if self._quality else protocol.RAW
        views = {
            role: protocol.encode_view(getattr(observation, role), self.rig.cameras[role], self._quality)
            for role in ROLES
        }
        self._number += 1
        number, future = self._number, self._wants_future and self.config.predicts_frames
        request = protocol.Step(
            number,
            encoding,
            **views,
            arm=np.asarray(observation.arm, np.float64).ravel().tolist(),
            gripper=float(observation.gripper),
            instruction=self._instruction if self._begins else None,
            future=future,
        )
        data = protocol.pack(request)
        encoded = time.perf_counter()
        try:
            answer = self._ask(data, protocol.Answer, number, self._timeout - (encoded - began))
        except LateAnswer:
            self._begins = True
            self.latency.add_late()
            raise
        done = time.perf_counter()
        self._begins, self._wants_future = False, False
        on_server = answer.decode_s + answer.wait_s + answer.inference_s
        self.latency.add(
            len(data),
            encode=encoded - began,
            network=done - encoded - on_server,
            wait=answer.wait_s,
            decode=answer.decode_s,
            inference=answer.inference_s,
            total=done - began,
        )
        try:
            delta = protocol.numbers(answer.delta, 6, "delta")
            later = np.frombuffer(answer.later, np.float64).reshape(self.config.chunk - 1, 7)
        except ValueError as error:
            raise PolicyError(f"{self.url} sent an action that is none: {error}") from error
        return Action(delta, float(answer.gripper_logit), lambda: self._future(number, future), later)

    # Questions and answers

    def _ask(self, data: bytes | None, kind: type, number: int, seconds: float):
        """Sends a request and waits for its answer. data None: the request is already on its way."""
        until = time.monotonic() + max(seconds, 0.0)
        with self._changed:
            connection = self._connection
            if connection is None:
                self._begins = True
                raise PolicyError(f"no connection to {self.url}: {self._why}; trying again")
            if data is not None:
                if kind is protocol.Answer:
                    self._answers.clear()
                self._awaited, self._outbox = number, data
                self._changed.notify_all()
            keys = [(kind, number), (protocol.Refusal, number)]

            def arrived() -> bool:
                return self._connection is not connection or any(key in self._answers for key in keys)

            while not arrived():
                left = until - time.monotonic()
                if left <= 0:
                    unsent = ", the network does not take the request" if self._outbox else ""
                    self._awaited = -1
                    raise LateAnswer(f"no answer of {self.url} within {1e3 * self._timeout:.0f} ms{unsent}")
                self._changed.wait(left)
            found = next((self._answers.pop(key) for key in keys if key in self._answers), None)
        if found is None:
            self._begins = True
            raise PolicyError(f"the connection to {self.url} was lost: {self._why}; trying again")
        if isinstance(found, protocol.Refusal):
            raise (RigError if found.cause == "rig" else PolicyError)(found.text)
        return found

    def _future(self, number: int, on_its_way: bool) -> Future:
        if not self.config.predicts_frames:
            raise PolicyError(f"policy '{self.config.policy}' predicts no frames: only a GR-1 has a future()")
        # Who asks for one step's frames will ask for the next one's: they then come without a request.
        self._wants_future = not self._patches
        data = None if on_its_way else protocol.pack(protocol.FutureRequest(number, self._patches))
        answer = self._ask(data, protocol.FutureAnswer, number, self._timeout)
        size, pixels = self.config.image_size, (self.config.image_size, self.config.image_size, 3)
        try:
            frames = [np.frombuffer(one, np.uint8).reshape(pixels) for one in (answer.static, answer.wrist)]
            patches = [
                np.frombuffer(one, np.float32).reshape(-1, self.config.patch_dim)
                for one in (answer.static_patches, answer.wrist_patches)
            ]
        except ValueError as error:
            raise PolicyError(f"{self.url} sent frames that are not {size}x{size}: {error}") from error
        return Future(*frames, *patches)

    # The connection, in threads of its own

    def _open(self) -> tuple[ClientConnection, protocol.Hello]:
        try:
            connection = connect(
                self.url,
                ssl=self._tls,
                subprotocols=[protocol.SUBPROTOCOL],
                additional_headers={"Authorization": f"Bearer {self._access.token}"},
                compression=None,
                open_timeout=_OPEN_S,
                ping_interval=_PING_S,
                ping_timeout=_DEAD_S,
                close_timeout=_PING_S,
                max_size=protocol.LARGEST_ANSWER,
                proxy=None,
            ).__enter__()  # entered in every version; `close` is called instead of leaving a block
        except InvalidStatus as error:
            raise RemoteError(f"{self.url} refused: {_status(error.response)}") from None
        except ssl.SSLCertVerificationError as error:
            raise RemoteError(
                f"{self.url} is not the server of the access file ({error.verify_message}): {_COPY_AGAIN}"
            ) from None
        except InvalidURI as error:
            raise RemoteError(f"{self.url} is no address: expected wss://host:port ({error})") from None
        except (OSError, WebSocketException) as error:
            why = str(error) or type(error).__name__
            raise RemoteError(f"{self.url} cannot be reached: {why}") from None
        transport.tune(connection.socket, _DEAD_S)
        try:
            hello = protocol.unpack(connection.recv(timeout=_OPEN_S), protocol.Hello)
        except (ProtocolError, TimeoutError, WebSocketException) as error:
            connection.close()
            raise RemoteError(
                f"{self.url} is no policy server of this version: {str(error) or 'it says nothing'}"
            ) from None
        return connection, hello

    def _keep_connected(self, connection: ClientConnection) -> None:
        while not self._ended.is_set():
            self._why = self._receive(connection)
            if self._ended.is_set():
                return
            self.latency.add_lost()
            self.on_lost(f"the connection to {self.url} was lost: {self._why}")
            self._log(f"lost the connection to {self.url}: {self._why}")
            if (connection := self._reopen()) is None:
                return
            self._log(f"connected to {self.url} again")

    def _reopen(self) -> ClientConnection | None:
        """Tries until there is a connection to the same policy; None at the end."""
        attempt = 0
        while not self._ended.wait(_RETRY_S[min(attempt, len(_RETRY_S) - 1)]):
            attempt += 1
            try:
                connection, hello = self._open()
            except RemoteError as error:
                self._why = str(error)
                continue
            if _identity(hello) == _identity(self.hello):
                return connection
            connection.close()
            self._why = (
                f"it now serves {hello.checkpoint}, not {self.hello.checkpoint}: configure again for that one"
            )
        return None

    def _receive(self, connection: ClientConnection) -> str:
        """Receives until the connection ends -> why it did."""
        with self._changed:
            self._connection, self._outbox = connection, None
            self._changed.notify_all()
        sender = threading.Thread(target=self._send, args=(connection,), name="policy sender", daemon=True)
        sender.start()
        try:
            while True:
                answer = protocol.unpack(
                    connection.recv(), protocol.Answer, protocol.FutureAnswer, protocol.Refusal
                )
                with self._changed:
                    if answer.number == self._awaited:
                        self._answers[type(answer), answer.number] = answer
                        self._changed.notify_all()
        except (OSError, WebSocketException) as error:
            why = str(error) or type(error).__name__
        except ProtocolError as error:
            why = f"it is no policy server of this version: {error}"
        with self._changed:
            self._connection, self._why = None, why
            self._changed.notify_all()
        connection.close()
        sender.join()
        return why

    def _send(self, connection: ClientConnection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox is not None or self._connection is not connection)
                if self._connection is not connection:
                    return
                data = self._outbox
            with contextlib.suppress(OSError, WebSocketException):  # the receiver hears it, too
                connection.send(data)
            with self._changed:
                if self._outbox is data:
                    self._outbox = None

    def _await_connection(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._connection is not None, _OPEN_S)


def _identity(hello: protocol.Hello) -> tuple:
    return hello.rig, hello.config, hello.weights or hello.checkpoint


def _tls(url: str, access: Access) -> ssl.SSLContext | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RemoteError(f"{url} is no address: expected wss://host:port ({error})") from None
    if parts.scheme == "wss" and host and port:
        return access.client_context()
    if parts.scheme == "ws" and host in _LOOPBACK and port:
        return None
    if parts.scheme == "ws" and host and port:
        raise RemoteError(f"{url} would send the token in the clear: use wss://{parts.netloc}")
    raise RemoteError(f"{url} is no address of a policy server: expected wss://host:port")


def _status(response) -> str:
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return f"the token is wrong: {_COPY_AGAIN}"
    text = (response.body or b"").decode(errors="replace").strip()
    return f"{response.status_code} {response.reason_phrase}{': ' if text else ''}{text}"
