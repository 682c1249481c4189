"""Authentication: signatures between agents, view tokens for Prometheus, tickets for browsers.

The run's token is the only secret, and it is never sent. Agents sign each request with HMAC-SHA256,
keyed with the token, over method, path with query, the node that is asked, time and nonce, one per
line. The time limits how long a recorded request could be sent again, and the agent that is asked
remembers it for as long. The answer is signed too, over the node, the request's nonce, status, type
and body, so that nobody can answer in an agent's place.

Version 0.1.0 signs no answers, and its requests name no node. All agents of a run have its token,
so the token says what they do: one that begins with ``MUTUAL`` was made by a later version, and
then there is no exception. In a run that 0.1.0 began, requests have its form, and a node's answers
must be signed from the first that is (``cluster/peers.py``).

View tokens and tickets are derived from the token: they reveal nothing about it, and they allow
neither changes nor the requests that agents make to each other. Every comparison takes constant
time. Pure.
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
# The length of a signature, which is in hex.
SIGNATURE_CHARACTERS = 64
# How the token begins of a run whose agents all sign their answers.
MUTUAL = "2."
# NTP keeps a cluster's clocks together; ten minutes allow for a node without it.
TOLERANCE_S = 600.0


def made_of(secret: str) -> str:
    """The token of a new run, made of a secret."""
    return f"{MUTUAL}{secret}"


def is_mutual(token: str) -> bool:
    """Whether all agents of the run with this token sign their answers."""
    return token.startswith(MUTUAL)


def sign(token: str, method: str, path: str, node: str, time: str, nonce: str) -> str:
    """The signature of a request to the agent of a node."""
    parts = (method, path, node, time, nonce) if is_mutual(token) else (method, path, time, nonce)
    return _hmac(token, "\n".join(parts))


def headers(
    token: str, method: str, path: str, node: str, now: float, nonce: str
) -> dict[str, str]:
    """The headers of a signed request. ``now``: seconds since the epoch."""
    time = f"{now:.3f}"
    return {TIME: time, NONCE: nonce, SIGNATURE: sign(token, method, path, node, time, nonce)}


def sign_answer(token: str, node: str, nonce: str, status: int, kind: str, body: bytes) -> str:
    """The signature of a node's answer to a request with this nonce. ``kind``: its Content-Type."""
    return _hmac(token, f"answer\n{node}\n{nonce}\n{status}\n{kind}\n", body)


def sign_head(token: str, node: str, nonce: str, status: int, kind: str) -> str:
    """The signature of an answer whose body comes later."""
    return _hmac(token, f"head\n{node}\n{nonce}\n{status}\n{kind}\n")


def is_same(expected: str, given: str) -> bool:
    """Whether a signature is the one that was expected."""
    return hmac.compare_digest(_bytes(expected), _bytes(given))


def refusal(token: str, method: str, path: str, node: str, given: Mapping[str, str]) -> str | None:
    """Why a request to the agent of a node is not authentic, or None if it is."""
    time, nonce, signature = (given.get(name, "") for name in (TIME, NONCE, SIGNATURE))
    if not (time and nonce and signature):
        return "the request is not signed"
    if not is_same(sign(token, method, path, node, time, nonce), signature):
        return "the signature is wrong: another run's token, or meant for another node?"
    return None


def lateness(given: Mapping[str, str], now: float) -> str | None:
    """Why a request is too old or too new, or None if it is not. ``now``: seconds since 1970."""
    late = now - seconds(given.get(TIME, ""))
    if math.isnan(late):
        return "the request's time is not a number"
    if not abs(late) <= TOLERANCE_S:
        way = "ahead of" if late < 0 else "behind"
        return f"the sender's clock is {duration(abs(late))} {way} this node's"
    return None


def seconds(time: str) -> float:
    """The time of a request in seconds since the epoch, NaN if it is no number."""
    try:
        return float(time)
    except ValueError:
        return math.nan


def _hmac(token: str, head: str, body: bytes = b"") -> str:
    mac = hmac.new(token.encode(), _bytes(head), hashlib.sha256)
    mac.update(body)
    return mac.hexdigest()


def _bytes(text: str) -> bytes:
    # The server decodes a header or path that is not UTF-8 to lone surrogates.
    return text.encode(errors="surrogateescape")


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
    return _hmac(token, f"pdsup {purpose}")
