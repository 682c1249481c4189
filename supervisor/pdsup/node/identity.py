"""Which node of the plan this machine is. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pdsup.errors import SupervisorError
from pdsup.plan.model import Plan


def own_node(plan: Plan, given: str | None, environ: Mapping[str, str], hostname: str) -> str:
    """The node name to run as: ``--node``, else ``SLURMD_NODENAME``, else the hostname.

    ``node3`` and ``node3.example.org`` match each other, whichever the plan has. Raises
    SupervisorError, naming the name that was tried, if the plan has no such node.
    """
    tried = given or environ.get("SLURMD_NODENAME") or hostname
    names = [node.name for node in plan.nodes]
    if tried in names:
        return tried
    same = [name for name in names if _shortens(name, tried) or _shortens(tried, name)]
    if not given and len(same) == 1:
        return same[0]
    known = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    raise SupervisorError(
        f"cannot find node {tried} in plan {plan.name}: it has {known}; choose one with --node"
    )


def _shortens(short: str, long: str) -> bool:
    return "." not in short and long.startswith(f"{short}.")
