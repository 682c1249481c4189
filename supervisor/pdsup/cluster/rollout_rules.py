"""How a run goes from one plan to the next, from what the nodes report.

Each agent hands over to one with the changed plan as soon as it hears of it; what runs, runs on.
Once every node has the plan, the units that it changes restart: all at once, but routers one after
another, so that the others serve. The first node follows all others, and all follow it: it alone
sees the whole, and its report says how far the rollout is. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdsup.cluster.report import Look, Peer
from pdsup.plan.model import Plan

WAITS = "waits until every node has taken in the changed plan"


def behind(plan: Plan, digest: str, node: str, peers: Mapping[str, Peer]) -> str | None:
    """What keeps changed units of ``node`` from a start, or None once every node has the plan.

    A node that can't be asked is not waited for: it takes in the plan when it is back.
    """
    first = plan.nodes[0].name
    found = sorted(name for name, peer in peers.items() if _is_behind(peer, digest))
    if node == first and found:
        return f"waits for {found[0]} to take in the changed plan"
    if node == first or (leader := peers.get(first)) is None:
        return None
    if first in found:
        return f"waits for {first} to take in the changed plan"
    all_have_plan = leader.usable is None or leader.usable.level
    return None if all_have_plan else WAITS


def _is_behind(peer: Peer, digest: str) -> bool:
    if not peer.asked:
        return True
    return peer.usable is not None and peer.usable.plan != digest


def router_turn(routers: Mapping[str, str], look: Look) -> str | None:
    """The router that may restart: one after another, each when those before are ready.

    ``routers``: those of the plan, in its order, with the fingerprint that each is to run with.
    One that is not ready is no loss, so it comes first. One that restarted and does not get ready
    keeps the others as they are: whatever is wrong with it, they serve.
    """
    up = [report for name in routers if (report := look(name)) and not report.state.is_at_rest]
    outdated = [report for report in up if report.made not in ("", routers[report.name])]
    if any(not report.ready for report in up if report not in outdated):
        return None
    return next((report.name for report in sorted(outdated, key=lambda one: one.ready)), None)
