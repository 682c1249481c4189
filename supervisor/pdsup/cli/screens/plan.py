"""A plan told to a person, node by node: what runs there and why. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from pdsup.plan.compile.explanation import (
    Care,
    Explanation,
    NodeGroup,
    Routers,
    UnitGroup,
    explanation,
    names,
)
from pdsup.plan.model import Check, Need, Plan, Probe, Probes, Restart
from pdsup.plan.recipe.unused import Notes

# Where it goes into a file; longer lines than MOST are hard to read on any terminal.
WIDTH, MOST = 100, 120
# A line before it is folded, and the indent of what goes on.
Line = tuple[str, str]
EMPTY: Line = ("", "")
# How many are shown of a flag that is given again and again, and of the values of one flag.
SHOWN_FLAGS, SHOWN_VALUES = 1, 4


def explain(plan: Plan, notes: Notes) -> list[str]:
    """The lines about a plan without problems."""
    return list(lines(explanation(plan, notes)))


def lines(told: Explanation, width: int = WIDTH) -> Iterator[str]:
    """The same from the values, in lines of ``width`` characters, at most 120."""
    for text, indent in _told(told):
        yield from _wrapped(text, indent, min(width, MOST))


def _told(told: Explanation) -> Iterator[Line]:
    yield f"{told.name}: {_count(told.nodes, 'node')}, {_count(told.units, 'unit')}", ""
    yield f"Clients talk to {told.front}." if told.front else "Nothing here is for clients.", ""
    where = "all addresses of their node" if told.bind == "any" else "their node's address only"
    yield f"Units listen on {where}; agents answer one another on port {told.control_port}.", ""
    known: dict[str, str] = {}
    for group in told.groups:
        yield from (EMPTY, *_node(group, known))
    yield from (EMPTY, *_routers(told.routers))
    yield "Watched, started again and stopped:", ""
    for care in told.care:
        yield from _care(care)
    if told.hooks:
        yield from (EMPTY, ("Told of what happens:", ""))
    for hook in told.hooks:
        yield f"  {', '.join(hook.events)}: {hook.way}, {hook.timeout_s:g} s at most", "    "
    if told.unused:
        yield from (EMPTY, ("Lines of the recipe that the plan does not use:", ""))
        for line in told.unused:
            yield f"  line {line.line}, {line.path}: {line.reason}", "    "
    if told.warnings:
        yield from (EMPTY, ("Warnings:", ""))
        for warning in told.warnings:
            yield f"  {warning}", "    "


def _node(group: NodeGroup, known: dict[str, str]) -> Iterator[Line]:
    """``known``: what was told already, and of which unit."""
    address = "" if group.addresses == group.nodes else f", address {group.addresses}"
    alike = f" ({group.count} nodes alike)" if group.count > 1 else ""
    yield f"{group.nodes}{address}{alike}", "  "
    if not group.units:
        yield "  runs nothing", ""
    for unit in group.units:
        what = f"{unit.role} {unit.kind}" if unit.role else unit.kind
        member = ", rank of a gang" if unit.gang else ""
        yield f"  {unit.units}: {what}{member}{_gpus(unit)}", "    "
        shape = replace(unit, units="", role=None, gpus=(), log="")
        first = known.setdefault(repr(shape), unit.units)
        yield from _unit(unit) if first == unit.units else _row("all else", f"as {first}")
        yield from _row("log", f"{unit.log}{' and so on' if group.count > 1 else ''}")


def _gpus(unit: UnitGroup) -> str:
    return f", GPU{'s' if len(unit.gpus) > 1 else ''} {_ranges(unit.gpus)}" if unit.gpus else ""


def _unit(unit: UnitGroup) -> Iterator[Line]:
    ports = [f"{purpose} {port}" for purpose, port in unit.ports.items()]
    if unit.listens:
        ports.append(f"attention {_ranges(unit.listens)} (no flag says so)")
    yield from _row("ports", ", ".join(ports))
    yield from _row("waits for", _waiting(unit))
    yield from _row("command", " ".join(_folded(unit.command)))
    env = (f"{name}={value}" for name, value in unit.env.items())
    yield from _row("environment", shlex.join(env))
    if unit.env_varies:
        yield from _row("", f"with another {', '.join(unit.env_varies)} on each node")


def _row(head: str, text: str) -> Iterator[Line]:
    """``head`` and its text behind it; nothing for no text."""
    return iter([(f"    {head + ' ':12}{text}", " " * 16)] if text else [])


def _waiting(unit: UnitGroup) -> str:
    if not unit.waits_for:
        return "the other ranks: they start together" if unit.gang else "nothing"
    by_ports = groupby(sorted(unit.waits_for, key=_ports), key=_ports)
    first = "; ".join(
        names(need.unit for need in needs) + (f" to accept on {', '.join(ports)}" if ports else "")
        for ports, needs in by_ports
    )
    early = f"; {_few(unit.first_at_least)} is enough" if unit.first_at_least else ""
    later = f"; after a failure {_few(unit.later_at_least)} is enough"
    return f"{first}{early}{later if unit.later != 'all' else ''}"


def _few(least: Mapping[str, int]) -> str:
    more = (f", {count} of {role}" for role, count in least.items() if count > 1)
    return "one of each role" + "".join(more)


def _ports(need: Need) -> tuple[str, ...]:
    return need.ports


def _folded(command: Sequence[str]) -> Iterator[str]:
    """The words of a command in quotes where they need them, without long repetitions."""
    flags = [i for i, word in enumerate(command) if word.startswith("--")]
    starts = [0, *flags, len(command)]
    parts = [command[begin:end] for begin, end in pairwise(starts) if end > begin]
    for flag, same in groupby(parts, key=lambda part: part[0]):
        given = list(same)
        shown = given if len(given) <= SHOWN_FLAGS + 1 else given[:SHOWN_FLAGS]
        for part in shown:
            most = SHOWN_VALUES + 1 if flag.startswith("--") else len(part)
            yield shlex.join(part[:most])
            if len(part) > most:
                yield f"... {len(part) - most} more values"
        if len(given) > len(shown):
            yield f"... {len(given) - len(shown)} more {flag}"


def _routers(routers: Routers) -> Iterator[Line]:
    if not routers.count:
        return
    text = f"Routers: {routers.count} on {routers.nodes}."
    if routers.additional is not None:
        origin = "asked for" if routers.stated else "the default"
        text += f" One, and at most {routers.additional} additional ({origin})"
        text += f": from the second node on, every {_nth(routers.step)}." if routers.step else "."
        if routers.count < routers.additional + 1:
            text += f" That gives {routers.count}, not {routers.additional + 1}."
    yield text, "  "
    yield EMPTY


def _nth(step: int) -> str:
    return "node" if step == 1 else f"{step} nodes"


def _care(care: Care) -> Iterator[Line]:
    yield f"  {care.units}", "  "
    probes = care.probes
    yield from _row("ready when", told(probes.startup) if probes.startup else "its process lives")
    if probes.readiness:
        yield from _row("unhealthy", _lost(probes.readiness))
    if probes.liveness:
        yield from _row("dead", f"{_lost(probes.liveness)}{_moves(probes)}")
    yield from _row("restart", _restart(care.restart))
    yield from _row("stop", f"{care.stop.signal}, and KILL {care.stop.timeout_s:g} s later")


def _lost(probe: Probe) -> str:
    after = f"after {probe.failures} in a row that fail" if probe.failures > 1 else "when one fails"
    quiet = f" and {probe.quiet_s:g} s in which nothing moved" if probe.quiet_s else ""
    return f"{after}{quiet}: {told(probe)}"


def _moves(probes: Probes) -> str:
    progress = probes.progress
    if progress.counters:
        names = ", ".join(progress.counters)
        return f"; what moves: {names} of GET {progress.path} on {progress.port}"
    return "; what moves: its output" if probes.liveness and probes.liveness.quiet_s else ""


def told(probe: Probe) -> str:
    """One probe in words."""
    asked = " and ".join(map(question, probe.checks))
    given = [f"every {probe.period_s:g} s", f"{probe.timeout_s:g} s for an answer"]
    if probe.successes > 1:
        given.append(f"{probe.successes} in a row")
    if probe.stable_s:
        given.append(f"for {probe.stable_s:g} s")
    if probe.deadline_s is not None:
        given.append(f"within {probe.deadline_s:g} s")
    if probe.quiet_s is not None and probe.limit_s is not None:
        given.append(f"or {probe.limit_s:g} s while something moves every {probe.quiet_s:g} s")
    return ", ".join([asked, *given])


def question(check: Check) -> str:
    """One check in words."""
    if check.path is not None:
        wanted = [f"status {' or '.join(map(str, check.status))}"] if check.status else []
        wanted += [f"a body like {check.body}"] if check.body is not None else []
        if check.field is not None:
            equals = "" if check.equals is None else f" = {check.equals}"
            wanted.append(f"{check.field}{equals}")
        skip = f" (unless {' or '.join(map(str, check.skip))})" if check.skip else ""
        with_what = f" with {' and '.join(wanted)}" if wanted else ""
        return f"GET {check.path} on {check.port}{with_what}{skip}"
    if check.port is not None:
        return f"connect to {check.port}"
    if check.command:
        return f"run {shlex.join(check.command)}"
    if check.log is not None:
        return f"a line like {check.log} in its output"
    named = f" and none of {check.tree}* gone" if check.tree else ""
    return f"no process stopped{named}"


def _restart(restart: Restart) -> str:
    if restart.policy == "never":
        return "never"
    return (
        f"{restart.policy}: after {restart.first_delay_s:g} s, then {restart.delay_s:g} s, each"
        f" time {restart.factor:g} times as long up to {restart.limit_s:g} s; given up after"
        f" more than {restart.max_failures} failures within {restart.window_s:g} s, forgotten"
        f" after {restart.forgive_after_s:g} s"
    )


def _ranges(numbers: Iterable[int]) -> str:
    """``0-3, 6``, in order."""
    ordered = sorted(numbers)
    breaks = [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1] + 1]
    runs = [ordered[a:b] for a, b in pairwise([0, *breaks, len(ordered)])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    wrapped = textwrap.wrap(
        text.replace("\n", "\\n"),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [""]
