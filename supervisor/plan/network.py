"""At which of its addresses a node is reached, from what the resolver knows of its names. Pure.

Every agent that compiles a recipe must find the same address for each node, and a node knows only
its own interfaces: so the choice is made among what names stand for, which is equal everywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from supervisor.errors import Problem
from supervisor.plan.limits import NAME
from supervisor.plan.recipe import Network

AT = "network"
ANY = "0.0.0.0/0"


def problems(network: Network | None) -> tuple[Problem, ...]:
    """What is wrong with the table."""
    if network is None:
        return ()
    if (network.interface is None) == (network.subnet is None):
        return (Problem(AT, "takes one of interface and subnet"),)
    if network.interface is not None and not NAME.fullmatch(network.interface):
        return (Problem(f"{AT}.interface", f"{network.interface!r} is no interface, like ib0"),)
    try:
        ipaddress.IPv4Network(network.subnet or ANY)
    except ValueError as error:
        return (Problem(f"{AT}.subnet", f"must be like 10.1.0.0/16: {error}"),)
    return ()


def name_of(node: str, network: Network) -> str:
    """The name to look up for a node."""
    return f"{node}-{network.interface}" if network.interface else node


def choose(found: Sequence[str], network: Network) -> str | None:
    """The one of a name's IP addresses that is meant: the lowest, if several are."""
    within = ipaddress.IPv4Network(network.subnet or ANY)
    meant = [address for text in found if (address := ipaddress.IPv4Address(text)) in within]
    return str(min(meant, key=int)) if meant else None
