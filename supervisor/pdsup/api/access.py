"""Lets in who asks over the network: agents by their signature, and those who may only look."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from pdsup import clock
from pdsup.node import tokens

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What a browser or Prometheus may ask for without a signature.
VIEWS = frozenset({"/", "/v1/stream", "/metrics"})
# A link is good for one visit within this time; so many may be open at once.
LINK_S = 600.0
MOST_LINKS = 64
HINT = "This page is opened with a link that pdsup web prints on a node of the cluster.\n"


class Access:
    """Of the agent of a run with this token."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._links: dict[str, float] = {}

    def link(self) -> str:
        """A new one-time key. The oldest ones go when there are too many."""
        now = clock.monotonic()
        open_ = [(key, until) for key, until in self._links.items() if until > now]
        self._links = dict(open_[-(MOST_LINKS - 1) :])
        key = secrets.token_urlsafe(24)
        self._links[key] = now + LINK_S
        return key

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """401 for everybody else; a good link becomes a ticket, and is used up."""
        if request.path in VIEWS and request.method == "GET":
            if "key" in request.query:
                return self._enter(request.query["key"])
            if self._may_look(request):
                return await handler(request)
        refusal = tokens.refusal(
            self._token, request.method, request.raw_path, request.headers, clock.wall()
        )
        if refusal is not None:
            raise web.HTTPUnauthorized(text=HINT if request.path == "/" else refusal)
        return await handler(request)

    def _may_look(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return tokens.is_view_token(self._token, bearer.strip())
        return tokens.is_good(self._token, request.cookies.get(tokens.COOKIE, ""), clock.wall())

    def _enter(self, key: str) -> web.StreamResponse:
        if self._links.pop(key, 0.0) <= clock.monotonic():
            raise web.HTTPUnauthorized(text=f"This link was used, or is too old.\n{HINT}")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            tokens.COOKIE,
            tokens.ticket(self._token, clock.wall()),
            max_age=int(tokens.TICKET_S),
            httponly=True,
            samesite="Lax",
        )
        return response
