"""The teleoperation server: HTTPS and websockets on one port, in its own thread.

    server = Server(link, EpisodeControl(recorder, "bags"), view)
    server.start()
    print(server.pairing_text)                     # QR code and address, token included
    ...
    server.close()

Every request needs the token in `url` (auth.py). The HTTP routes are in pages.py, the websockets in
sessions.py. The server passes the operator's messages to the link and commands nothing itself but the stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from aiohttp import web

from gr1_core.remote import certificate as certificates
from gr1_core.remote.addresses import addresses
from gr1_teleop import http_redirect, pairing
from gr1_teleop.auth import Auth, add_headers
from gr1_teleop.clutch_settings import ClutchSettings
from gr1_teleop.episode_control import EpisodeControl
from gr1_teleop.network_test import NetworkTest
from gr1_teleop.pages import Pages, RobotView
from gr1_teleop.sessions import Sessions
from gr1_teleop.stop_route import StopRoute

PORT = 8443
HANDSHAKE_TIMEOUT_S = 5.0
"""Time limit for the first byte and the TLS handshake of a connection, s."""

_MAX_CONNECTIONS, _MAX_PER_ADDRESS = 256, 64
_CLOSE_TIMEOUT_S = 2.0
_log = logging.getLogger(__name__)


class ServerError(ValueError):
    """The server cannot listen on this address; the text says why and what to do."""


class Server:
    """host: address to listen on; "0.0.0.0": all IPv4, "::": all addresses. port: 0: any free one.
    token: "": a random one; TokenError for a weak one. certificate: default: the installation's. operate:
    whether a page may become the operator. stop: see StopRoute. timeout_s, max_sample_age_s: as in
    ClutchSettings; the network test judges by them."""

    def __init__(
        self,
        link,
        episodes: EpisodeControl,
        view: RobotView,
        host: str = "0.0.0.0",
        port: int = PORT,
        token: str = "",
        certificate: certificates.Certificate | None = None,
        operate: bool = True,
        stop: Callable[[], tuple[bool, str]] = lambda: (False, "this server has no arm"),
        timeout_s: float = ClutchSettings.timeout_s,
        max_sample_age_s: float = ClutchSettings.max_sample_age_s,
    ):
        self._host, self._port = host, port
        self._pairing = pairing.Pairing(token)
        self._certificate = certificate or certificates.ensure(certificates.folder("teleop"))
        self._tls = self._certificate.context()
        # Two threads: the recorder takes seconds to start, and the list of episodes must not wait for it.
        self._readers = ThreadPoolExecutor(1, "teleop bags")
        self._callers = ThreadPoolExecutor(1, "teleop recorder")
        self._pages = Pages(episodes.index, view, self._readers)
        self._sessions = Sessions(link, episodes, view, self._callers, operate)
        self._stop_route = StopRoute(stop)
        self._network_test = NetworkTest(timeout_s, max_sample_age_s)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._handshaking: set[asyncio.Task] = set()

    def start(self) -> None:
        """Returns when connections are accepted. Raises ServerError, naming the port and the remedy."""
        self._listener = _listen(self._host, self._port)
        self._port = self._listener.getsockname()[1]
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="teleop server", daemon=True)
        self._thread.start()
        ready.result()

    def close(self) -> None:
        """Closes all connections, which releases the clutch. Returns when the port is free."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self._pages.close()
        self._stop_route.close()
        for pool in (self._readers, self._callers):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def alive(self) -> bool:
        """False after it has ended, for whatever reason."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """The pairing address; contains the token."""
        return self._url(self._hosts[0])

    @property
    def pairing_text(self) -> str:
        """For the terminal: QR code, address and the certificate's fingerprint."""
        others = [self._url(host) for host in self._hosts[1:]]
        usb = self._url("localhost") if self._host in ("", "0.0.0.0", "::", "127.0.0.1", "localhost") else ""
        return pairing.pairing_text(self.url, self.view_url, self._certificate.fingerprint, others, usb)

    @property
    def view_url(self) -> str:
        """The workstation page for viewers, who can change nothing."""
        return f"https://{_in_url(self._hosts[0])}:{self._port}/desk?token={self._pairing.view_token}"

    def _url(self, host: str) -> str:
        return f"https://{_in_url(host)}:{self._port}/?token={self._pairing.token}"

    @property
    def _hosts(self) -> list[str]:
        """The addresses on which it listens, the one that a headset reaches first."""
        if self._host not in ("", "0.0.0.0", "::"):
            return [self._host]
        found = [one for one in addresses() if self._host == "::" or ":" not in one]
        return found or addresses()[:1] or ["127.0.0.1"]

    def _run(self, ready: Future) -> None:
        try:
            asyncio.run(self._serve(ready))
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            _log.critical(
                "the teleoperation server has ended; teleoperation is impossible: restart the node",
                exc_info=True,
            )

    async def _serve(self, ready: Future) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        auth = Auth(self._pairing, self._port, self._sessions.refuse)
        app = web.Application(middlewares=[auth.middleware()])
        app.on_response_prepare.append(add_headers)
        parts = self._pages, self._sessions, self._stop_route, self._network_test
        app.add_routes([route for part in parts for route in part.routes()])
        # No access log: it would contain the token.
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_TIMEOUT_S)
        await runner.setup()
        tasks = {
            asyncio.create_task(work)
            for work in (self._accept(runner.server), self._sessions.broadcast_state(), self._stop.wait())
        }
        ready.set_result(None)
        try:
            # Only the last task ends normally; an error in another one ends the server and all sessions.
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            running = tasks | self._handshaking
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
                # Usually no file descriptors left. An immediate retry would block the thread.
                _log.warning("a connection was not accepted: %s", error)
                await asyncio.sleep(0.1)
                continue
            client.setblocking(False)
            if self._is_full(client, protocols):
                client.close()
                continue
            task = asyncio.create_task(self._handshake(client, protocols))
            self._handshaking.add(task)
            task.add_done_callback(self._handshaking.discard)

    def _is_full(self, client: socket.socket, protocols: web.Server) -> bool:
        """Whether there are too many connections in all or from this address; one client must not block the
        operator."""
        try:
            address = client.getpeername()[0]
        except OSError:  # already closed
            return True
        # A closed TLS transport raises AttributeError when asked for its peer.
        transports = [
            protocol.transport
            for protocol in protocols.connections
            if protocol.transport and not protocol.transport.is_closing()
        ]
        peers = [transport.get_extra_info("peername") for transport in transports]
        same = sum(1 for peer in peers if peer and peer[0] == address)
        return len(peers) + len(self._handshaking) >= _MAX_CONNECTIONS or same >= _MAX_PER_ADDRESS

    async def _handshake(self, client: socket.socket, protocols: web.Server) -> None:
        speaks_tls = False
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                speaks_tls = await http_redirect.peek_first_byte(client) == http_redirect.TLS
                if not speaks_tls:
                    await http_redirect.redirect_to_https(client, self._port)
        except (OSError, TimeoutError):
            speaks_tls = False
        finally:
            if not speaks_tls:
                client.close()
        if speaks_tls:
            # A browser that has not accepted the certificate aborts the handshake; asyncio closes the socket.
            with contextlib.suppress(OSError, TimeoutError):
                waits = {
                    "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S,
                    "ssl_shutdown_timeout": _CLOSE_TIMEOUT_S,
                }
                await self._loop.connect_accepted_socket(protocols, client, ssl=self._tls, **waits)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    where = f"port {port} of {host or 'all addresses'}"
    try:
        both = host == "::" and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=100, dualstack_ipv6=both)
    except OverflowError as error:
        raise ServerError(f"{where}: ports are 0 .. 65535; the default is {PORT}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"{where} is in use, perhaps by another teleoperation node: end it, or choose another port"
        elif error.errno == errno.EACCES:
            text = f"{where} is not permitted for this user: choose one from 1024 on; the default is {PORT}"
        else:
            remedy = f"choose one of this computer's addresses ({_own()}) or 0.0.0.0"
            text = f"cannot listen on {where} ({error.strerror}): {remedy}"
        raise ServerError(text) from error
    listener.setblocking(False)
    return listener


def _own() -> str:
    return (
        ", ".join(address for address in addresses() if ipaddress.ip_address(address).version == 4)
        or "127.0.0.1"
    )
