"""The content of a run's report, as values that its template only lays out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pdsup.journal import incidents, timeline
from pdsup.journal import runs as run_history
from pdsup.journal.entry import Entry
from pdsup.journal.incidents import Incident
from pdsup.journal.runs import Run
from pdsup.journal.timeline import Span
from pdsup.plan.front import front_of
from pdsup.plan.model import Plan
from pdsup.times import clock_time, day_and_time, duration
from pdsup.units.public_state import PublicState

# The name of each state in the chart; a unit that is RUNNING may be not ready.
READY, NOT_READY = "ready", "waiting"
PHASES: Mapping[PublicState, str] = {
    PublicState.RUNNING: READY,
    PublicState.STARTING: "loading",
    PublicState.WAITING: "waiting",
    PublicState.UNHEALTHY: "unhealthy",
    PublicState.STOPPING: "stopping",
    PublicState.BACKOFF: "down",
    PublicState.FATAL: "down",
}
OFF = "off"
LEAST_PERCENT = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBenchmark:
    """The part of ``run.json`` that a report shows; times are seconds since the epoch.

    ``monotonic``: when it began, in seconds of a ``boot``; versions before did not record it.
    ``point`` and ``attempt``: of a sweep, else empty.
    """

    command: tuple[str, ...]
    began: float
    ended: float
    status: int
    verdict: str
    incidents: tuple[Any, ...]
    monotonic: float = 0.0
    boot: str = ""
    point: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The content of a run directory. ``end``: seconds since the epoch; now if it is still running.

    ``logs``: the link to the log of each unit; ``benchmarks``: oldest first; ``offset``: seconds
    that the local time is ahead of UTC; ``sweep``: the rows and charts of a sweep, ready to show.
    """

    name: str
    run_dir: str
    entries: Sequence[Entry]
    benchmarks: Sequence[RecordedBenchmark]
    plan: Plan | None
    logs: Mapping[str, str]
    end: float
    going: bool
    offset: float
    sweep: Mapping[str, Any] = field(default_factory=dict)


def page(source: Source) -> dict[str, Any]:
    """Everything that the page shows; also the output of ``pdsup report --json``."""
    begin = min((one.at for one in source.entries), default=source.end)
    end = max(source.end, begin)
    found = [
        one for one in incidents.incidents(source.entries, begin, end) if _matters(one, source)
    ]
    units = _by_unit(source.entries)
    runs = [run for own in units.values() for run in run_history.runs(own)]
    lives = _lives(units, source.plan, end)
    scale = _Scale(begin, end)
    return {
        "name": source.name,
        "run_dir": source.run_dir,
        "url": front_of(source.plan) if source.plan else None,
        "going": source.going,
        "began": day_and_time(begin),
        "ended": day_and_time(end),
        "facts": _facts(source, lives, runs, found, scale),
        "ticks": [_tick(at, scale) for at in timeline.ticks(begin, end, source.offset)],
        "sweep": source.sweep,
        "benchmarks": [_benchmark(one, scale) for one in source.benchmarks],
        "rows": [
            _row(name, units[name][-1].node, own, found, scale) for name, own in lives.items()
        ],
        "incidents": [_incident(one, source, end) for one in found],
        "was_ready": any(span.ready for own in lives.values() for span in own),
        "runs": [
            _run(run, lives[run.unit], source, end)
            for run in sorted(runs, key=lambda run: run.began)
        ],
        "nodes": _nodes(source.plan),
    }


def _matters(one: Incident, source: Source) -> bool:
    """Whether an incident is shown. A requested stop that lasts is the normal end of a run, and
    nginx is also reloaded while routers come up.
    """
    orderly = one.ended is None and one.asked
    return not (orderly or one.kind == "reload") or _in_benchmark(one, source)


def _in_benchmark(one: Incident, source: Source) -> bool:
    return any(incidents.overlaps(one, b.began, b.ended) for b in source.benchmarks)


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: float
    end: float

    def percent(self, at: float) -> float:
        """The place of a time on the axis, in percent."""
        length = max(self.end - self.begin, 0.001)
        return round(100 * min(1.0, max(0.0, (at - self.begin) / length)), 3)


def _by_unit(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found = run_history.steps(entries)
    return {name: found[name] for name in sorted(found, key=_place)}


def _lives(
    units: Mapping[str, Sequence[Entry]], plan: Plan | None, end: float
) -> dict[str, list[Span]]:
    """The spans of each unit; nginx is ready only while one of its routers is."""
    found = {name: timeline.spans(own, end) for name, own in units.items()}
    fronts = {unit.name: unit.upstreams for unit in plan.units if unit.upstreams} if plan else {}
    for name in found.keys() & fronts.keys():
        routers = [found.get(router, []) for router in fronts[name]]
        found[name] = timeline.behind_routers(found[name], routers)
    return found


_ORDER = ("prefill", "decode", "agg", "router", "nginx")


def _place(name: str) -> tuple[int, list[tuple[int, str]]]:
    """The sort key of a unit: the order of the data path, then its number."""
    role = name.partition("-")[0]
    parts = re.findall(r"\d+|\D+", name)
    natural = [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
    return _ORDER.index(role) if role in _ORDER else len(_ORDER), natural


def _facts(
    source: Source,
    lives: Mapping[str, Sequence[Span]],
    runs: Sequence[Run],
    found: Sequence[Incident],
    scale: _Scale,
) -> list[tuple[str, str]]:
    nodes = {one.node for one in source.entries}
    return [
        ("lasted", duration(scale.end - scale.begin) + (" so far" if source.going else "")),
        ("all ready after", _all_ready(lives, scale.begin)),
        ("nodes", str(len(source.plan.nodes) if source.plan else len(nodes))),
        ("units", str(len(source.plan.units) if source.plan else len(lives))),
        ("failed runs", str(sum(run.failed for run in runs))),
        ("incidents", str(len(found))),
    ]


def _all_ready(lives: Mapping[str, Sequence[Span]], begin: float) -> str:
    firsts = [
        next((span.begin for span in own if span.ready or span.state is PublicState.EXITED), None)
        for own in lives.values()
    ]
    if not firsts or None in firsts:
        return "never"
    return duration(max(at for at in firsts if at is not None) - begin)


def _tick(at: float, scale: _Scale) -> dict[str, Any]:
    whole = scale.end - scale.begin > 600
    return {"x": scale.percent(at), "text": clock_time(at)[: 5 if whole else 8]}


def _benchmark(one: RecordedBenchmark, scale: _Scale) -> dict[str, Any]:
    x, end = scale.percent(one.began), scale.percent(one.ended)
    return {
        "x": x,
        "width": round(max(LEAST_PERCENT, end - x), 3),
        "command": " ".join(one.command),
        "point": one.point,
        "attempt": one.attempt,
        "verdict": one.verdict,
        "began": day_and_time(one.began),
        "lasted": duration(one.ended - one.began),
        "status": one.status,
        "incidents": len(one.incidents),
    }


def _row(
    name: str, node: str, spans: Sequence[Span], found: Iterable[Incident], scale: _Scale
) -> dict[str, Any]:
    return {
        "unit": name,
        "node": node,
        "state": spans[-1].state,
        "spans": [_span(span, scale) for span in spans],
        "marks": [_mark(one, scale) for one in found if one.unit == name],
    }


def _mark(one: Incident, scale: _Scale) -> dict[str, Any]:
    title = f"{clock_time(one.began)} {one.kind}: {one.what}"
    return {"x": scale.percent(one.began), "kind": one.kind, "title": title}


def _span(span: Span, scale: _Scale) -> dict[str, Any]:
    x = scale.percent(span.begin)
    why = f": {span.reason}" if span.reason else ""
    unready = span.state is PublicState.RUNNING and not span.ready
    begin, end, lasted = clock_time(span.begin), clock_time(span.end), span.end - span.begin
    return {
        "x": x,
        "width": round(max(LEAST_PERCENT, scale.percent(span.end) - x), 3),
        "phase": NOT_READY if unready else PHASES.get(span.state, OFF),
        "title": f"{span.state} from {begin} to {end} ({duration(lasted)}){why}",
    }


def _incident(one: Incident, source: Source, end: float) -> dict[str, Any]:
    until = end if one.ended is None else one.ended
    lasted = duration(until - one.began) + ("" if one.ended else " so far")
    return {
        "began": day_and_time(one.began),
        "unit": one.unit,
        "node": one.node,
        "kind": one.kind,
        "lasted": "" if one.kind in incidents.MOMENTS else lasted,
        "what": one.what,
        "benchmark": _in_benchmark(one, source),
    }


def _run(run: Run, spans: Iterable[Span], source: Source, end: float) -> dict[str, Any]:
    until = end if run.ended is None else run.ended
    ready = next((span.begin for span in spans if span.ready and span.begin >= run.began), until)
    return {
        "unit": run.unit,
        "node": run.node,
        "run": run.number,
        "began": day_and_time(run.began),
        "load": "never ready" if ready >= until else duration(ready - run.began),
        "lasted": duration(until - run.began),
        "how": run.how if run.ended else "still running" if source.going else "",
        "failed": run.failed,
        "log": source.logs.get(run.unit, ""),
    }


def _nodes(plan: Plan | None) -> list[dict[str, Any]]:
    if plan is None:
        return []
    return [
        {
            "node": node.name,
            "address": node.address,
            "units": [
                {"name": unit.name, "gpus": _range(unit.gpus), "ports": unit.ports}
                for unit in plan.units
                if unit.node == node.name
            ],
        }
        for node in plan.nodes
    ]


def _range(numbers: Sequence[int]) -> str:
    """Numbers as a range, ``0-7``, if they are consecutive, else all of them."""
    if len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))
