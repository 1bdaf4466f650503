import contextlib
import socket
import threading

from kortex_api import wire


class TCPTransport:
    def __init__(self):
        self._sock = None
        self._callback = lambda header, payload: None

    def connect(self, host, port):
        self._sock = socket.create_connection((host, port), timeout=2.0)
        self._sock.settimeout(None)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._receive, daemon=True).start()

    def disconnect(self):
        if self._sock:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._sock.close()

    def send(self, header, payload):
        wire.write(self._sock, header, payload)

    def registerOnFrameCallback(self, callback):
        self._callback = callback

    def _receive(self):
        # As the vendor's: when the connection ends, calls under way are not told and run into their timeouts.
        with contextlib.suppress(OSError):
            while True:
                self._callback(*wire.read(self._sock))
