"""Which units a command is about, in which order, and whether it is done.

Units are those of the status JSON. ``before`` is what an agent said of a unit when it was told.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pdsup.cli.screens import progress
from pdsup.cli.screens.progress import Unit
from pdsup.errors import NothingThere

Verb = Literal["start", "stop", "restart", "signal"]

DONE: Mapping[str, str] = {
    "start": "started",
    "stop": "stopped",
    "restart": "restarted",
    "signal": "signalled",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """``units``: those of agents here. ``elsewhere``: ranks of their gangs on other machines."""

    units: tuple[Unit, ...]
    elsewhere: tuple[Unit, ...]


def choose(
    verb: str, status: dict[str, Any], patterns: Iterable[str], here: Collection[str]
) -> Chosen:
    """The units that patterns name, and with one rank of a gang all its ranks.

    ``status``: of all nodes. ``here``: nodes whose agent is on this machine; only its units can be
    told. Raises NothingThere for a pattern that names none of them, with where to try it.
    """
    units = progress.units(status)
    named: set[str] = set()
    for pattern in patterns:
        found = [unit for unit in units if pattern == "all" or progress.is_named(unit, pattern)]
        own = [unit["name"] for unit in found if unit["node"] in here]
        if not own:
            raise NothingThere(_nothing(verb, pattern, found, status))
        named.update(own)
    gangs = {unit["gang"] for unit in units if unit["name"] in named} - {None}
    wanted = [unit for unit in units if unit["name"] in named or unit["gang"] in gangs]
    return Chosen(
        tuple(unit for unit in wanted if unit["node"] in here),
        tuple(unit for unit in wanted if unit["node"] not in here),
    )


def _nothing(verb: str, pattern: str, found: list[Unit], status: dict[str, Any]) -> str:
    if not found:
        return progress.no_such(verb, [pattern], status)
    nodes = ", ".join(dict.fromkeys(unit["node"] for unit in found))
    return (
        f"cannot {verb} {pattern}: it runs on {nodes}, and no agent of that is on this machine; "
        "run the command there"
    )


def waves(verb: Verb, units: Iterable[Unit]) -> list[list[Unit]]:
    """Units that are told together; each wave is done before the next begins.

    A stop begins in front, so that nothing is cut off from behind. A restart takes one router at a
    time, so that the others serve meanwhile. A start needs no order: gates give it one.
    """
    given = list(units)
    kinds = {"nginx": [], "router": [], "": []}  # type: dict[str, list[Unit]]
    for unit in given:
        kinds[unit["kind"] if unit["kind"] in kinds else ""].append(unit)
    match verb:
        case "stop":
            found = list(kinds.values())
        case "restart":
            found = [kinds[""] + kinds["nginx"], *([unit] for unit in kinds["router"])]
        case _:
            found = [given]
    return [wave for wave in found if wave]


def outcome(verb: Verb, unit: Unit, before: Mapping[str, Any]) -> str | None:
    """``stopped`` and the like once it is so, ``failed`` once it can't be, None meanwhile."""
    if verb == "stop":
        down = ("STOPPED", "EXITED")
        if before["state"] in down:
            return "already stopped"
        return DONE[verb] if unit["state"] in down else None
    if verb == "start" and before["state"] in ("RUNNING", "UNHEALTHY"):
        return "already started"
    afresh = unit["run"] > before["run"]
    if _is_up(unit) and (afresh or verb == "start"):
        return DONE[verb]
    if progress.is_lost(unit) and (afresh or unit["since"] != before["since"]):
        return "failed"
    return None


def _is_up(unit: Unit) -> bool:
    """An nginx without a ready router is not ready, but that is no reason to wait for it."""
    return progress.is_up(unit) or (unit["kind"] == "nginx" and unit["state"] == "RUNNING")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command for one unit. ``good``: what was asked for is so."""

    unit: Unit
    outcome: str
    good: bool

    def line(self) -> str:
        """As supervisorctl writes it: ``router-0: stopped``."""
        if self.good:
            return f"{self.unit['name']}: {self.outcome}"
        reason = f", {self.unit['reason']}" if self.unit["reason"] else ""
        return f"{self.unit['name']}: ERROR ({self.outcome}: {self.unit['state']}{reason})"

    def value(self) -> dict[str, Any]:
        """For ``--json``."""
        copied = {key: self.unit[key] for key in ("name", "node", "state", "run", "pid", "reason")}
        return {**copied, "outcome": self.outcome, "ok": self.good}
