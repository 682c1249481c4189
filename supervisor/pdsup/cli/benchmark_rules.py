"""Judges whether a cluster was undisturbed during a benchmark: ``clean`` or ``tainted``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pdsup.answers.checks import FreshNo
from pdsup.answers.status import NodeStatus, Status, UnitStatus
from pdsup.journal import incidents
from pdsup.journal.incidents import Incident, Kind
from pdsup.times import duration, moment
from pdsup.units.process.exit import ExitStatus
from pdsup.units.public_state import PublicState

Verdict = Literal["clean", "tainted"]
PHRASES: Mapping[Kind, str] = {
    "restart": "was restarted, down for",
    "unhealthy": "was unhealthy for",
    "down": "was down for",
    "fatal": "gave up, down for",
    "node": "did not answer for",
    "reload": "was reloaded",
    "reload-failed": "could not be reloaded",
    "gpu-throttled": "had throttled GPUs for",
    "gpu-lost": "was without GPUs for",
    "events-lost": "has a gap in its journal of",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A command that was run on a cluster. Times are seconds since the epoch.

    ``status``: as in a shell, the exit status, or 128 + the number of the signal. ``passed_on``:
    the signals that ``pdsup run`` got meanwhile and passed on to the command. ``monotonic``: when
    it began by the clock that is never set, in seconds since a ``boot``.
    """

    command: Sequence[str]
    cluster: str
    plan: str
    began: float
    ended: float
    status: int
    incidents: Sequence[Incident]
    passed_on: Sequence[str] = ()
    monotonic: float = 0.0
    boot: str = ""

    @property
    def verdict(self) -> Verdict:
        """Clean if nothing disturbed the cluster meanwhile."""
        return "tainted" if self.incidents else "clean"


def lost_nodes(known: Sequence[Incident], status: Status | None, now: float) -> list[Incident]:
    """``known``, updated with the nodes that stopped answering, or answer again, by ``now``.

    ``status``: None if no agent answers at all.
    """
    lost = {node.node: str(node.agent.problem) for node in _unreachable(status)}
    if status is None:
        lost = {"": "no agent answers on this machine"}
    going = {one.node for one in known if one.ended is None}
    ended = [
        replace(one, ended=now) if one.ended is None and one.node not in lost else one
        for one in known
    ]
    new = [
        Incident("node", "", node, now, None, problem)
        for node, problem in lost.items()
        if node not in going
    ]
    return [*ended, *new]


def not_in_journal(lost: Iterable[Incident], recorded: Iterable[Incident]) -> list[Incident]:
    """The incidents of ``lost`` that are missing from the journal of the first node, as they are
    while that node itself is lost.
    """
    known = {one.node for one in recorded if one.kind == "node"}
    return [one for one in lost if one.node not in known]


def _unreachable(status: Status | None) -> Iterable[NodeStatus]:
    return () if status is None else (n for n in status.nodes if not n.agent.reachable)


def not_well(wrong: Iterable[FreshNo], known: Iterable[Incident]) -> list[Incident]:
    """The units that did not answer well when they were asked afresh, unless that is known."""
    told = {one.unit for one in known if one.kind in incidents.OUTAGES and one.ended is None}
    return [
        Incident("unhealthy", one.unit, one.node, one.since, None, one.problem)
        for one in wrong
        if one.unit not in told
    ]


def settled(found: Iterable[Incident], after: Status, began: float, now: float) -> list[Incident]:
    """The incidents, without those that ended before a benchmark ``began``.

    A journal that can't be written, as on a full disk, does not say that an outage has ended, but
    the status ``after`` the benchmark does, at ``now``.
    """
    up = {unit.name: unit.since for unit in after.units if unit.is_up}
    kept = []
    for one in found:
        since = up.get(one.unit) if one.kind in incidents.OUTAGES and one.ended is None else None
        if since is not None and one.began < since <= now:
            one = replace(one, ended=since)
        if one.ended is None or one.ended >= began:
            kept.append(one)
    return kept


def unrecorded(
    before: Status, after: Status, known: Iterable[Incident], now: float
) -> list[Incident]:
    """Restarts since ``before``, and outages, that no journal recorded, as on a full disk."""
    told = {one.unit for one in known if one.kind in incidents.OUTAGES}
    runs = {unit.name: unit.run for unit in before.units}
    found = []
    for unit in after.units:
        restarted = unit.run != runs.get(unit.name, unit.run)
        if unit.name not in told and (restarted or _is_out(unit)):
            found.append(_unrecorded(unit, now, restarted=restarted))
    return found


def _unrecorded(unit: UnitStatus, now: float, *, restarted: bool) -> Incident:
    """A unit that restarted was down since its last run ended, and until it was up again."""
    since, last = unit.since or now, unit.last_exit if restarted else None
    began = last.at if last else since
    if _is_out(unit) or not restarted:
        kind = _OUT.get(unit.state, "down")
        return Incident(kind, unit.name, unit.node, began, None, _why(unit))
    why = str(ExitStatus(last.code, last.signal)) if last else "its journal does not say why"
    return Incident("restart", unit.name, unit.node, began, since, why)


_OUT: Mapping[str, Kind] = {PublicState.UNHEALTHY: "unhealthy", PublicState.FATAL: "fatal"}


def _is_out(unit: UnitStatus) -> bool:
    """Whether a unit is not up; of one whose node is lost, that is known."""
    up = unit.state in (PublicState.RUNNING, PublicState.UNKNOWN)
    return not (up or unit.ended_well)


def _why(unit: UnitStatus) -> str:
    return unit.reason or "its journal does not say why"


def record(benchmark: Benchmark) -> dict[str, Any]:
    """The record of a benchmark in ``run.json``."""
    return {
        "cluster": benchmark.cluster,
        "plan": benchmark.plan,
        "command": list(benchmark.command),
        "began": benchmark.began,
        "ended": benchmark.ended,
        "seconds": round(benchmark.ended - benchmark.began, 3),
        "monotonic": benchmark.monotonic,
        "boot": benchmark.boot,
        "status": benchmark.status,
        "passed_on": list(benchmark.passed_on),
        "verdict": benchmark.verdict,
        "incidents": [incidents.to_json(one) for one in benchmark.incidents],
    }


def lines(benchmark: Benchmark) -> list[str]:
    """The verdict and its reasons, for people."""
    lasted = duration(benchmark.ended - benchmark.began)
    count = len(benchmark.incidents)
    number = f"{count} incident{'' if count == 1 else 's'}" if count else "nothing happened"
    head = f"{benchmark.verdict}: {number} in {lasted}{_end(benchmark)}"
    return [head, *(f"  {line}" for line in incident_lines(benchmark))]


def incident_lines(benchmark: Benchmark) -> list[str]:
    """A line for each incident, for people."""
    return [_line(one, benchmark.ended) for one in benchmark.incidents]


def _end(benchmark: Benchmark) -> str:
    """How the command ended, if not well: a verdict is about the cluster, not about the command."""
    told = f"; {' and '.join(benchmark.passed_on)} passed on to it" if benchmark.passed_on else ""
    if benchmark.status == 0:
        return told and f", and the command ended with 0{told}"
    but = "but" if benchmark.verdict == "clean" else "and"
    return f", {but} the command ended with {benchmark.status}{told}"


def _line(incident: Incident, now: float) -> str:
    who = f"{incident.unit} ({incident.node})" if incident.unit else incident.node or "the cluster"
    end = now if incident.ended is None else incident.ended
    lasted = f" {duration(end - incident.began)}" + " so far" * (incident.ended is None)
    words = PHRASES[incident.kind] + ("" if incident.kind in incidents.MOMENTS else lasted)
    what = f": {incident.what}" if incident.what else ""
    return f"{moment(incident.began, now)} {who} {words}{what}"
