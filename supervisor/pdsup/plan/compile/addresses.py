"""The address at which each node is reached, chosen among those that its name resolves to.

Every agent that compiles a recipe must find the same address for each node, but a node knows only
its own interfaces. Names resolve to the same addresses everywhere, so the choice is made among
those.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace

from pdsup.address import is_ipv6
from pdsup.errors import Problem, SupervisorError
from pdsup.plan.check_values import NAME
from pdsup.plan.model import Node
from pdsup.plan.recipe.tables import Network

AT = "network"
ANY = "0.0.0.0/0"


def problems(network: Network | None) -> tuple[Problem, ...]:
    """The problems of a recipe's ``network`` table."""
    if network is None:
        return ()
    if (network.interface is None) == (network.subnet is None):
        return (Problem(AT, "takes one of interface and subnet"),)
    if network.interface is not None and not NAME.fullmatch(network.interface):
        message = f"{network.interface!r} is not the name of an interface, such as ib0"
        return (Problem(f"{AT}.interface", message),)
    try:
        ipaddress.ip_network(network.subnet or ANY)
    except ValueError as error:
        return (Problem(f"{AT}.subnet", f"must be like 10.1.0.0/16 or fd00:1::/64: {error}"),)
    return ()


def name_of(node: str, network: Network) -> str:
    """The name to look up for a node."""
    return f"{node}-{network.interface}" if network.interface else node


def choose(resolved: Sequence[str], network: Network) -> str | None:
    """The lowest of a name's IP addresses in the subnet, if any."""
    subnet = ipaddress.ip_network(network.subnet or ANY)
    inside = [address for text in resolved if (address := ipaddress.ip_address(text)) in subnet]
    return str(min(inside, key=int)) if inside else None


def addressed(nodes: tuple[Node, ...], network: Network) -> tuple[Node, ...]:
    """``nodes`` with addresses in ``network``; an address that was given explicitly is kept.

    Raises SupervisorError, with the node and what its name resolves to, if there is none.
    """
    return tuple(
        replace(node, address=_address(node.name, network)) if node.address == node.name else node
        for node in nodes
    )


def _address(node: str, network: Network) -> str:
    import socket  # late: most recipes resolve no names

    name = name_of(node, network)
    family = socket.AF_INET6 if is_ipv6(network.subnet or ANY) else socket.AF_INET
    try:
        answers = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError as error:
        raise SupervisorError(
            f"cannot find the address of {node}: {name}: {error.strerror}"
        ) from None
    resolved = sorted({str(answer[4][0]) for answer in answers})
    address = choose(resolved, network)
    if address is None:
        raise SupervisorError(
            f"cannot find an address of {node} in {network.subnet}: its name resolves to "
            + ", ".join(resolved)
        )
    return address
