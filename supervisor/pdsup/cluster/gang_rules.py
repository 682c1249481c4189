"""How the ranks of one worker stay together: they start, fail and restart as one.

A gang lives in numbered epochs. The agent of rank 0, the leader, publishes an order for the current
epoch: ``hold`` until every rank is clear, then ``go``. As soon as any rank's part in the epoch has
ended, for whatever reason, the leader orders ``hold`` for the next one. Each rank reports its
standing. Orders and standings travel in reports only, so each may arrive late, twice or never.

Ranks of different epochs must never run at the same time: the engine would hang or mix up its
collectives. These rules rule that out, whatever is late, lost or forgotten:

1. A rank that has reported itself clear for an epoch has no process left from older epochs, and
   starts none before that epoch's ``go``. This stays true, so a stale report of it does no harm.
2. A rank starts in an epoch only after it reported itself clear for that epoch, and only once.
3. ``go`` requires the report of every rank. A rank that can't be reached holds up the gang.

A rank's agent that lost its standing is clear for no epoch; when it reads a ``go``, it reports that
it missed the epoch, and the leader orders the next. A leader that lost its order learns the current
epoch from the standings. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pdsup.cluster.gate_rules import NO_REPORT
from pdsup.cluster.report import Order, Standing, UnitReport
from pdsup.plan.model import Plan

FRESH = Standing(cleared=0, spent=0, alive=False, poised=False)
FIRST = Order(epoch=1, go=False, reason="")


def ranks(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The units of each gang, by its name, in the order of their ranks; the first one leads."""
    gangs: dict[str, list[tuple[int, str]]] = {}
    for unit in plan.units:
        if unit.gang is not None:
            gangs.setdefault(unit.gang, []).append((unit.rank or 0, unit.name))
    return {gang: tuple(name for _, name in sorted(pairs)) for gang, pairs in gangs.items()}


# -- the agent of rank 0 ----------------------------------------------------------------------


def resumed(leader: Standing) -> Order:
    """The leader's first order after its agent started, from the standing of rank 0.

    Rank 0 runs only after a ``go``, so while it is alive its epoch simply continues.
    """
    return Order(epoch=leader.spent, go=True, reason="") if leader.alive else FIRST


def decide(order: Order, reports: Mapping[str, UnitReport | None]) -> Order:
    """The leader's next order, given the report of every rank (None: its node gives no valid one).

    Call it whenever a report changes; it is idempotent.
    """
    known = [(report, report.standing) for report in reports.values() if report is not None]
    ranked = [(report, standing) for report, standing in known if standing is not None]
    epoch = max((_next(order, standing) for _, standing in ranked), default=order.epoch)
    if epoch > order.epoch:
        lost = [report for report, standing in ranked if _is_over(order, standing)]
        return Order(epoch=epoch, go=False, reason=_cause(lost) or order.reason)
    if not order.go and not missing(order, reports):
        return replace(order, go=True)
    return order


def missing(order: Order, reports: Mapping[str, UnitReport | None]) -> tuple[str, ...]:
    """One phrase for each rank that an epoch on hold waits for."""
    return tuple(
        f"{name} ({report.state} on {report.node})" if report else f"{name} ({NO_REPORT})"
        for name, report in reports.items()
        if report is None or report.standing is None or not _is_ready(order, report.standing)
    )


def _is_ready(order: Order, standing: Standing) -> bool:
    return standing.cleared == order.epoch and standing.poised and not standing.alive


def _is_over(order: Order, standing: Standing) -> bool:
    """Whether the rank's run of the current epoch has ended, or the rank has missed the epoch."""
    return standing.spent >= order.epoch and not (
        order.go and standing.alive and standing.spent == order.epoch
    )


def _next(order: Order, standing: Standing) -> int:
    """The earliest epoch that the rank runs in or can still join."""
    first = standing.spent + 1 if _is_over(order, standing) else standing.spent
    return max(order.epoch, standing.cleared, first)


def _cause(lost: Iterable[UnitReport]) -> str:
    """Why an epoch is over: a sentence about the first rank that dropped out of it."""
    for report in lost:
        if report.state.lost_its_run:
            return f"{report.name} is {report.state}: {report.reason or 'it ended'}"
        return f"{report.name} was on its own: an agent of its gang restarted"
    return ""


# -- the agent of each rank -------------------------------------------------------------------


def obey(standing: Standing, order: Order | None, *, alive: bool, poised: bool) -> Standing:
    """The new standing of a rank, given the leader's last order (None: there is no valid report).

    ``alive``: a process of one of its runs is left. ``poised``: it could start if its gang let it.
    """
    now = replace(standing, alive=alive, poised=poised)
    if order is None or alive:
        return now
    if not order.go:
        return replace(now, cleared=max(now.cleared, order.epoch))
    if now.cleared < order.epoch:
        return replace(now, spent=max(now.spent, order.epoch))
    return now


def may_start(standing: Standing, order: Order | None) -> bool:
    """Whether a rank may start now; its agent must record the epoch in the ledger first."""
    return (
        order is not None
        and order.go
        and not standing.alive
        and standing.cleared == order.epoch > standing.spent
    )


def must_end(standing: Standing, order: Order | None) -> bool:
    """Whether the rank still runs in an epoch that is over, and so must be stopped."""
    return order is not None and standing.alive and standing.spent < order.epoch
