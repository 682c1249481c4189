"""How a run moves from one plan to the next, from what the nodes report.

On hearing of a changed plan, each agent hands over to a successor that has it; running units are
not touched. Once every node has the plan, the units that it changes restart: all at once, except
for routers, which restart one after another so that the others keep serving. Two things must never
happen: units started from different plans that talk to each other because a node was slow to load
the plan, and no router left to serve. The first node follows all others and all follow it, so it
alone sees the whole cluster, and its report says how far the rollout is. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdsup.cluster.report import Look, Peer
from pdsup.plan.model import Plan

WAITS = "waits until every node has the changed plan"


def behind(plan: Plan, digest: str, node: str, peers: Mapping[str, Peer]) -> str | None:
    """Why changed units of ``node`` may not start yet, or None once every node has the plan.

    An unreachable node is not waited for: it loads the plan when it is back.
    """
    first = plan.nodes[0].name
    late = sorted(name for name, peer in peers.items() if _is_behind(peer, digest))
    if node == first and late:
        return f"waits for {late[0]} to load the changed plan"
    if node == first or (leader := peers.get(first)) is None:
        return None
    if first in late:
        return f"waits for {first} to load the changed plan"
    all_have_plan = leader.usable is None or leader.usable.level
    return None if all_have_plan else WAITS


def _is_behind(peer: Peer, digest: str) -> bool:
    if not peer.asked:
        return True
    return peer.usable is not None and peer.usable.plan != digest


def router_turn(routers: Mapping[str, str], look: Look) -> str | None:
    """The router that may restart now, or None; each waits until those before it are ready.

    ``routers`` maps the plan's routers, in its order, to the fingerprint that each should run with.
    A router that is not ready serves nobody, so it goes first. If a restarted router does not
    become ready, the others stay as they are: the change may be at fault, and they still serve.
    """
    up = [report for name in routers if (report := look(name)) and not report.state.is_at_rest]
    outdated = [report for report in up if report.made not in ("", routers[report.name])]
    if any(not report.ready for report in up if report not in outdated):
        return None
    return next((report.name for report in sorted(outdated, key=lambda router: router.ready)), None)


def router_hold(routers: Mapping[str, str], turn: str | None, look: Look) -> str:
    """Why a router whose turn has not come does not restart yet: whom it waits for."""
    if turn is not None:
        return f"waits for {turn} to restart first"
    up = [report for name in routers if (report := look(name)) and not report.state.is_at_rest]
    restarted = [report for report in up if report.made in ("", routers[report.name])]
    missing = [report.name for report in restarted if not report.ready]
    return f"waits for {missing[0]} to become ready" if missing else "waits for its turn to restart"
