"""What every request passes: the token, the origin of a websocket, the headers of every answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gr1_teleop.pairing import MINUTE_S, Pairing

PAGES = ("/", "/desk")
UNPAIRED = 4401
"""Websocket close code: a page sees no more of a refused handshake than that it failed."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "xr-spatial-tracking=(self), camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "gr1",
}

_UNPAIRED_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Not paired</title></head>
<body><h1>Not paired</h1><p>Open the address that the terminal shows, or scan its QR code. It changes when the server is started again.</p>
<p>If you have just done that by a link: <a href="{page}">go on</a>.</p></body></html>
"""


class Door:
    """A middleware. refuse_socket(request, code, why) upgrades, says why, and closes."""

    def __init__(
        self,
        pairing: Pairing,
        port: int,
        refuse_socket: Callable[[web.Request, int, str], Awaitable[web.StreamResponse]],
    ):
        self._pairing, self._refuse_socket = pairing, refuse_socket
        # Cookies know no ports: two servers on one computer would overwrite each other's.
        self.cookie = f"__Host-gr1-{port}"

    def middleware(self):
        @web.middleware
        async def at_the_door(request: web.Request, handler) -> web.StreamResponse:
            return await self._let_in(request, handler)

        return at_the_door

    async def _let_in(self, request: web.Request, handler) -> web.StreamResponse:
        socket = request.path.startswith("/ws/")
        # A page of another site may open a websocket to us, and the browser would add our cookie; it cannot hide where it is from.
        own = f"https://{request.headers.get('Host', '')}"
        if socket and request.headers.get("Origin") != own:
            raise web.HTTPForbidden(text=f"a websocket for a page of another origin: open {own}/ itself\n")
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(
                request.method, ("GET", "HEAD"), text="this server is only read from\n"
            )
        address = request.remote or ""
        if not socket and (token := request.query.get("token")) is not None:
            return self._pair(request, token, address)
        cookie = request.cookies.get(self.cookie)
        if cookie is not None:
            if self._pairing.blocked(address, "cookie"):
                raise _too_many()
            if self._pairing.allows(cookie, address, "cookie"):
                return await handler(request)
        if socket:
            return await self._refuse_socket(
                request, UNPAIRED, "not paired: open the address that the terminal shows"
            )
        return _unpaired(request)

    def _pair(self, request: web.Request, token: str, address: str) -> web.StreamResponse:
        if self._pairing.blocked(address, "url"):
            raise _too_many()
        if not self._pairing.allows(token, address, "url"):
            return _unpaired(request)
        # Redirected to the bare path, so that the token stays in no history and no bookmark.
        answer = web.Response(status=303, headers={"Location": _page(request)})
        answer.set_cookie(self.cookie, token, path="/", secure=True, httponly=True, samesite="Strict")
        return answer


def _unpaired(request: web.Request) -> web.Response:
    return web.Response(status=401, text=_UNPAIRED_PAGE.format(page=_page(request)), content_type="text/html")


def _page(request: web.Request) -> str:
    """A path of ours, never one that a link from outside has made up."""
    return request.path if request.path in PAGES else "/"


def _too_many() -> web.HTTPException:
    text = f"too many wrong tokens from this address: wait {MINUTE_S:.0f} s, then open the address that the terminal shows\n"
    return web.HTTPTooManyRequests(text=text, headers={"Retry-After": f"{MINUTE_S:.0f}"})


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For Application.on_response_prepare."""
    for name, value in HEADERS.items():
        if name != "Cache-Control" or name not in response.headers:
            response.headers[name] = value
