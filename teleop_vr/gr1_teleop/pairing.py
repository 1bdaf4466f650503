"""Who may see anything at all: one token for each start of the server, handed over by the terminal's QR code."""

from __future__ import annotations

import hmac
import io
import secrets
import time
from collections import deque
from collections.abc import Callable

import segno

TRIES, MINUTE_S = 10, 60.0
_BYTES = 16
_SHORTEST = 16  # characters of a token that a person chose
_REMEMBERED = 1000  # addresses
_URL_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class TokenError(ValueError):
    """A token that cannot be used."""


class Pairing:
    """Compares tokens in constant time, and stops answering an address after ten wrong ones in a minute.

    Tokens that arrive in a URL and those in a cookie are counted apart: a page that was left open since the last start tries its old
    cookie again and again, and must not keep its own user from pairing anew.
    """

    def __init__(self, token: str = "", clock: Callable[[], float] = time.monotonic):
        self.token = checked(token) if token else secrets.token_urlsafe(_BYTES)
        self._clock = clock
        self._wrong: dict[tuple[str, str], deque[float]] = {}

    def allows(self, given: str, address: str, where: str) -> bool:
        """Whether this is the token; a wrong one counts. where: "url" or "cookie". Ask `blocked` first."""
        right = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.token.encode())
        if right and where == "url":
            for kind in ("url", "cookie"):
                self._wrong.pop((address, kind), None)
        elif not right:
            self._count(address, where)
        return right

    def blocked(self, address: str, where: str) -> bool:
        """Whether this address has had its ten wrong tries within the last minute; then even the right token is not looked at."""
        tries = self._wrong.get((address, where))
        return tries is not None and len(tries) == TRIES and self._clock() - tries[0] < MINUTE_S

    def _count(self, address: str, where: str) -> None:
        key = address, where
        tries = self._wrong.pop(key, None) or deque(maxlen=TRIES)
        tries.append(self._clock())
        self._wrong[key] = tries  # at the end: the oldest is forgotten first
        if len(self._wrong) > _REMEMBERED:
            del self._wrong[next(iter(self._wrong))]


def checked(token: str) -> str:
    """The token as it is, or TokenError: short ones can be guessed, others do not survive a URL."""
    if len(token) < _SHORTEST or not _URL_SAFE.issuperset(token):
        text = f"the token has {len(token)} characters: at least {_SHORTEST} of A-Z a-z 0-9 - _ are needed; leave it out for a random one"
        raise TokenError(text)
    return token


def invitation(url: str, fingerprint: str) -> str:
    """What the terminal shows: a QR code of the URL, the URL itself, and how to know the certificate."""
    code = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(code, compact=True)
    return (
        f"{code.getvalue()}\n"
        f"Open this on the headset, phone or workstation (same network), or scan the code:\n  {url}\n"
        f"The workstation's page: {url.replace('/?', '/desk?')}\n"
        "The browser will warn once that it does not know the certificate: it is this computer's own. Its SHA-256 fingerprint:\n"
        f"  {fingerprint}\n"
        "Who has this address can move the robot: do not pass it on.\n"
    )
