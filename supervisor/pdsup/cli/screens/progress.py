"""What is still missing until a cluster is up or down, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from pdsup import typed
from pdsup.answers.status import Status, UnitStatus
from pdsup.times import age
from pdsup.units.public_state import PublicState


class Named(Protocol):
    """What patterns choose: a unit, or its log."""

    @property
    def name(self) -> str:
        """The unit's name."""

    @property
    def gang(self) -> str | None:
        """The multi-node worker that the unit is a rank of."""

    @property
    def role(self) -> str | None:
        """The role of a worker."""

    @property
    def kind(self) -> str:
        """The kind of unit."""


def chosen(status: Status, patterns: Iterable[str]) -> tuple[Status, list[str]]:
    """The status of only the units that match a pattern, and the patterns that match none.

    A pattern is a name, a glob, ``all``, or the name of a gang (all its ranks) or of a group, such
    as ``decode`` or ``router``. No patterns: all units.
    """
    wanted = list(patterns)
    if not wanted or "all" in wanted:
        return status, []
    nodes = (
        node.replace(units=tuple(u for u in node.units if any(is_named(u, p) for p in wanted)))
        for node in status.nodes
    )
    names_none = [p for p in wanted if not any(is_named(u, p) for u in status.units)]
    return status.replace(nodes=tuple(node for node in nodes if node.units)), names_none


def no_such(verb: str, unnamed: Sequence[str], status: Status) -> str:
    """The message about patterns that match no unit, with a suggestion if a name is similar."""
    return unknown(verb, unnamed, status.units)


def unknown(verb: str, unnamed: Sequence[str], units: Iterable[Named]) -> str:
    """The same for any things that are named as units are."""
    units = list(units)
    names = [name for unit in units for name in (unit.name, unit.gang, kind(unit)) if name]
    hint = typed.names_instead(
        unnamed[0], names if len(unnamed) == 1 else (), [unit.name for unit in units]
    )
    return f"cannot {verb} {', '.join(unnamed)}: no such unit{hint}"


def is_named(unit: Named, pattern: str) -> bool:
    """Whether a name, a glob, or the name of a gang or group (a role, or another kind) matches."""
    return fnmatchcase(unit.name, pattern) or pattern in (unit.gang, kind(unit))


def is_up(unit: UnitStatus) -> bool:
    """The goal of a wait for RUNNING."""
    return unit.is_up


# Load times vary by some seconds and some percent; more than this is worth mentioning.
LATE_S, LATE = 5.0, 0.2
# What needs attention, before what only waits, before what is well.
_CAUSES_FIRST = (
    PublicState.FATAL, PublicState.EXITED, PublicState.BACKOFF, PublicState.UNHEALTHY,
    PublicState.UNKNOWN, PublicState.STOPPED, PublicState.STARTING,
)  # fmt: skip


def missing(
    units: Iterable[UnitStatus],
    reached: Callable[[UnitStatus], bool],
    now: float,
    most: int,
    usual: Mapping[str, float] | None = None,
) -> list[str]:
    """At most ``most`` lines about units that have not reached the goal: state, for how long, why.

    ``now``: seconds since the epoch. Units that likely hold up the others come first; units that
    only wait for others are counted, not named, if there is a cause to name.
    """
    late = sorted((unit for unit in units if not reached(unit)), key=rank)
    causes = [unit for unit in late if unit.state is not PublicState.WAITING] or late
    lines = [_missing(unit, now, usual or {}) for unit in causes[:most]]
    rest = len(late) - len(lines)
    return [*lines, f"and {rest} more"] if rest else lines


def rank(unit: UnitStatus) -> int:
    """The order of attention: causes first, then what waits for them, then what is well."""
    if unit.is_up:
        return len(_CAUSES_FIRST) + 1
    state = unit.state
    return _CAUSES_FIRST.index(state) if state in _CAUSES_FIRST else len(_CAUSES_FIRST)


def _missing(unit: UnitStatus, now: float, usual: Mapping[str, float]) -> str:
    lasted = f" for {age(now - unit.since)}" if unit.since else ""
    left = _left(unit, now, usual)
    reason = f": {unit.reason}" if unit.reason else ""
    return f"{unit.name} ({unit.node}) {unit.state}{lasted}{left}{reason}"


def _left(unit: UnitStatus, now: float, usual: Mapping[str, float]) -> str:
    """The time until a starting unit is ready, if earlier loads of similar units are known."""
    load = usual.get(alike(unit))
    if unit.state is not PublicState.STARTING or not unit.since or load is None:
        return ""
    left = unit.since + load - now
    if left >= 1:
        return f", about {age(left)} left"
    return ", longer than usual" if is_late(unit.since, now, load) else ""


def is_late(since: float, now: float, load: float) -> bool:
    """Whether a unit has been starting for clearly longer than the usual ``load`` seconds."""
    return now - since - load > max(LATE_S, LATE * load)


def alike(unit: UnitStatus) -> str:
    """The group of units that load equally long: its kind, but each service is its own group."""
    return unit.name if unit.kind in ("service", "benchmark") else kind(unit)


def kind(unit: Named) -> str:
    """The group a unit is counted in: the role of a worker, else its kind."""
    return unit.role or unit.kind


_SUMMARY_ORDER = ("prefill", "decode", "agg", "router", "nginx")


def summary(units: Iterable[UnitStatus]) -> str:
    """How many units of each kind are ready: ``prefill 1/2, decode 2/2, router 0/4, nginx 0/1``."""
    counts = ready_counts(units).items()
    return ", ".join(f"{one} {ready}/{wanted}" for one, (ready, wanted) in counts)


def ready_counts(units: Iterable[UnitStatus]) -> dict[str, tuple[int, int]]:
    """For each kind, the numbers of ready and of all units, in the order of the data path."""
    these: dict[str, list[bool]] = {}
    for unit in units:
        these.setdefault(kind(unit), []).append(unit.is_up)
    known = [one for one in _SUMMARY_ORDER if one in these]
    order = (*known, *sorted(these.keys() - set(known)))
    return {one: (sum(these[one]), len(these[one])) for one in order}
