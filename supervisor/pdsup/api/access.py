"""Authentication of requests over the network: agents by signature, viewers by link or token.

Anyone may reach the port and record requests. An agent signs each request with the run's token, so
none can be forged, and each is answered once, with a signature (``node/signatures.py``). A browser
can't sign: it opens a one-time link, which expires after ten minutes, and gets a ticket as a
cookie; Prometheus sends the run's view token. A ticket or view token must never open more than
``VIEWS``. The run's token itself must never be sent, and nothing can be changed over the network:
only the control socket has commands.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web

from pdsup import clock
from pdsup.node import signatures
from pdsup.printable import printable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What a browser or Prometheus may read without a signature.
VIEWS = frozenset({"/", "/v1/stream", "/metrics"})
# A link is good for one visit within this time; MOST_LINKS may be open at once.
LINK_S = 600.0
MOST_LINKS = 64
# Requests are remembered for as long as they could be sent again, but only so many: some 5 MB.
MOST_REQUESTS = 1 << 16
# Where a request keeps the nonce that its answer is signed with.
NONCE = web.RequestKey("nonce", str)
HINT = "To open this page, run pdsup web on a node of the cluster and follow the link it prints.\n"
SCRAPE_HINT = (
    "; to read it, send the header 'Authorization: Bearer TOKEN' with the content of the file "
    "view-token in the run directory\n"
)


class Access:
    """Checks the requests to one agent. ``token`` is the secret that the run's agents share,
    ``node`` the agent's node, and ``addresses`` those of all nodes by name, for links.
    """

    def __init__(self, token: str, node: str, addresses: Mapping[str, str]) -> None:
        self._token = token
        self._node = node
        named = (*addresses, *addresses.values())
        self._names = {"localhost", os.uname().nodename.lower(), *map(str.lower, named)}
        self._links: dict[str, float] = {}
        self._requests = Requests()

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
                self._check_origin(request)
                return self._enter(request.query["key"])
            if self._may_look(request):
                return await handler(request)
        if (refusal := self._refusal(request)) is not None:
            hint = SCRAPE_HINT if request.path in VIEWS else ""
            raise web.HTTPUnauthorized(text=HINT if request.path == "/" else f"{refusal}{hint}")
        if request.body_exists:  # it is not signed
            raise web.HTTPBadRequest(text="a request over the network has no body")
        return await handler(request)

    def _refusal(self, request: web.Request) -> str | None:
        given, now = request.headers, clock.wall()
        refusal = signatures.refusal(
            self._token, request.method, request.raw_path, self._node, given
        )
        if refusal is not None:
            return refusal
        request[NONCE] = given[
            signatures.NONCE
        ]  # whoever has the token may believe why it is refused
        return signatures.lateness(given, now) or self._requests.refusal(
            given[signatures.SIGNATURE], signatures.seconds(given[signatures.TIME]), now
        )

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Signs the answer to a signed request, just before it is sent. Of one whose body comes
        later (``api/beats.py``) it signs the head.
        """
        if (nonce := request.get(NONCE)) is None:
            return
        kind = response.headers.get(hdrs.CONTENT_TYPE, "")
        if isinstance(response, web.Response):
            body = response.body if isinstance(response.body, bytes) else b""
            signature = self.signature(request, response.status, kind, body)
        else:
            signature = signatures.sign_head(self._token, self._node, nonce, response.status, kind)
        response.headers[signatures.SIGNATURE] = signature

    def signature(self, request: web.Request, status: int, kind: str, body: bytes) -> str:
        """The signature of an answer to a signed request."""
        return signatures.sign_answer(self._token, self._node, request[NONCE], status, kind, body)

    def _check_origin(self, request: web.Request) -> None:
        """Refuses what another site makes a browser ask: its own name may lead to this agent, but
        not with an address, nor with the name of a node.
        """
        host = _name_of(request.headers.get(hdrs.HOST, ""))
        origin = request.headers.get(hdrs.ORIGIN)
        if not (host in self._names or _is_address(host)):
            raise web.HTTPForbidden(
                text=f"{printable(host[:100])} is no name of this cluster. {HINT}"
            )
        if origin is not None and origin.partition("://")[2] != request.headers[hdrs.HOST]:
            raise web.HTTPForbidden(text="The page of another site may not ask this.\n")

    def _may_look(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return signatures.is_view_token(self._token, bearer.strip())
        if not signatures.is_good(
            self._token, request.cookies.get(signatures.COOKIE, ""), clock.wall()
        ):
            return False
        self._check_origin(request)
        return True

    def _enter(self, key: str) -> web.StreamResponse:
        if self._links.pop(key, 0.0) <= clock.monotonic():
            raise web.HTTPUnauthorized(text=f"This link has been used or has expired.\n{HINT}")
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(
            signatures.COOKIE,
            signatures.ticket(self._token, clock.wall()),
            max_age=int(signatures.TICKET_S),
            httponly=True,
            samesite="Lax",
        )
        return response


def _name_of(host: str) -> str:
    """The name or address in a Host header."""
    name, bracket, _ = host.removeprefix("[").partition("]")
    return (name if bracket else host.partition(":")[0]).lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Requests:
    """The signed requests of the last minutes, so that none is answered twice.

    When there are too many, the oldest are forgotten, and what is as old is refused from then on.
    """

    def __init__(self) -> None:
        # By the second of their time: the first 8 bytes of each signature.
        self._seen: dict[int, set[int]] = {}
        self._number = 0
        self._oldest = float("-inf")

    def refusal(self, signature: str, time: float, now: float) -> str | None:
        """Why a request with a valid signature and time is refused, or None; it is then known."""
        if time < self._oldest:
            return "the request is older than those that are remembered"
        second, mark = int(time), int(signature[:16], 16)
        if second not in self._seen:
            self._forget(now - signatures.TOLERANCE_S - 1)
            self._seen[second] = set()
        if mark in self._seen[second]:
            return "the request was answered before"
        self._seen[second].add(mark)
        self._number += 1
        if self._number > MOST_REQUESTS:
            self._oldest = min(self._seen) + 1.0
            self._forget(self._oldest)
        return None

    def _forget(self, until: float) -> None:
        for second in [each for each in self._seen if each < until]:
            self._number -= len(self._seen.pop(second))
