"""Looks up the addresses at which nodes reach one another."""

from __future__ import annotations

from dataclasses import replace

from supervisor.errors import SupervisorError
from supervisor.plan import network as choice
from supervisor.plan.model import Node
from supervisor.plan.recipe import Network


def addressed(nodes: tuple[Node, ...], network: Network) -> tuple[Node, ...]:
    """``nodes`` with the addresses that ``network`` means; one given already is left.

    Raises SupervisorError, naming the node and what its name stands for, when there is none.
    """
    return tuple(
        replace(node, address=_address(node.name, network)) if node.address == node.name else node
        for node in nodes
    )


def _address(node: str, network: Network) -> str:
    import socket  # late: most recipes look up no names

    name = choice.name_of(node, network)
    try:
        answers = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise SupervisorError(
            f"cannot find the address of {node}: {name}: {error.strerror}"
        ) from None
    found = sorted({str(answer[4][0]) for answer in answers})
    address = choice.choose(found, network)
    if address is None:
        raise SupervisorError(
            f"cannot find an address of {node} in {network.subnet}: its name stands for "
            + ", ".join(found)
        )
    return address
