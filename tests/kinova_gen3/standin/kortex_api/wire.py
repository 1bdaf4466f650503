"""Frames on a socket: a length, a JSON header and the bytes of a message."""

import json
import struct


def write(sock, header: dict, payload: bytes = b"") -> None:
    head = json.dumps(header).encode()
    sock.sendall(struct.pack("!II", len(head), len(payload)) + head + payload)


def read(sock) -> tuple[dict, bytes]:
    """Raises OSError when the connection ends."""
    head, payload = struct.unpack("!II", _exactly(sock, 8))
    return json.loads(_exactly(sock, head)), _exactly(sock, payload)


def _exactly(sock, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("the other side has hung up")
        data += part
    return data
