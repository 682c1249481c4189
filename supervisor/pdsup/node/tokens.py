"""Authentication: signatures between agents, view tokens for Prometheus, tickets for browsers.

The run's token is the only secret, and it is never sent in a request. Agents sign each request
with HMAC-SHA256, keyed with the token, over method, path with query, time and nonce, one per line.
The time limits how long a recorded request can be replayed; a replay is harmless anyway, because
TCP serves only GET. View tokens and tickets are derived from the token: they reveal nothing about
it, and they allow neither changes nor the requests that agents make to each other. Every comparison
takes constant time. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping

from pdsup.times import duration

TIME = "X-Pdsup-Time"
NONCE = "X-Pdsup-Nonce"
SIGNATURE = "X-Pdsup-Signature"
# NTP keeps a cluster's clocks together; ten minutes allow for a node without it.
TOLERANCE_S = 600.0


def sign(token: str, method: str, path: str, time: str, nonce: str) -> str:
    """The signature of a request, in hex."""
    message = _bytes("\n".join((method, path, time, nonce)))
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def headers(token: str, method: str, path: str, now: float, nonce: str) -> dict[str, str]:
    """The headers of a signed request. ``now``: seconds since the epoch."""
    time = f"{now:.3f}"
    return {TIME: time, NONCE: nonce, SIGNATURE: sign(token, method, path, time, nonce)}


def refusal(token: str, method: str, path: str, given: Mapping[str, str], now: float) -> str | None:
    """Why a request is refused, or None if its signature is valid."""
    time, nonce, signature = (given.get(name, "") for name in (TIME, NONCE, SIGNATURE))
    if not (time and nonce and signature):
        return "the request is not signed"
    expected = sign(token, method, path, time, nonce)
    if not hmac.compare_digest(_bytes(expected), _bytes(signature)):
        return "the signature is wrong: another run's token?"
    late = now - _seconds(time)
    if math.isnan(late):
        return "the request's time is not a number"
    if not abs(late) <= TOLERANCE_S:
        way = "ahead of" if late < 0 else "behind"
        return f"the sender's clock is {duration(abs(late))} {way} this node's"
    return None


def _bytes(text: str) -> bytes:
    # The server decodes a header or path that is not UTF-8 to lone surrogates.
    return text.encode(errors="surrogateescape")


def _seconds(time: str) -> float:
    try:
        return float(time)
    except ValueError:
        return math.nan


COOKIE = "pdsup-view"
# One shift; after that a user asks for a new link.
TICKET_S = 12 * 3600.0


def view_token(token: str) -> str:
    """The bearer token for Prometheus, the same for the whole run."""
    return _mac(token, "view")


def ticket(token: str, now: float) -> str:
    """The cookie for a browser, valid for twelve hours at every agent of the run."""
    until = f"{now + TICKET_S:.0f}"
    return f"{until}.{_mac(token, f'ticket {until}')}"


def is_good(token: str, given: str, now: float) -> bool:
    """Whether ``given`` is a ticket of this run that has not expired at ``now`` (epoch seconds)."""
    until, _, mac = given.partition(".")
    if not hmac.compare_digest(_mac(token, f"ticket {until}").encode(), _bytes(mac)):
        return False
    return now <= float(until)  # its MAC is right, so this module wrote the number


def is_view_token(token: str, given: str) -> bool:
    """Whether ``given`` is the bearer token of this run."""
    return hmac.compare_digest(view_token(token).encode(), _bytes(given))


def _mac(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), _bytes(f"pdsup {purpose}"), hashlib.sha256).hexdigest()
