"""How the ranks of one worker stay together: they start, fail and restart as one.

The life of a gang is a row of epochs. The agent of rank 0 gives the order for the present one:
``hold`` until every rank is clear, then ``go``. When any rank's part in an epoch is over, however
that came, the order is ``hold`` for the next. Each rank reports its standing; orders and standings
travel in reports only, so any of them may come late, twice or never.

Why two epochs never live at once, whatever is late, lost or forgotten:

1. A rank that reported itself clear for an epoch has nothing left of older ones, and it starts
   nothing before that epoch's ``go``. That stays true, so an old report of it does no harm.
2. It starts in an epoch only after it reported itself clear for that very one, and only once.
3. ``go`` needs the report of every rank. One that can't be reached holds the gang.

An agent that forgot its standing is clear for no epoch: a ``go`` tells it that the present one is
over for it. One that forgot its orders learns from the standings how far the gang has come. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pdsup.cluster.report import Order, Standing, UnitReport
from pdsup.plan.model import Plan

FRESH = Standing(cleared=0, spent=0, alive=False, poised=False)
FIRST = Order(epoch=1, go=False, reason="")


def ranks(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The units of each gang by its name, in the order of their ranks: the first one leads."""
    found: dict[str, list[tuple[int, str]]] = {}
    for unit in plan.units:
        if unit.gang is not None:
            found.setdefault(unit.gang, []).append((unit.rank or 0, unit.name))
    return {gang: tuple(name for _, name in sorted(pairs)) for gang, pairs in found.items()}


# -- the agent of rank 0 ----------------------------------------------------------------------


def resumed(leader: Standing) -> Order:
    """The order to begin with, from the standing of rank 0 after a start of its agent.

    Rank 0 lives only if there was a ``go``, so a living one needs nobody to start again.
    """
    return Order(epoch=leader.spent, go=True, reason="") if leader.alive else FIRST


def decide(order: Order, reports: Mapping[str, UnitReport | None]) -> Order:
    """The order that follows from what is known of every rank (None: its node can't be relied on).

    Call it whenever a report changes; it is idempotent.
    """
    known = [(report, report.standing) for report in reports.values() if report is not None]
    told = [(report, standing) for report, standing in known if standing is not None]
    epoch = max((_next(order, standing) for _, standing in told), default=order.epoch)
    if epoch > order.epoch:
        lost = [report for report, standing in told if _is_over(order, standing)]
        return Order(epoch=epoch, go=False, reason=_cause(lost) or order.reason)
    if not order.go and not missing(order, reports):
        return replace(order, go=True)
    return order


def missing(order: Order, reports: Mapping[str, UnitReport | None]) -> tuple[str, ...]:
    """One phrase for each rank that an epoch on hold waits for."""
    return tuple(
        f"{name} ({report.state} on {report.node})" if report else f"{name} (no report of its node)"
        for name, report in reports.items()
        if report is None or report.standing is None or not _is_ready(order, report.standing)
    )


def _is_ready(order: Order, standing: Standing) -> bool:
    return standing.cleared == order.epoch and standing.poised and not standing.alive


def _is_over(order: Order, standing: Standing) -> bool:
    """Whether a rank had its part in the present epoch, or can no longer take part in it."""
    return standing.spent >= order.epoch and not (
        order.go and standing.alive and standing.spent == order.epoch
    )


def _next(order: Order, standing: Standing) -> int:
    """The first epoch that a rank could still take part in, or does."""
    first = standing.spent + 1 if _is_over(order, standing) else standing.spent
    return max(order.epoch, standing.cleared, first)


def _cause(lost: Iterable[UnitReport]) -> str:
    """Why an epoch is over, in a sentence about the first rank that lost it."""
    for report in lost:
        if report.state.lost_its_run:
            return f"{report.name} is {report.state}: {report.reason or 'it ended'}"
        return f"{report.name} was on its own: an agent of its gang restarted"
    return ""


# -- the agent of each rank -------------------------------------------------------------------


def obey(standing: Standing, order: Order | None, *, alive: bool, poised: bool) -> Standing:
    """What a rank says of itself, given the last order (None: rank 0's node can't be relied on).

    ``alive``: something of a run of it is left. ``poised``: it is wanted up, and nothing but its
    gang keeps it down.
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
    """Whether a rank may start now; it has to note the epoch before it does."""
    return (
        order is not None
        and order.go
        and not standing.alive
        and standing.cleared == order.epoch > standing.spent
    )


def must_end(standing: Standing, order: Order | None) -> bool:
    """Whether what lives of a rank belongs to an epoch that is over."""
    return order is not None and standing.alive and standing.spent < order.epoch
