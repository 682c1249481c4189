"""What lets somebody look who can't sign: a browser, or Prometheus. Pure.

All of it comes from the run's token and gives nothing of it away; it lets nobody change anything,
nor ask what agents ask of each other.
"""

from __future__ import annotations

import hashlib
import hmac

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


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
