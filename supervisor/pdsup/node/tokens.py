"""What proves who asks: signatures of agents, and what lets a browser or Prometheus look.

Agents sign with HMAC-SHA256 over method, path with query, time and nonce, one per line, keyed with
the run's token. The time bounds how long a recorded request can be replayed; that is harmless
anyway, because only GET is served to others. View tokens and tickets are derived from the token,
reveal nothing of it, and allow neither changes nor the questions that agents ask of each other.
Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping

TIME = "X-Pdsup-Time"
NONCE = "X-Pdsup-Nonce"
SIGNATURE = "X-Pdsup-Signature"
# Clocks of a cluster are kept by NTP; ten minutes forgive a node whose clock is not.
TOLERANCE_S = 600.0


def sign(token: str, method: str, path: str, time: str, nonce: str) -> str:
    """The signature, in hexadecimal."""
    message = _bytes("\n".join((method, path, time, nonce)))
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()


def headers(token: str, method: str, path: str, now: float, nonce: str) -> dict[str, str]:
    """What a signed request carries. ``now``: seconds since the epoch."""
    time = f"{now:.3f}"
    return {TIME: time, NONCE: nonce, SIGNATURE: sign(token, method, path, time, nonce)}


def refusal(token: str, method: str, path: str, given: Mapping[str, str], now: float) -> str | None:
    """Why a request is not to be answered, or None when its signature is good."""
    time, nonce, signature = (given.get(name, "") for name in (TIME, NONCE, SIGNATURE))
    if not (time and nonce and signature):
        return "the request is not signed"
    expected = sign(token, method, path, time, nonce)
    if not hmac.compare_digest(_bytes(expected), _bytes(signature)):
        return "the signature is wrong: another run's token?"
    late = now - _seconds(time)
    if not abs(late) <= TOLERANCE_S:
        return f"the request's time differs from this node's by {late:.0f} s"
    return None


def _bytes(text: str) -> bytes:
    # Of a header or path that is no UTF-8 the server makes lone surrogates.
    return text.encode(errors="surrogateescape")


def _seconds(time: str) -> float:
    try:
        return float(time)
    except ValueError:
        return math.nan


COOKIE = "pdsup-view"
# A shift: then one asks for another link.
TICKET_S = 12 * 3600.0


def view_token(token: str) -> str:
    """What Prometheus sends as its bearer token: the same for a whole run."""
    return _mac(token, "view")


def ticket(token: str, now: float) -> str:
    """What a browser sends as its cookie: good for twelve hours, at every agent of the run."""
    until = f"{now + TICKET_S:.0f}"
    return f"{until}.{_mac(token, f'ticket {until}')}"


def is_good(token: str, given: str, now: float) -> bool:
    """Whether ``given`` is a ticket of this run that has not run out (seconds since the epoch)."""
    until, _, mac = given.partition(".")
    if not hmac.compare_digest(_mac(token, f"ticket {until}").encode(), _bytes(mac)):
        return False
    return now <= float(until)  # made here, so it is a number


def is_view_token(token: str, given: str) -> bool:
    """Whether ``given`` is the bearer token of this run."""
    return hmac.compare_digest(view_token(token).encode(), _bytes(given))


def _mac(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), _bytes(f"pdsup {purpose}"), hashlib.sha256).hexdigest()
