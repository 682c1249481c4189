"""Explains a plan node by node: what runs there and why. Pure."""

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
from pdsup.printable import printable
from pdsup.times import duration

# WIDTH is for files. Lines longer than MOST are hard to read on any terminal.
WIDTH, MOST = 100, 120
# A line before it is folded, and the indent of its continuation lines.
Line = tuple[str, str]
EMPTY: Line = ("", "")
# How many occurrences of a repeated flag are shown, and how many values of one flag.
SHOWN_FLAGS, SHOWN_VALUES = 1, 4


def explain(plan: Plan, notes: Notes) -> list[str]:
    """Explains a valid plan."""
    return list(lines(explanation(plan, notes)))


def lines(told: Explanation, width: int = WIDTH) -> Iterator[str]:
    """The explanation in lines of at most ``width`` characters, and never more than 120."""
    for text, indent in _told(told):
        yield from _wrapped(text, indent, min(width, MOST))


def _told(told: Explanation) -> Iterator[Line]:
    yield f"{told.name}: {_count(told.nodes, 'node')}, {_count(told.units, 'unit')}", ""
    yield f"Clients talk to {told.front}." if told.front else "No unit serves clients.", ""
    where = "all addresses of their node" if told.bind == "any" else "their node's address only"
    yield f"Units listen on {where}; agents use port {told.control_port}.", ""
    known: dict[str, str] = {}
    for group in told.groups:
        yield from (EMPTY, *_node(group, known))
    yield from (EMPTY, *_routers(told.routers))
    yield "Probes, restarts and stops:", ""
    for care in told.care:
        yield from _care(care)
    if told.hooks:
        yield from (EMPTY, ("Hooks:", ""))
    for hook in told.hooks:
        yield f"  {', '.join(hook.events)}: {hook.way}, timeout {duration(hook.timeout_s)}", "    "
    if told.unused:
        yield from (EMPTY, ("Ignored settings of the recipe:", ""))
        for line in told.unused:
            yield f"  line {line.line}, {line.path}: {line.reason}", "    "
    if told.warnings:
        yield from (EMPTY, ("Warnings:", ""))
        for warning in told.warnings:
            yield f"  {warning}", "    "


def _node(group: NodeGroup, known: dict[str, str]) -> Iterator[Line]:
    """The lines of one node. ``known``: what was explained already, and for which unit."""
    address = "" if group.addresses == group.nodes else f", address {group.addresses}"
    alike = f" ({group.count} identical nodes)" if group.count > 1 else ""
    yield f"{group.nodes}{address}{alike}", "  "
    if not group.units:
        yield "  runs nothing", ""
    for unit in group.units:
        what = f"{unit.role} {unit.kind}" if unit.role else unit.kind
        member = ", rank of a gang" if unit.gang else ""
        yield f"  {unit.units}: {what}{member}{_gpus(unit)}", "    "
        shape = replace(unit, units="", role=None, gpus=(), log="")
        first = known.setdefault(repr(shape), unit.units)
        yield from _unit(unit) if first == unit.units else _row("otherwise", f"like {first}")
        yield from _row("log", f"{unit.log}{' etc.' if group.count > 1 else ''}")


def _gpus(unit: UnitGroup) -> str:
    return f", GPU{'s' if len(unit.gpus) > 1 else ''} {_ranges(unit.gpus)}" if unit.gpus else ""


def _unit(unit: UnitGroup) -> Iterator[Line]:
    ports = [f"{purpose} {port}" for purpose, port in unit.ports.items()]
    if unit.listens:
        ports.append(f"DP attention {_ranges(unit.listens)} (chosen by SGLang)")
    yield from _row("ports", ", ".join(ports))
    yield from _row("waits for", _waiting(unit))
    yield from _row("command", " ".join(_folded(unit.command)))
    env = (f"{name}={value}" for name, value in unit.env.items())
    yield from _row("environment", shlex.join(env))
    if unit.env_varies:
        yield from _row("", f"{', '.join(unit.env_varies)} differs from node to node")


def _row(head: str, text: str) -> Iterator[Line]:
    """``head`` with its text beside it; nothing if there is no text."""
    return iter([(f"    {head + ' ':12}{text}", " " * 16)] if text else [])


def _waiting(unit: UnitGroup) -> str:
    if not unit.waits_for:
        return "the other ranks (they start together)" if unit.gang else "nothing"
    by_ports = groupby(sorted(unit.waits_for, key=_ports), key=_ports)
    first = "; ".join(
        names(need.unit for need in needs)
        + (f" to accept connections on {', '.join(ports)}" if ports else "")
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
    """The words of a command, quoted where needed, without long repetitions."""
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
        origin = "set in the recipe" if routers.stated else "the default"
        text += f" One plus up to {routers.additional} additional ({origin})"
        text += f", one {_every(routers.step)} from the second on." if routers.step else "."
        if routers.count < routers.additional + 1:
            text += f" This makes {routers.count}, not {routers.additional + 1}."
    yield text, "  "
    yield EMPTY


def _every(step: int) -> str:
    return "on every node" if step == 1 else f"every {step} nodes"


def _care(care: Care) -> Iterator[Line]:
    yield f"  {care.units}", "  "
    probes = care.probes
    yield from _row(
        "ready when", describe_probe(probes.startup) if probes.startup else "its process is running"
    )
    if probes.readiness:
        yield from _row("unhealthy", _lost(probes.readiness))
    if probes.liveness:
        yield from _row("killed", f"{_lost(probes.liveness)}{_moves(probes)}")
    yield from _row("restart", _restart(care.restart))
    yield from _row("stop", f"{care.stop.signal}, then KILL after {duration(care.stop.timeout_s)}")


def _lost(probe: Probe) -> str:
    after = (
        f"after {probe.failures} failures in a row"
        if probe.failures > 1
        else "at the first failure"
    )
    quiet = f" and {duration(probe.quiet_s)} without progress" if probe.quiet_s else ""
    return f"{after}{quiet}: {describe_probe(probe)}"


def _moves(probes: Probes) -> str:
    progress = probes.progress
    if progress.counters:
        names = ", ".join(progress.counters)
        return f"; progress: change of {names} in GET {progress.path} on {progress.port}"
    return "; progress: new output" if probes.liveness and probes.liveness.quiet_s else ""


def describe_probe(probe: Probe) -> str:
    """Describes a probe."""
    asked = " and ".join(map(describe_check, probe.checks))
    given = [f"every {duration(probe.period_s)}", f"timeout {duration(probe.timeout_s)}"]
    if probe.successes > 1:
        given.append(f"{probe.successes} in a row")
    if probe.stable_s:
        given.append(f"for {duration(probe.stable_s)}")
    if probe.deadline_s is not None:
        given.append(f"within {duration(probe.deadline_s)}")
    if probe.quiet_s is not None and probe.limit_s is not None:
        limit, quiet = duration(probe.limit_s), duration(probe.quiet_s)
        given.append(f"or {limit} while it shows progress every {quiet}")
    return ", ".join([asked, *given])


def describe_check(check: Check) -> str:
    """Describes a check."""
    if check.path is not None:
        wanted = [f"status {' or '.join(map(str, check.status))}"] if check.status else []
        wanted += [f"a body matching {check.body}"] if check.body is not None else []
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
        return f"a line matching {check.log} in its output"
    named = f" and no {check.tree}* process is gone" if check.tree else ""
    return f"no process is stopped{named}"


def _restart(restart: Restart) -> str:
    if restart.policy == "never":
        return "never"
    growth = "doubling" if restart.factor == 2 else f"{restart.factor:g} times longer each time,"
    first = f"after {duration(restart.first_delay_s)}" if restart.first_delay_s else "at once"
    return (
        f"{restart.policy}: {first}, then after"
        f" {duration(restart.delay_s)}, {growth} up to {duration(restart.limit_s)}; gives up"
        f" after {_count(restart.max_failures, 'failure')} in {duration(restart.window_s)};"
        f" {duration(restart.forgive_after_s)} of RUNNING reset the count"
    )


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, as ranges: ``0-3, 6``."""
    ordered = sorted(numbers)
    breaks = [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1] + 1]
    runs = [ordered[a:b] for a, b in pairwise([0, *breaks, len(ordered)])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    wrapped = textwrap.wrap(
        printable(text.replace("\n", "\\n")),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [""]
