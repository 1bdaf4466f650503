"""A client without a browser: real TLS on loopback with certificate check; cookies and origin as from a
browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import WSMsgType

from gr1_teleop.server import Server

HELLO = {"type": "hello", "device": "Quest 3", "kind": "headset", "version": 1}


class Client:
    """token: its pairing token; default: the server's."""

    def __init__(self, server: Server, token: str | None = None):
        self.port = int(server.url.split(":")[2].split("/")[0])
        self.token = server.url.split("token=")[1] if token is None else token
        self.origin = f"https://localhost:{self.port}"
        self.cookie = {"Cookie": f"__Host-gr1-{self.port}={self.token}"} if self.token else {}
        self.tls = ssl.create_default_context(cafile=server._certificate.path)

    def get(
        self, path: str, cookie: bool = True, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of one request; redirects are not followed."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.tls, timeout=5)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {**(self.cookie if cookie else {}), **headers}.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def plain(self, data: bytes) -> bytes:
        """The server's response to bytes that are not TLS."""
        with socket.create_connection(("localhost", self.port), timeout=5) as connection:
            connection.sendall(data)
            answer = b""
            while more := connection.recv(4096):
                answer += more
            return answer

    @contextlib.asynccontextmanager
    async def socket(
        self, path: str = "/ws/operator", hello: dict | None = None, **headers: str
    ) -> AsyncIterator[Socket]:
        """An open websocket. hello: sent first; then the welcome is awaited."""
        async with aiohttp.ClientSession() as session:
            headers = {"Origin": self.origin, **self.cookie, **headers}
            url = f"{self.origin}{path}"
            async with session.ws_connect(
                url, headers={k: v for k, v in headers.items() if v}, ssl=self.tls, max_msg_size=0
            ) as ws:
                opened = Socket(ws)
                if hello:
                    await opened.say(hello)
                    await opened.until(lambda message: message["type"] == "welcome")
                yield opened


class Socket:
    def __init__(self, ws: aiohttp.ClientWebSocketResponse):
        self.ws = ws

    async def say(self, message: dict | str) -> None:
        await self.ws.send_str(message if isinstance(message, str) else json.dumps(message))

    async def until(self, wanted) -> dict:
        """The first message for which `wanted` is true."""
        while True:
            message = await self.ws.receive(5)
            assert message.type is WSMsgType.TEXT, (
                f"the socket closed with {self.ws.close_code} before that came"
            )
            if wanted(said := json.loads(message.data)):
                return said

    async def end(self) -> tuple[int, str]:
        """(close code, the reason in the message `refused`) of a socket that the server closes."""
        why = ""
        while True:
            message = await self.ws.receive(5)
            if message.type is WSMsgType.CLOSE:
                return message.data, why
            if message.type is not WSMsgType.TEXT:
                return self.ws.close_code, why
            if (said := json.loads(message.data))["type"] == "refused":
                why = said["why"]
