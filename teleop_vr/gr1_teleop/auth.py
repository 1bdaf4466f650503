"""Authentication of every request: token, origin of websockets, security headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gr1_teleop import stop_route
from gr1_teleop.pairing import BLOCK_S, Pairing

PAGES = ("/", "/desk")
CONFIRM, JUDGE = "/api/confirm", "/api/judge"
_ACTIONS = (stop_route.PATH, CONFIRM, JUDGE)
"""The paths that take a POST."""
VIEW_ONLY = "view_only"
"""Key of a request: whether its client may only watch."""
UNPAIRED = 4401
"""Websocket close code: tells a page what the HTTP status of a refused handshake cannot tell it."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Permissions-Policy": "xr-spatial-tracking=(self), camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "gr1",
}

_UNPAIRED_PAGE = """<!doctype html> <html lang="en"><head><meta charset="utf-8"><meta name="viewport"
content="width=device-width"><title>Not paired</title></head> <body><h1>Not paired</h1><p>Open the address
that the terminal shows, or scan its QR code. The address changes at each start of the server.</p> <p>If you
have just opened it from a link: <a href="{page}">continue</a>.</p></body></html>
"""


class Auth:
    """Middleware that lets only paired clients through.

    refuse_socket(request, code, why) accepts the websocket, sends the reason and closes it.
    """

    def __init__(
        self,
        pairing: Pairing,
        port: int,
        refuse_socket: Callable[[web.Request, int, str], Awaitable[web.StreamResponse]],
    ):
        self._pairing, self._refuse_socket = pairing, refuse_socket
        # Cookies are not separated by port: two servers on one computer would overwrite each other's cookie.
        self.cookie = f"__Host-gr1-{port}"

    def middleware(self):
        @web.middleware
        async def authenticate(request: web.Request, handler) -> web.StreamResponse:
            return await self._authenticate(request, handler)

        return authenticate

    async def _authenticate(self, request: web.Request, handler) -> web.StreamResponse:
        socket = request.path.startswith("/ws/")
        # A page of another site can open a websocket to this server, and the browser sends our cookie with
        # it. The Origin header tells the two apart; a page cannot change it.
        own = f"https://{request.headers.get('Host', '')}"
        if socket and request.headers.get("Origin") != own:
            raise web.HTTPForbidden(
                text=f"websocket refused: the page is of another origin; open {own}/ instead\n"
            )
        acts = request.path in _ACTIONS and request.method == "POST"
        if acts and request.headers.get("Origin") != own:
            raise web.HTTPForbidden(text="refused: the page is of another origin\n")
        if request.method not in ("GET", "HEAD") and not acts:
            raise web.HTTPMethodNotAllowed(
                request.method, ("GET", "HEAD"), text="only GET and HEAD are allowed\n"
            )
        address = request.remote or ""
        if not socket and (token := request.query.get("token")) is not None:
            return self._accept_token(request, token, address)
        cookie = request.cookies.get(self.cookie)
        if cookie is not None:
            if self._pairing.is_blocked(address, "cookie"):
                raise _too_many_failures()
            if self._pairing.accepts(cookie, address, "cookie"):
                request[VIEW_ONLY] = self._pairing.is_view_only(cookie)
                return await handler(request)
        if socket:
            return await self._refuse_socket(
                request, UNPAIRED, "not paired: open the address that the terminal shows"
            )
        return _unpaired(request)

    def _accept_token(self, request: web.Request, token: str, address: str) -> web.StreamResponse:
        if self._pairing.is_blocked(address, "url"):
            raise _too_many_failures()
        if not self._pairing.accepts(token, address, "url"):
            return _unpaired(request)
        # Redirected to the path without the token, so that the token is stored in no history and no bookmark.
        answer = web.Response(status=303, headers={"Location": _page(request)})
        answer.set_cookie(self.cookie, token, path="/", secure=True, httponly=True, samesite="Strict")
        return answer


def _unpaired(request: web.Request) -> web.Response:
    return web.Response(status=401, text=_UNPAIRED_PAGE.format(page=_page(request)), content_type="text/html")


def _page(request: web.Request) -> str:
    """One of our own pages; never a path from the request that we do not serve."""
    return request.path if request.path in PAGES else "/"


def _too_many_failures() -> web.HTTPException:
    text = (
        f"too many wrong tokens from this address: wait {BLOCK_S:.0f} s, "
        "then open the address that the terminal shows\n"
    )
    return web.HTTPTooManyRequests(text=text, headers={"Retry-After": f"{BLOCK_S:.0f}"})


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For Application.on_response_prepare."""
    for name, value in HEADERS.items():
        if name != "Cache-Control" or name not in response.headers:
            response.headers[name] = value
