"""Explains in sentences why a unit is in its state. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pdsup.answers.explanation import CheckResult, Explanation, Gate, GateCondition, Outlook
from pdsup.answers.status import GpuUse, UnitStatus
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import cut
from pdsup.cli.terminal.fold import INDENT, folded
from pdsup.journal import runs
from pdsup.journal.runs import Run
from pdsup.node.paths import agent_command
from pdsup.printable import printable
from pdsup.times import duration, moment
from pdsup.units.public_state import PublicState

MOST_HELD = 3


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run and the last lines of its output."""

    run: Run
    output: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that is known about one unit: its agent's explanation, its last runs (oldest first) and
    its evidence directories.

    ``usual_load_s``: while the unit starts, the seconds that similar units take, if known.
    ``past``: no agent told it, so what its gate waits for is not known. ``asked``: the last request
    of somebody about the unit, and when.
    """

    explanation: Explanation
    usual_load_s: float | None
    runs: Sequence[LoggedRun]
    evidence: Sequence[str]
    past: bool = False
    asked: tuple[str, float] | None = None


def story(found: Findings, now: float, width: int | None = None) -> list[str]:
    """The explanation in lines of at most ``width`` characters; without a width, a line a sentence.

    ``now``: seconds since the epoch.
    """
    told = found.explanation
    sentences = [
        *_state(told, now),
        *_return(told),
        *_usual(told.unit, found.usual_load_s, now),
        *_asked(found.asked, now),
        *_made(told),
        *_processes(told),
        *_checks(told.checks, told.unit, now),
        *(() if found.past else _gate(told.gate, told.unit.state)),
        *_runs(found.runs, now),
        _next(told.next, now),
        *_evidence(found.evidence),
        f"Log: {told.log}",
    ]
    return [line for sentence in sentences for line in _folded(printable(sentence), width)]


def to_json(found: Findings) -> dict[str, Any]:
    """The output of ``pdsup explain --json``: the agent's explanation and the other findings."""
    told = found.explanation
    return {
        **{name: getattr(told, name) for name in told.__slots__},
        **({"gate": None} if found.past else {}),
        "usual_load_s": found.usual_load_s,
        "runs": [{**runs.to_json(one.run), "output": one.output} for one in found.runs],
        "evidence": found.evidence,
        "asked": found.asked and {"what": found.asked[0], "at": found.asked[1]},
    }


def _folded(sentence: str, width: int | None) -> list[str]:
    if width is not None and sentence.lstrip().startswith("| "):  # output is cut, not folded
        return [cut(sentence, width)]
    return folded([sentence], width)


def _state(told: Explanation, now: float) -> Iterator[str]:
    unit, since = told.unit, told.unit.since
    kind = f"{unit.role} {unit.kind}" if unit.role else unit.kind
    age = f" since {moment(since, now)}, for {duration(now - since)}" if since else ""
    reason = f": {unit.in_short}" if unit.reason else ""
    yield f"{unit.name} ({kind} on {unit.node}) is {unit.state}{age}{reason}."
    if unit.pid is not None:
        up = "" if unit.uptime_s is None else f", up {duration(unit.uptime_s)}"
        yield f"Its process is {unit.pid}, run {unit.run}{up}."
    if unit.gpu_use is not None:
        yield _gpus(unit.gpus, unit.gpu_use)
    if unit.state is PublicState.RUNNING and not unit.ready:
        yield "It is running but cannot serve requests, so it is not ready."
    if not told.agent.reachable:
        yield f"This is the last known state: {told.agent.problem}."


def _return(told: Explanation) -> Iterator[str]:
    """How to bring back the agent of a node that does not answer."""
    if told.agent.reachable or not told.run_dir or not told.told_by:
        return
    yield (
        "If its guardian does not start it again, this does, on that machine; it takes over what "
        "still runs:"
    )
    yield f"{INDENT}{agent_command(told.run_dir, told.unit.node)}"


def _asked(asked: tuple[str, float] | None, now: float) -> Iterator[str]:
    if asked is not None:
        yield f"Last request, at {moment(asked[1], now)}: {asked[0]}."


def _made(told: Explanation) -> Iterator[str]:
    if told.command:
        yield f"Command: {printable(shlex.join(told.command))}"
    if told.unit.ports:
        yield "Ports: " + ", ".join(f"{what} {port}" for what, port in told.unit.ports.items())


def _processes(told: Explanation) -> Iterator[str]:
    rows = told.processes
    if not rows:
        return
    memory, cpu = sum(row.memory for row in rows), sum(row.cpu_s for row in rows)
    count = f"{len(rows)} process{'' if len(rows) == 1 else 'es'}"
    yield f"It uses {_bytes(memory)} of memory and has used {duration(cpu)} of CPU in {count}:"
    for row in rows:
        name = f"{'  ' * row.depth}{printable(row.name)}"
        yield f"{INDENT}{row.pid} {row.state} {name}, {_bytes(row.memory)}, {duration(row.cpu_s)}"
    if told.more_processes:
        yield f"{INDENT}and {told.more_processes} more"


def _bytes(count: float) -> str:
    """A number of bytes: ``512.0 MiB`` or ``1.5 GiB``."""
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.1f} MiB"


def _checks(checks: Sequence[CheckResult], unit: UnitStatus, now: float) -> Iterator[str]:
    if not checks:
        return
    yield "Checks, with the age of the last answer:"
    for one in checks:
        word = "?  " if one.holds is None else "yes" if one.holds else "no "
        detail = f": {printable(one.detail)}" if one.detail else ""
        if _is_older(one, unit, now):
            word, detail = "?  ", ": it held before the unit was " + unit.state
        probes = ", ".join(one.probes)
        yield f"{INDENT}{word} {one.what} ({probes}; {duration(one.age_s)} ago){detail}"


def _is_older(check: CheckResult, unit: UnitStatus, now: float) -> bool:
    """Whether a check held before the unit became UNHEALTHY, and was not asked since."""
    if unit.state is not PublicState.UNHEALTHY or not (check.holds and unit.since):
        return False
    return check.age_s > now - unit.since


def _gpus(gpus: Sequence[int], use: GpuUse) -> str:
    whose = f"GPU {gpus[0]}" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    used, memory = use.memory_used / 1024**3, use.memory / 1024**3
    busy = "" if use.utilization is None else f", {use.utilization:.0%} busy"
    return f"Its {whose}: {used:.1f} of {memory:.1f} GiB in use{busy}."


def _usual(unit: UnitStatus, load: float | None, now: float) -> Iterator[str]:
    if load is None or not unit.since:
        return
    left = unit.since + load - now
    if left > 0:
        when = f"Usually ready in about {duration(left)}"
    elif progress.is_late(unit.since, now, load):
        when = "It is taking longer than usual"
    else:
        when = "Usually ready by now"
    yield f"{when}: similar units take {duration(load)}."


def _gate(gate: Gate, state: PublicState) -> Iterator[str]:
    conditions = gate.conditions
    if not conditions:
        yield "Gate: none."
        return
    held = [one for one in conditions if one.holds]
    other = [one for one in conditions if not one.holds]
    when = "" if state is PublicState.WAITING else " (checked before each start)"
    least = gate.enough.items()
    more = "".join(f", {count} of {role}" for role, count in least if count > 1)
    enough = f"one worker of each role{more} is enough"
    rule = "all are required" if gate.rule == "all" else enough
    yield f"Gate{when}: {len(held)} of {len(conditions)} conditions met; {rule}."
    for one in other:
        word = "?  " if one.holds is None else "no "
        yield f"{INDENT}{word} {one.what}{_tried(one)}: {one.detail}"
    for one in held[:MOST_HELD]:
        yield f"{INDENT}yes {one.what}{_tried(one)}"
    if len(held) > MOST_HELD:
        yield f"{INDENT}yes ({len(held) - MOST_HELD} more)"


def _tried(condition: GateCondition) -> str:
    return "" if condition.age_s is None else f", {duration(condition.age_s)} ago"


def _runs(logged_runs: Sequence[LoggedRun], now: float) -> Iterator[str]:
    if not logged_runs:
        yield "Runs: none yet."
        return
    yield "Runs, latest first:"
    for logged in reversed(logged_runs):
        yield f"{INDENT}{_run(logged.run, now)}"
        for line in logged.output:
            yield f"{INDENT}{INDENT}| {line}"


def _run(run: Run, now: float) -> str:
    parts = [f"started {moment(run.began, now)}"]
    if run.ready is not None:
        parts.append(f"ready after {duration(run.ready - run.began)}")
    elif run.ended is not None:
        parts.append("never ready")
    if run.ended is None:
        parts.append("still running")
    else:
        age = duration(run.ended - run.began)
        parts.append(f"ended {moment(run.ended, now)} after {age}: {run.how}")
    number = "" if run.number is None else f" {run.number}"
    return f"run{number}: {', '.join(parts)}"


def _next(outlook: Outlook, now: float) -> str:
    if outlook.at is None:
        return f"Next: {outlook.what}."
    left = outlook.at - now
    when = f"in {duration(left)}" if left >= 0 else "now"
    return f"Next, at {moment(outlook.at, now)} ({when}): {outlook.what}."


def _evidence(directories: Sequence[str]) -> Iterator[str]:
    if directories:
        yield f"Evidence: {', '.join(directories)}"
