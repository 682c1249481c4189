"""The nodes of a plan: from a host list, from the Slurm job, or invented. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import hostlist

from pdsup.errors import WrongUsage
from pdsup.plan.check_values import NAME, is_address
from pdsup.plan.model import Node

# Ten times as many as a plan may have.
MOST_NAMES = 100_000


def invented_nodes(count: int) -> tuple[Node, ...]:
    """Made-up nodes ``node0``, ``node1`` ... for checking a recipe without real ones."""
    return tuple(Node(name=f"node{i}", address=f"node{i}") for i in range(count))


def slurm_nodes(environ: Mapping[str, str]) -> tuple[Node, ...] | None:
    """The nodes of the Slurm job in ``environ``, or None outside a job.

    The nodes of a heterogeneous job are ordered by component, and ``group`` is the component.
    """
    components = _components(environ)
    if components:
        return tuple(
            replace(node, group=group)
            for group, nodelist in enumerate(components)
            for node in parse_nodes(nodelist)
        )
    nodelist = environ.get("SLURM_JOB_NODELIST") or environ.get("SLURM_NODELIST")
    return parse_nodes(nodelist) if nodelist else None


def _components(environ: Mapping[str, str]) -> list[str]:
    """The host list of each component of a heterogeneous job."""
    lists = (
        environ.get(f"SLURM_JOB_NODELIST_HET_GROUP_{group}", "") for group in itertools.count()
    )
    return list(itertools.takewhile(bool, lists))


def parse_nodes(text: str, addresses: str | None = None) -> tuple[Node, ...]:
    """The nodes of a Slurm host list such as ``node[0-3],login``, with addresses from another one.

    Without ``addresses`` a node's address is its name. Raises WrongUsage for an invalid list.
    """
    names = _expanded(text, "node list", NAME.fullmatch)
    if addresses is None:
        return tuple(Node(name=name, address=name) for name in names)
    expanded = _expanded(addresses, "address list", is_address)
    if len(expanded) != len(names):
        raise WrongUsage(
            f"cannot use address list {addresses[:80]!r}: it has {len(expanded)} different"
            f" addresses for {len(names)} nodes"
        )
    pairs = zip(names, expanded, strict=True)
    return tuple(Node(name=name, address=address) for name, address in pairs)


def _parts(text: str) -> Iterator[str]:
    """The entries of a host list as they are written: its commas outside brackets divide them."""
    depth = begin = 0
    for place, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def _expanded(text: str, what: str, is_good: Callable[[str], object]) -> list[str]:
    """The entries of a host list, in order."""
    shown = f"{what} {text[:80]!r}"
    try:
        found: dict[str, None] = {}
        for part in _parts(text):
            found.update(dict.fromkeys(hostlist.expand_hostlist(part)))
            if len(found) > MOST_NAMES:  # hostlist bounds each part, but not how many there are
                raise ValueError(f"it names more than {MOST_NAMES:,}")
        entries = list(found)
    except (hostlist.BadHostlist, ValueError, RecursionError) as error:
        cause = "it is too long" if isinstance(error, RecursionError) else error
        raise WrongUsage(f"cannot read {shown}: {cause}") from None
    if not entries:
        raise WrongUsage(f"cannot read {shown}: it names no node")
    if bad := next((entry for entry in entries if not is_good(entry)), None):
        raise WrongUsage(f"cannot read {shown}: {bad[:80]!r} is not a host name")
    return entries
