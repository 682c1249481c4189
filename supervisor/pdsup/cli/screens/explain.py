"""Why a unit is as it is, told in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pdsup.answers.explanation import Explanation, Gate, Outlook
from pdsup.answers.status import GpuUse, UnitStatus
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import brief, cut
from pdsup.cli.terminal.fold import COLOURS, INDENT, folded
from pdsup.journal import runs
from pdsup.journal.runs import Run
from pdsup.units.public_state import PublicState

MOST_HELD = 3


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run and the end of its output, in lines."""

    run: Run
    output: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What there is to know of one unit: beside its agent's explanation its last runs, the oldest
    first, and directories of evidence.

    ``usual_load_s``: of a unit that starts, the seconds units like it take, where that is known.
    """

    explanation: Explanation
    usual_load_s: float | None
    runs: Sequence[LoggedRun]
    evidence: Sequence[str]


def story(found: Findings, now: float, width: int | None = None) -> list[str]:
    """Findings in lines of at most ``width`` characters.

    ``now``: seconds since the epoch. Without a width, as for a pipe, a sentence is one line.
    """
    told = found.explanation
    sentences = [
        *_state(told, now),
        *_usual(told.unit, found.usual_load_s, now),
        *_gate(told.gate, told.unit.state),
        *_runs(found.runs, now),
        _next(told.next, now),
        *_evidence(found.evidence),
        f"Log: {told.log}",
    ]
    return [line for sentence in sentences for line in _folded(sentence, width)]


def to_json(found: Findings) -> dict[str, Any]:
    """As ``pdsup explain --json`` prints it: what the agent says, and the rest beside that."""
    told = found.explanation
    return {
        **{name: getattr(told, name) for name in told.__slots__},
        "usual_load_s": found.usual_load_s,
        "runs": [{**runs.to_json(one.run), "output": one.output} for one in found.runs],
        "evidence": found.evidence,
    }


def _folded(sentence: str, width: int | None) -> list[str]:
    if width is not None and sentence.lstrip().startswith("| "):  # output is cut, not folded
        return [cut(sentence, width)]
    return folded([sentence], width)


def _state(told: Explanation, now: float) -> Iterator[str]:
    unit, since = told.unit, told.unit.since
    kind = f"{unit.role} {unit.kind}" if unit.role else unit.kind
    age = f" since {moment(since, now)}, for {brief(max(0.0, now - since))}" if since else ""
    reason = f": {unit.in_short}" if unit.reason else ""
    yield f"{unit.name} ({kind} on {unit.node}) is {unit.state}{age}{reason}."
    if unit.pid is not None:
        up = "" if unit.uptime_s is None else f", up {brief(unit.uptime_s)}"
        yield f"Its process is {unit.pid}, run {unit.run}{up}."
    if unit.gpu_use is not None:
        yield _gpus(unit.gpus, unit.gpu_use)
    if unit.state is PublicState.RUNNING and not unit.ready:
        yield "It can't be used yet, so it does not count as ready."
    if not told.agent.reachable:
        yield f"The agent of {unit.node} can't tell: {told.agent.problem}."


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
        when = f"Usually ready in about {brief(left)}"
    elif progress.is_late(unit.since, now, load):
        when = "It takes longer than usual to be ready"
    else:
        when = "Usually ready by now"
    yield f"{when}: units like it take {brief(load)}."


def _gate(gate: Gate, state: PublicState) -> Iterator[str]:
    conditions = gate.conditions
    if not conditions:
        yield "Gate: it waits for no other unit."
        return
    held = [one for one in conditions if one.holds]
    other = [one for one in conditions if not one.holds]
    when = "" if state is PublicState.WAITING else ", asked before a start"
    least = gate.enough.items()
    more = "".join(f", {count} of {role}" for role, count in least if count > 1)
    enough = f"it needs one worker of each role{more}"
    rule = "it needs all" if gate.rule == "all" else enough
    yield f"Gate{when}: {len(held)} of {len(conditions)} conditions hold; {rule}."
    for one in other:
        yield f"{INDENT}{'?  ' if one.holds is None else 'no '} {one.what}: {one.detail}"
    for one in held[:MOST_HELD]:
        yield f"{INDENT}yes {one.what}"
    if len(held) > MOST_HELD:
        yield f"{INDENT}yes {len(held) - MOST_HELD} more"


def _runs(logged_runs: Sequence[LoggedRun], now: float) -> Iterator[str]:
    if not logged_runs:
        yield "Runs: it has not run yet."
        return
    yield "Runs, the latest first:"
    for logged in reversed(logged_runs):
        yield f"{INDENT}{_run(logged.run, now)}"
        for line in logged.output:
            yield f"{INDENT}{INDENT}| {_harmless(line)}"


def _run(run: Run, now: float) -> str:
    parts = [f"began {moment(run.began, now)}"]
    if run.ready is not None:
        parts.append(f"ready after {brief(run.ready - run.began)}")
    elif run.ended is not None:
        parts.append("never ready")
    if run.ended is None:
        parts.append("goes on")
    else:
        age = brief(run.ended - run.began)
        parts.append(f"ended {moment(run.ended, now)} after {age}: {run.how}")
    number = "" if run.number is None else f" {run.number}"
    return f"run{number}: {', '.join(parts)}"


def _next(outlook: Outlook, now: float) -> str:
    if outlook.at is None:
        return f"Next: {outlook.what}."
    left = outlook.at - now
    when = f"in {brief(left)}" if left >= 0 else "now"
    return f"Next, at {moment(outlook.at, now)} ({when}): {outlook.what}."


def _evidence(directories: Sequence[str]) -> Iterator[str]:
    if directories:
        yield f"Evidence: {', '.join(directories)}"


def moment(at: float, now: float) -> str:
    """The local time of day, with the date when that is another one: ``11-23 23:59:58``."""
    then, today = datetime.fromtimestamp(at), datetime.fromtimestamp(now)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%m-%d %H:%M:%S")


def _harmless(line: str) -> str:
    """Output may hold anything; control sequences would play with the reader's terminal."""
    plain = COLOURS.sub("", line)
    return "".join(char if char.isprintable() else " " for char in plain).rstrip()
