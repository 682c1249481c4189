"""Authentication of requests over the network: agents by signature, viewers by link or token.

Anyone may reach the port and record requests. An agent signs each request with the run's token, so
none can be forged (``node/tokens.py``). A browser can't sign: it opens a one-time link, which
expires after ten minutes, and gets a ticket as a cookie; Prometheus sends the run's view token. A
ticket or view token must never open more than ``VIEWS``. The run's token itself must never be sent,
and nothing can be changed over the network: only the control socket has commands, so to replay a
request does no harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from pdsup import clock
from pdsup.node import tokens

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What a browser or Prometheus may read without a signature.
VIEWS = frozenset({"/", "/v1/stream", "/metrics"})
# A link is good for one visit within this time; MOST_LINKS may be open at once.
LINK_S = 600.0
MOST_LINKS = 64
HINT = "To open this page, run pdsup web on a node of the cluster and follow the link it prints.\n"
SCRAPE_HINT = (
    "; to read it, send the header 'Authorization: Bearer TOKEN' with the content of the file "
    "view-token in the run directory\n"
)


class Access:
    """Checks the requests to one agent. ``token`` is the secret that the run's agents share."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._links: dict[str, float] = {}

    def link(self) -> str:
        """A new one-time key for a link. When there are too many, the oldest expire."""
        now = clock.monotonic()
        open_ = [(key, until) for key, until in self._links.items() if until > now]
        self._links = dict(open_[-(MOST_LINKS - 1) :])
        key = secrets.token_urlsafe(24)
        self._links[key] = now + LINK_S
        return key

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses unauthenticated requests with 401, and turns a valid link into a ticket."""
        if request.path in VIEWS and request.method == "GET":
            if "key" in request.query:
                return self._enter(request.query["key"])
            if self._may_look(request):
                return await handler(request)
        refusal = tokens.refusal(
            self._token, request.method, request.raw_path, request.headers, clock.wall()
        )
        if refusal is not None:
            hint = SCRAPE_HINT if request.path in VIEWS else ""
            raise web.HTTPUnauthorized(text=HINT if request.path == "/" else f"{refusal}{hint}")
        return await handler(request)

    def _may_look(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return tokens.is_view_token(self._token, bearer.strip())
        return tokens.is_good(self._token, request.cookies.get(tokens.COOKIE, ""), clock.wall())

    def _enter(self, key: str) -> web.StreamResponse:
        if self._links.pop(key, 0.0) <= clock.monotonic():
            raise web.HTTPUnauthorized(text=f"This link has been used or has expired.\n{HINT}")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            tokens.COOKIE,
            tokens.ticket(self._token, clock.wall()),
            max_age=int(tokens.TICKET_S),
            httponly=True,
            samesite="Lax",
        )
        return response
