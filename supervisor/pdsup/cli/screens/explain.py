"""Why a unit is as it is, told in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pdsup.cli.screens import progress
from pdsup.cli.screens.status import brief, cut, short_reason
from pdsup.cli.terminal.fold import COLOURS, INDENT, folded

MOST_HELD = 3


def story(found: dict[str, Any], now: float, width: int | None = None) -> list[str]:
    """What ``investigator.investigate`` gathered, in lines of at most ``width`` characters.

    ``now``: seconds since the epoch. Without a width, as for a pipe, a sentence is one line.
    """
    unit = found["unit"]
    sentences = [
        *_state(found, now),
        *_usual(found["unit"], found["usual_load_s"], now),
        *_gate(found["gate"], unit["state"]),
        *_runs(found["runs"], now),
        _next(found["next"], now),
        *_evidence(found["evidence"]),
        f"Log: {found['log']}",
    ]
    return [line for sentence in sentences for line in _folded(sentence, width)]


def _folded(sentence: str, width: int | None) -> list[str]:
    if width is not None and sentence.lstrip().startswith("| "):  # output is cut, not folded
        return [cut(sentence, width)]
    return folded([sentence], width)


def _state(found: dict[str, Any], now: float) -> Iterator[str]:
    unit, agent = found["unit"], found["agent"]
    kind = f"{unit['role']} {unit['kind']}" if unit["role"] else unit["kind"]
    since = unit["since"]
    age = f" since {moment(since, now)}, for {brief(max(0.0, now - since))}" if since else ""
    reason = f": {short_reason(unit)}" if unit["reason"] else ""
    yield f"{unit['name']} ({kind} on {unit['node']}) is {unit['state']}{age}{reason}."
    if unit["pid"] is not None:
        yield f"Its process is {unit['pid']}, run {unit['run']}, up {brief(unit['uptime_s'])}."
    if (use := unit.get("gpu_use")) is not None:
        yield _gpus(unit["gpus"], use)
    if unit["state"] == "RUNNING" and not unit["ready"]:
        yield "It can't be used yet, so it does not count as ready."
    if not agent["reachable"]:
        yield f"The agent of {unit['node']} can't tell: {agent['problem']}."


def _gpus(gpus: list[int], use: dict[str, Any]) -> str:
    whose = f"GPU {gpus[0]}" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    used, memory = use["memory_used"] / 1024**3, use["memory"] / 1024**3
    part = use["utilization"]
    busy = "" if part is None else f", {part:.0%} busy"
    return f"Its {whose}: {used:.1f} of {memory:.1f} GiB in use{busy}."


def _usual(unit: dict[str, Any], load: float | None, now: float) -> Iterator[str]:
    if load is None or not unit["since"]:
        return
    left = unit["since"] + load - now
    if left > 0:
        when = f"Usually ready in about {brief(left)}"
    elif progress.is_late(unit, now, load):
        when = "It takes longer than usual to be ready"
    else:
        when = "Usually ready by now"
    yield f"{when}: units like it take {brief(load)}."


def _gate(gate: dict[str, Any], state: str) -> Iterator[str]:
    conditions = gate["conditions"]
    if not conditions:
        yield "Gate: it waits for no other unit."
        return
    held = [one for one in conditions if one["holds"]]
    other = [one for one in conditions if not one["holds"]]
    when = "" if state == "WAITING" else ", asked before a start"
    least = gate.get("enough", {}).items()
    more = "".join(f", {count} of {role}" for role, count in least if count > 1)
    enough = f"it needs one worker of each role{more}"
    rule = "it needs all" if gate["rule"] == "all" else enough
    yield f"Gate{when}: {len(held)} of {len(conditions)} conditions hold; {rule}."
    for one in other:
        yield f"{INDENT}{'?  ' if one['holds'] is None else 'no '} {one['what']}: {one['detail']}"
    for one in held[:MOST_HELD]:
        yield f"{INDENT}yes {one['what']}"
    if len(held) > MOST_HELD:
        yield f"{INDENT}yes {len(held) - MOST_HELD} more"


def _runs(runs: list[dict[str, Any]], now: float) -> Iterator[str]:
    if not runs:
        yield "Runs: it has not run yet."
        return
    yield "Runs, the latest first:"
    for run in reversed(runs):
        yield f"{INDENT}{_run(run, now)}"
        for line in run["output"]:
            yield f"{INDENT}{INDENT}| {_harmless(line)}"


def _run(run: dict[str, Any], now: float) -> str:
    parts = [f"began {moment(run['began'], now)}"]
    if run["ready"] is not None:
        parts.append(f"ready after {brief(run['ready'] - run['began'])}")
    elif run["ended"] is not None:
        parts.append("never ready")
    if run["ended"] is None:
        parts.append("goes on")
    else:
        age = brief(run["ended"] - run["began"])
        parts.append(f"ended {moment(run['ended'], now)} after {age}: {run['how']}")
    number = "" if run["run"] is None else f" {run['run']}"
    return f"run{number}: {', '.join(parts)}"


def _next(what: dict[str, Any], now: float) -> str:
    if what["at"] is None:
        return f"Next: {what['what']}."
    left = what["at"] - now
    when = f"in {brief(left)}" if left >= 0 else "now"
    return f"Next, at {moment(what['at'], now)} ({when}): {what['what']}."


def _evidence(directories: list[str]) -> Iterator[str]:
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
