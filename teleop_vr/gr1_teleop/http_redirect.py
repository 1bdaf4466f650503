"""Plain HTTP on the TLS port: a person who typed an address without https is sent there, and nothing else is said."""

from __future__ import annotations

import asyncio
import re
import socket

TLS = b"\x16"
"""The first byte of a TLS handshake; no HTTP request begins with it."""

_HEAD = 8192  # bytes
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_TARGET = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")


async def peek(client: socket.socket) -> bytes:
    """The first byte that the client sends, left where it is; b"" if it hangs up."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(client, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(client)
    return client.recv(1, socket.MSG_PEEK)


async def answer(client: socket.socket, port: int) -> None:
    """Answers one request and hangs up. What is not HTTP gets no answer."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD:
        data = await loop.sock_recv(client, _HEAD)
        if not data:
            break
        head += data
    if reply := response(head, port):
        await loop.sock_sendall(client, reply)
        client.shutdown(socket.SHUT_WR)
        # Closing a socket with unread bytes resets it, and the reply might be lost with it.
        for _ in range(8):
            if not await loop.sock_recv(client, _HEAD):
                break


def response(head: bytes, port: int) -> bytes:
    """A redirect to the same page by https, or a refusal where the request does not say whereto; b"" for what is not HTTP.

    The query is left out: a token that came in plain text must not become a habit.
    """
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        return b""
    host = next((line.split(":", 1)[1].strip() for line in lines[1:] if line.lower().startswith("host:")), "")
    host = re.sub(r":\d{1,5}$", "", host)
    path = words[1].split("?", 1)[0]
    body = "This is the port of an HTTPS server: open the address that begins with https://, as the terminal shows it.\n"
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
