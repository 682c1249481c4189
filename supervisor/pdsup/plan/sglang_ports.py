"""Ports that an SGLang server listens on although no flag names them. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from pdsup.plan import defaults


def derived_ports(command: Sequence[str]) -> tuple[int, ...]:
    """What an engine with this command listens on though no flag says so.

    Data-parallel attention opens six ports from ``--dist-init-addr`` on, or from ``--port`` + 233
    on a worker that has none. Only rank 0 does. Its data-parallel ranks publish the events of
    their caches on ports that follow one another.
    """
    if "--enable-dp-attention" not in command:
        return ()
    return (*_attention_ports(command), *_publishing_ports(command))


def _attention_ports(command: Sequence[str]) -> tuple[int, ...]:
    if value_of(command, "--node-rank", "0") != "0":
        return ()
    meeting = value_of(command, "--dist-init-addr", "")
    port = meeting.rpartition(":")[2] if meeting else value_of(command, "--port", "")
    if not port.isdecimal():
        return ()
    # The first of --dist-init-addr itself is in the unit's own ports.
    first = int(port) + 1 if meeting else int(port) + defaults.ATTENTION_OFFSET
    return tuple(range(first, first + defaults.ATTENTION_PORTS - bool(meeting)))


def _publishing_ports(command: Sequence[str]) -> tuple[int, ...]:
    """Those of the data-parallel ranks on this node after the first of all."""
    found = re.search(r'"endpoint":"[^"]*:([0-9]{1,5})"', value_of(command, f"--{KV_EVENTS}", ""))
    size = number_of(command, ("--data-parallel-size", "--dp-size", "--dp"))
    if found is None or size < 2:
        return ()
    here = max(1, size // max(1, number_of(command, ("--nnodes",))))
    first = here * number_of(command, ("--node-rank",))
    return tuple(int(found[1]) + rank for rank in range(first, first + here) if rank)


KV_EVENTS = "kv-events-config"


def number_of(command: Sequence[str], flags: tuple[str, ...]) -> int:
    text = next((word for flag in flags if (word := value_of(command, flag, ""))), "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0


def value_of(command: Sequence[str], flag: str, default: str) -> str:
    for word, following in itertools.pairwise(command):
        if word == flag:
            return following
    return default
