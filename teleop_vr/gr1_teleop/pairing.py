"""Pairing: one token per start of the server, passed to the device by the QR code in the terminal."""

from __future__ import annotations

import base64
import hmac
import io
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import segno

MAX_FAILURES, BLOCK_S = 10, 60.0
_BYTES = 16
_MIN_LENGTH = 16  # characters of a token from the user
_MAX_ADDRESSES = 1000
_URL_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class TokenError(ValueError):
    """The token is too short or has characters that a URL cannot carry."""


class Pairing:
    """Compares tokens in constant time and blocks an address after ten wrong tokens within a minute.

    Tokens in a URL and tokens in a cookie are counted separately. A page that is still open since the last
    start retries its old cookie and must not block its own user from pairing again.
    """

    def __init__(self, token: str = "", clock: Callable[[], float] = time.monotonic):
        self.token = validate_token(token) if token else secrets.token_urlsafe(_BYTES)
        # Derived, so that it stays the same with a token of the user's; the other way round it tells nothing.
        digest = hmac.digest(self.token.encode(), b"gr1 view only", "sha256")
        self.view_token = base64.urlsafe_b64encode(digest[:_BYTES]).decode().rstrip("=")
        self._clock = clock
        self._failures: dict[tuple[str, str], deque[float]] = {}

    def accepts(self, given: str, address: str, where: str) -> bool:
        """Whether this is the token or the view token; a wrong one is counted. where: "url" or "cookie". Call
        `is_blocked` first."""
        right = self._equals(given, self.token) or self.is_view_only(given)
        if right and where == "url":
            for kind in ("url", "cookie"):
                self._failures.pop((address, kind), None)
        elif not right:
            self._count(address, where)
        return right

    def is_view_only(self, given: str) -> bool:
        """Whether this is the view token, which allows to watch and nothing else."""
        return self._equals(given, self.view_token)

    @staticmethod
    def _equals(given: str, token: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())

    def is_blocked(self, address: str, where: str) -> bool:
        """Whether this address sent ten wrong tokens within the last minute; then even the right token is
        refused."""
        tries = self._failures.get((address, where))
        return tries is not None and len(tries) == MAX_FAILURES and self._clock() - tries[0] < BLOCK_S

    def _count(self, address: str, where: str) -> None:
        key = address, where
        tries = self._failures.pop(key, None) or deque(maxlen=MAX_FAILURES)
        tries.append(self._clock())
        self._failures[key] = tries  # moved to the end: the oldest address is forgotten first
        if len(self._failures) > _MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]


def validate_token(token: str) -> str:
    """Returns the token; raises TokenError if it can be guessed or does not fit into a URL."""
    if len(token) < _MIN_LENGTH or not _URL_SAFE.issuperset(token):
        raise TokenError(
            f"the token has {len(token)} characters: use at least {_MIN_LENGTH} of A-Z a-z 0-9 - _, "
            "or leave it out for a random one"
        )
    return token


def pairing_text(
    url: str, view_url: str, fingerprint: str, others: Sequence[str] = (), usb_url: str = ""
) -> str:
    """Text for the terminal: QR code, both URLs and the certificate's fingerprint.

    others: the same page at the other addresses of this computer. usb_url: the same page through a USB
    cable, or "".
    """
    also = "".join(f"  {other}\n" for other in others)
    if also:
        also = f"If the headset does not reach it, it is in the network of another address:\n{also}"
    port = urlsplit(usb_url).port if usb_url else 0
    usb = f"By USB cable, after adb reverse tcp:{port} tcp:{port}:\n  {usb_url}\n" if usb_url else ""
    code = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(code, compact=True)
    return (
        f"{code.getvalue()}\n"
        f"Open this on the headset, phone or workstation (same network), or scan the code:\n  {url}\n"
        f"{also}{usb}"
        f"The workstation's page: {url.replace('/?', '/desk?')}\n"
        "The browser warns once about the certificate, which this computer has signed itself.\n"
        f"SHA-256 fingerprint:\n  {fingerprint}\n"
        "Anyone with this address can move the robot: keep it private.\n"
        f"To watch only, for any number of viewers:\n  {view_url}\n"
    )
