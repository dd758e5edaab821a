"""What stands before the page and the API: who may ask, how much, and what a browser may do with the answer.

A server on your own machine can be reached by every web site that you open. Introduced in notebook 16.
"""

import signal
import socket
from asyncio import CancelledError
from contextlib import suppress
from errno import EADDRINUSE
from types import FrameType

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segkit.files import UserError

WAITING = 64
"""Requests at a time; whoever comes then is asked to try again."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer: nothing from afar, in nobody's frame, kept nowhere. A route may set its own."""


def guards(host: str, megabytes: float) -> list[Middleware]:
    """The middleware of a Starlette app that listens on `host` and takes bodies up to so many MB."""
    return [
        Middleware(Guard),
        Middleware(TrustedHostMiddleware, allowed_hosts=own_names(host), www_redirect=False),
        Middleware(RequestBodyLimitMiddleware, max_body_size=int(megabytes * 1e6)),
    ]


def own_names(host: str) -> list[str]:
    """What the Host header may say to a server that listens on `host`.

    A name that an attacker had pointed at this machine (DNS rebinding) is none of them.
    """
    names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host.lower()}
    if host in ("0.0.0.0", "::"):
        mine = socket.gethostname().lower()
        names |= {mine, f"{mine}.local"}
        for address in (a for card in psutil.net_if_addrs().values() for a in card):
            if address.family == socket.AF_INET:
                names.add(address.address)
            elif address.family == socket.AF_INET6:
                names.add(f"[{address.address.partition('%')[0]}]")
    return sorted(names)


class Guard:
    """Refuses what another site's page sends and what is too many at a time, and adds HEADERS."""

    def __init__(self, app: ASGIApp):
        self.app, self.running = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        asked, app = Headers(scope=scope), self.app
        if "origin" in asked and asked["origin"].partition("://")[2] != asked.get("host"):
            app = PlainTextResponse("This comes from another site.", 403)
        elif self.running >= WAITING:
            app = PlainTextResponse("Too many ask at once: try again.", 503, {"Retry-After": "5"})
        self.running += 1
        try:
            with suppress(ClientDisconnect, CancelledError):  # nobody is left to be answered, or to answer
                await app(scope, receive, with_headers)
        finally:
            self.running -= 1


def listen(host: str, port: int | None) -> socket.socket:
    """A socket on `host`; port None takes the first free one from 7860 on.   Raises: UserError."""
    for number in range(7860, 7960) if port is None else [port]:
        try:
            return socket.create_server(
                (host, number), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except (OSError, OverflowError) as error:
            reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0].strip(".")
            if getattr(error, "errno", None) != EADDRINUSE:
                break
    raise UserError(
        f"port {number} of '{host}' cannot be used ({reason}): choose another with --port or --host."
    )


def run(app: Starlette, place: socket.socket) -> None:
    """Serve on what `listen` gave until Ctrl-C, SIGTERM or SIGHUP; the app's lifespan then clears up."""
    host, port = place.getsockname()[:2]
    host = "localhost" if host in ("0.0.0.0", "::") else host  # this machine, among others
    host = f"[{host}]" if ":" in host else host
    print(f"Open http://{host}:{port} in a browser; Ctrl-C ends it.", flush=True)
    serving = server(app)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # uvicorn knows only Ctrl-C and SIGTERM; a closed terminal ends as SIGTERM does.
        signal.signal(signal.SIGHUP, lambda *_: serving.handle_exit(signal.SIGTERM, None))
    serving.run(sockets=[place])


class Server(uvicorn.Server):
    """A second Ctrl-C would cut off what the first has begun, with a traceback."""

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            super().handle_exit(number, frame)


def server(app: Starlette) -> Server:
    """It believes no header about who asks, and does not say what it is."""
    settings = {"log_level": "warning", "proxy_headers": False, "server_header": False, "ws": "none"}
    return Server(uvicorn.Config(app, timeout_graceful_shutdown=3, **settings))
