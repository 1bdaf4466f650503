"""The server of teleoperation: HTTPS and websockets on one port, in a thread of its own.

    server = Server(link, Episodes(recorder, "bags"), watch)
    server.start()
    print(server.invitation)                     # QR code and address, token included
    ...
    server.close()

Nothing is answered without the token that `url` carries (door.py); what can be fetched is in pages.py, what is said over websockets in
sessions.py. The server hands the operator's messages to the link and moves nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from aiohttp import web

from gr1_teleop import certificate as certificates
from gr1_teleop import http_redirect, pairing
from gr1_teleop.addresses import addresses
from gr1_teleop.auth import Door, add_headers
from gr1_teleop.episodes import Episodes
from gr1_teleop.pages import Pages, Watch
from gr1_teleop.sessions import Sessions

PORT = 8443
GREETING_S = 5.0
"""How long a new connection may take to begin: its first byte, its TLS handshake."""

_CONNECTIONS, _FROM_ONE_ADDRESS = 256, 64
_CLOSING_S = 2.0
_log = logging.getLogger(__name__)


class ServerError(ValueError):
    """The server cannot listen as asked; the text says why and what to do."""


class Server:
    """host: the address to listen on, "0.0.0.0" for all of IPv4 and "::" for all; port 0: any free one, `url` says which. token: "" for a
    random one (TokenError for one that can be guessed). certificate: by default this installation's."""

    def __init__(
        self,
        link,
        episodes: Episodes,
        watch: Watch,
        host: str = "0.0.0.0",
        port: int = PORT,
        token: str = "",
        certificate: certificates.Certificate | None = None,
    ):
        self._host, self._port = host, port
        self._pairing = pairing.Pairing(token)
        self._certificate = certificate or certificates.ensure()
        self._tls = self._certificate.context()
        # Two threads, since the recorder takes seconds to begin and a list of episodes must not wait for it.
        self._readers = ThreadPoolExecutor(1, "teleop bags")
        self._callers = ThreadPoolExecutor(1, "teleop recorder")
        self._pages = Pages(episodes.library, watch, self._readers)
        self._sessions = Sessions(link, episodes, watch, self._callers)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._arriving: set[asyncio.Task] = set()

    def start(self) -> None:
        """Returns when connections are taken. Raises ServerError, naming the port and the remedy."""
        self._listener = _listen(self._host, self._port)
        self._port = self._listener.getsockname()[1]
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="teleop server", daemon=True)
        self._thread.start()
        ready.result()

    def close(self) -> None:
        """Says goodbye to everybody, which releases the clutch, and returns when the port is free."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        for pool in (self._readers, self._callers):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def alive(self) -> bool:
        """False once it has ended, on purpose or not."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Where a headset pairs; the token is in it."""
        return f"https://{self._address}:{self._port}/?token={self._pairing.token}"

    @property
    def invitation(self) -> str:
        """For the terminal: QR code, address, the certificate's fingerprint."""
        return pairing.invitation(self.url, self._certificate.fingerprint)

    @property
    def _address(self) -> str:
        host = self._host
        if host in ("", "0.0.0.0", "::"):
            host = next(iter(addresses()), "127.0.0.1")
        return f"[{host}]" if ":" in host else host

    def _run(self, ready: Future) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            _log.critical(
                "the server of teleoperation has ended, nobody can drive any more: start it again",
                exc_info=True,
            )

    async def _serve(self, ready: Future) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        door = Door(self._pairing, self._port, self._sessions.refuse)
        app = web.Application(middlewares=[door.middleware()])
        app.on_response_prepare.append(add_headers)
        app.add_routes([*self._pages.routes(), *self._sessions.routes()])
        # No access log: it would hold the token.
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSING_S)
        await runner.setup()
        tasks = {
            asyncio.create_task(work)
            for work in (self._accept(runner.server), self._sessions.tell(), self._stop.wait())
        }
        ready.set_result(None)
        try:
            # Only the last of them ends by itself; an error in another ends the server, and with it every session.
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            running = tasks | self._arriving
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._listener.close()
            await self._sessions.close()
            await runner.cleanup()

    async def _accept(self, protocols: web.Server) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._listener)
            except OSError as error:
                # No more file descriptors, above all. Trying again at once would take the whole thread.
                _log.warning("a connection was not taken: %s", error)
                await asyncio.sleep(0.1)
                continue
            client.setblocking(False)
            if self._crowded(client, protocols):
                client.close()
                continue
            task = asyncio.create_task(self._greet(client, protocols))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _crowded(self, client: socket.socket, protocols: web.Server) -> bool:
        """Whether there are too many connections, or too many from this address: one neighbour is not to shut out the operator."""
        try:
            address = client.getpeername()[0]
        except OSError:  # gone already
            return True
        # A TLS transport that is closed knows no peer any more, and says so with an AttributeError.
        transports = [
            protocol.transport
            for protocol in protocols.connections
            if protocol.transport and not protocol.transport.is_closing()
        ]
        peers = [transport.get_extra_info("peername") for transport in transports]
        same = sum(1 for peer in peers if peer and peer[0] == address)
        return len(peers) + len(self._arriving) >= _CONNECTIONS or same >= _FROM_ONE_ADDRESS

    async def _greet(self, client: socket.socket, protocols: web.Server) -> None:
        speaks_tls = False
        try:
            async with asyncio.timeout(GREETING_S):
                speaks_tls = await http_redirect.peek(client) == http_redirect.TLS
                if not speaks_tls:
                    await http_redirect.answer(client, self._port)
        except (OSError, TimeoutError):
            speaks_tls = False
        finally:
            if not speaks_tls:
                client.close()
        if speaks_tls:
            # A browser that has not accepted the certificate yet ends the handshake: nothing to tell. asyncio closes the socket then.
            with contextlib.suppress(OSError, TimeoutError):
                waits = {"ssl_handshake_timeout": GREETING_S, "ssl_shutdown_timeout": _CLOSING_S}
                await self._loop.connect_accepted_socket(protocols, client, ssl=self._tls, **waits)


def _listen(host: str, port: int) -> socket.socket:
    where = f"port {port} of {host or 'all addresses'}"
    try:
        both = host == "::" and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=100, dualstack_ipv6=both)
    except OverflowError as error:
        raise ServerError(f"{where}: ports are 0 .. 65535; {PORT} is the usual one") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"{where} is in use: another teleoperation may still run there. End it, or choose another port"
        elif error.errno == errno.EACCES:
            text = f"{where} is not allowed to this user: choose one from 1024 on, {PORT} is the usual one"
        else:
            text = f"{where} cannot be listened on ({error.strerror}): choose one of this computer's ({_own()}) or 0.0.0.0 for all"
        raise ServerError(text) from error
    listener.setblocking(False)
    return listener


def _own() -> str:
    return (
        ", ".join(address for address in addresses() if ipaddress.ip_address(address).version == 4)
        or "127.0.0.1"
    )
