"""The ports of an SGLang rank: those that its flags name, and those that no flag names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pdsup.plan import defaults, flags
from pdsup.plan.engines.engine import EngineSettings, Rank

# --- SGLang: ports ----------------------------------------------------------------------------

# Offsets in a worker's 32 ports. 0 to 8 are used; 9 to 14 hold the ports of worker k - 7's
# data-parallel attention on a single node (its port + 233 to + 238).
BOOTSTRAP_OFFSET = 1
NCCL_OFFSET = 2
DIST_INIT_OFFSET = 3
# SGLang opens six ports that no flag names, from --dist-init-addr or from --port + 233.
ATTENTION_PORTS = 6
ATTENTION_OFFSET = 233
# The port is missing here because each worker has its own.
KV_EVENTS = {"publisher": "zmq", "topic": "kv-events"}
# ----------------------------------------------------------------------------------------------

KV_EVENTS_FLAG = "kv-events-config"
_PORT = re.compile(r"(.*):([0-9]{1,5})")


def ports(settings: EngineSettings, rank: Rank) -> dict[str, int]:
    """The ports that the flags of one rank name, by purpose."""
    base = base_port(rank)
    named = {"http": settings.port or base, "nccl": base + NCCL_OFFSET}
    if rank.rank == 0:
        published = _published(settings, rank)
        if published is not None:
            named["kv-events"] = published
        if rank.role == "prefill":
            named["bootstrap"] = bootstrap_port(rank)
        if rank.ranks > 1:
            named["dist-init"] = base + DIST_INIT_OFFSET
    return named


def base_port(rank: Rank) -> int:
    return defaults.WORKER_PORT + defaults.WORKER_STRIDE * rank.number


def bootstrap_port(rank: Rank) -> int:
    return rank.bootstrap or base_port(rank) + BOOTSTRAP_OFFSET


def _published(settings: EngineSettings, rank: Rank) -> int | None:
    """The port for KV cache events: the recipe's, else the rank's own; None: not published."""
    if settings.kv_events is None:
        return None
    given = settings.kv_events.get("endpoint")
    if given is None:
        return events_port(rank)
    match = _PORT.fullmatch(str(given))
    return int(match[2]) if match else None


def events_port(rank: Rank) -> int:
    return defaults.KV_EVENTS_PORT + defaults.WORKER_STRIDE * rank.number


def derived_ports(command: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The ports that a rank opens although no flag names them, each with a name.

    With data-parallel attention rank 0 opens six ports, from ``--dist-init-addr`` or, without that
    flag, from ``--port`` + 233. The data-parallel ranks publish their KV cache events on
    consecutive ports.
    """
    if "--enable-dp-attention" not in command:
        return ()
    derived = (*_attention_ports(command), *_publishing_ports(command))
    return tuple((f"attention-{port}", port) for port in derived)


def _attention_ports(command: Sequence[str]) -> tuple[int, ...]:
    if flags.value_of(command, "--node-rank", "0") != "0":
        return ()
    meeting = flags.value_of(command, "--dist-init-addr", "")
    port = meeting.rpartition(":")[2] if meeting else flags.value_of(command, "--port", "")
    if not port.isdecimal():
        return ()
    # The port of --dist-init-addr itself is among the unit's named ports.
    first = int(port) + 1 if meeting else int(port) + ATTENTION_OFFSET
    return tuple(range(first, first + ATTENTION_PORTS - bool(meeting)))


def _publishing_ports(command: Sequence[str]) -> tuple[int, ...]:
    """The event ports of this node's data-parallel ranks, except that of rank 0, which is named."""
    events = flags.value_of(command, f"--{KV_EVENTS_FLAG}", "")
    endpoint_port = re.search(r'"endpoint":"[^"]*:([0-9]{1,5})"', events)
    size = flags.number_of(command, "--data-parallel-size", "--dp-size", "--dp")
    if endpoint_port is None or size < 2:
        return ()
    here = max(1, size // max(1, flags.number_of(command, "--nnodes")))
    first = here * flags.number_of(command, "--node-rank")
    return tuple(int(endpoint_port[1]) + rank for rank in range(first, first + here) if rank)
