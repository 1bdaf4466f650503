"""Plain HTTP on the TLS port: requests are redirected to HTTPS and get nothing else."""

from __future__ import annotations

import asyncio
import re
import socket

TLS = b"\x16"
"""First byte of a TLS handshake; no HTTP request begins with it."""

_HEAD = 8192  # bytes
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_TARGET = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")


async def peek_first_byte(client: socket.socket) -> bytes:
    """The first byte from the client, left in the socket; b"" if the client closes the connection."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(client, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(client)
    return client.recv(1, socket.MSG_PEEK)


async def redirect_to_https(client: socket.socket, port: int) -> None:
    """Answers one HTTP request and closes. Anything else gets no response."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD:
        data = await loop.sock_recv(client, _HEAD)
        if not data:
            break
        head += data
    if reply := redirect_response(head, port):
        await loop.sock_sendall(client, reply)
        client.shutdown(socket.SHUT_WR)
        # Closing a socket with unread bytes resets the connection, and the response may be lost.
        for _ in range(8):
            if not await loop.sock_recv(client, _HEAD):
                break


def redirect_response(head: bytes, port: int) -> bytes:
    """A redirect to the same page over HTTPS, 400 if the request names no valid host or path, b"" if it is
    not HTTP.

    The query is left out: a token that arrived in plain text is not used.
    """
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return b""
    host = next((line.split(":", 1)[1].strip() for line in lines[1:] if line.lower().startswith("host:")), "")
    host = re.sub(r":\d{1,5}$", "", host)
    path = words[1].split("?", 1)[0]
    body = "This port speaks HTTPS: open the https:// address that the terminal shows.\n"
    if (
        words[0] in ("GET", "HEAD")
        and _HOST.fullmatch(host)
        and _TARGET.fullmatch(path)
        and not path.startswith("//")
    ):
        status = f"307 Temporary Redirect\r\nLocation: https://{host}:{port}{path}"
    else:
        status = "400 Bad Request"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{'' if words[0] == 'HEAD' else body}"
    ).encode("latin-1")
