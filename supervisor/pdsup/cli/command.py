"""Sends an operator's command to agents and waits until it is done."""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pdsup import clock
from pdsup.answers.commands import EvidenceTaken, UnitBefore
from pdsup.answers.status import UnitStatus
from pdsup.cli import client, command_rules, options
from pdsup.cli.command_rules import Outcome, Result, Verb
from pdsup.cli.runs import living
from pdsup.cli.screens import progress
from pdsup.cli.screens.waiting import Silence
from pdsup.cli.terminal import fit
from pdsup.cli.terminal.fold import folded
from pdsup.cli.terminal.say import say
from pdsup.errors import NothingThere
from pdsup.node.paths import SOCKET

# Longer than an agent takes to collect evidence, whatever hangs.
EVIDENCE_S = 30.0
# How many units a command names while it waits.
MOST_LINES = 8


def arguments(parser: argparse.ArgumentParser, timeout: float) -> None:
    """The arguments of verbs that act on units."""
    parser.add_argument(
        "units",
        nargs="+",
        metavar="UNIT",
        help="names, globs, gangs, groups such as decode, or all (units of this machine)",
    )
    options.as_json(parser)
    options.run_dir(parser)
    if timeout:
        meaning = f"seconds to wait until it is done (default: {timeout:g})"
        options.timeout(parser, meaning, timeout)


def carry_out(verb: Verb, args: argparse.Namespace) -> int:
    """Starts, stops or restarts units; the exit status: 0 done, 1 failed, 124 timed out.

    A wave that is not fully done keeps later waves from being started.
    """
    target = _target(verb, (verb,), args)
    cluster, waves = target.cluster, target.waves
    until = clock.monotonic() + args.timeout
    results: list[Result] = []
    for number, wave in enumerate(waves):
        done = [_shown(result, args) for result in _carry_out(verb, cluster, wave, until)]
        results += done
        if not all(result.good for result in done):
            rest = [unit for later in waves[number + 1 :] for unit in later]
            results += [_shown(Result(verb, unit, Outcome.SKIPPED), args) for unit in rest]
            break
    return _summed_up(results, target, args)


def signal(number: int, args: argparse.Namespace) -> int:
    """Signals the main processes of units; the exit status: 0 if each had one, else 1."""
    target = _target("signal", ("signal", args.signal), args)
    cluster = target.cluster
    results = []
    for wave in target.waves:
        for node, units in _by_node(wave).items():
            order = {"command": "signal", "signal": number, "units": _names(units)}
            answer = client.tell(cluster.sockets[node], "/v1/units", order, "signal")
            reached = client.read(dict[str, bool], answer)
            results += [_signalled(unit, reached[unit.name]) for unit in units]
    return _summed_up([_shown(result, args) for result in results], target, args)


def evidence(args: argparse.Namespace) -> int:
    """Takes evidence of units; the exit status: 0 if there is some of each, else 1."""
    target = _target("evidence", ("evidence",), args)
    found: list[dict[str, object]] = []
    for wave in target.waves:
        for node, units in _by_node(wave).items():
            order = {"units": _names(units)}
            socket = target.cluster.sockets[node]
            answer = client.tell(socket, "/v1/evidence", order, "evidence", wait=EVIDENCE_S)
            taken = client.read(dict[str, EvidenceTaken], answer)
            found += [
                {"name": unit.name, "node": node, **asdict(taken[unit.name])} for unit in units
            ]
    if args.json:
        _print_json(found, target)
    else:
        for one in found:
            where = one["directory"] or f"ERROR (no evidence: {one['problem']})"
            print(f"{one['name']}: {where}")
    return 0 if target.complete and all(one["directory"] for one in found) else 1


def _signalled(unit: UnitStatus, reached: bool) -> Result:
    return Result("signal", unit, Outcome.DONE if reached else Outcome.NO_PROCESS)


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is for: the units of this machine in waves, and for each other node its units
    with the command line to run there. ``complete``: whether all named units are here.
    """

    cluster: client.Cluster
    waves: list[list[UnitStatus]]
    elsewhere: tuple[There, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class There:
    """Units of another node, and the command line that is to be run for them."""

    node: str
    units: tuple[str, ...]
    command: str


def _target(verb: Verb, words: Sequence[str], args: argparse.Namespace) -> Target:
    """Says on stderr what to run elsewhere; raises that as NothingThere if no unit is here."""
    spoken = command_rules.spoken(verb)
    cluster = client.commanded(args.run_dir, f"{spoken} {', '.join(args.units)}")
    status = client.status(cluster, every=True)
    chosen = command_rules.choose(verb, status, args.units, cluster.sockets.keys())
    away = {unit.node for unit in (*chosen.elsewhere, *chosen.mates)} & cluster.silent
    if away and living.is_returning(cluster):
        say(f"pdsup: waiting for the agent of {', '.join(sorted(away))}, which does not answer now")
        cluster = client.with_returning_agents(cluster)
        chosen = command_rules.choose(verb, status, args.units, cluster.sockets.keys())
    elsewhere = tuple(
        There(node, tuple(_names(units)), _there(words, node, units, cluster.run_dir))
        for node, units in _by_node((*chosen.elsewhere, *chosen.mates)).items()
    )
    target = Target(
        cluster, command_rules.waves(verb, chosen.units), elsewhere, not chosen.elsewhere
    )
    refusals = [
        f"cannot {spoken} {', '.join(one.units)} from here: the agent of {one.node} "
        + _absence(one, cluster)
        for one in elsewhere
    ]
    if not chosen.units:
        if args.json:
            _print_json((), target)
        raise NothingThere("\npdsup: ".join(refusals))
    for refusal in refusals:
        say(f"pdsup: {refusal}")
    return target


def _absence(there: There, cluster: client.Cluster) -> str:
    """Why the agent of a node is not at hand, and what to do."""
    if there.node in cluster.silent:
        why = living.silence(cluster.directories[there.node] / SOCKET)
        return f"does not answer: {why}"
    return f"is on another machine; run\n  {there.command}"


def _there(words: Sequence[str], node: str, units: Sequence[UnitStatus], run_dir: str) -> str:
    own = [*words, *_names(units), "--run-dir", run_dir]
    job = command_rules.job_of(run_dir, os.environ)
    return command_rules.on_node(own, node, job)


def _carry_out(
    verb: Verb, cluster: client.Cluster, wave: list[UnitStatus], until: float
) -> Iterator[Result]:
    """Sends the command to every agent before waiting for any."""
    before: dict[str, UnitBefore] = {}
    by_node = _by_node(wave)
    for node, units in by_node.items():
        order = {"command": verb, "units": _names(units)}
        answer = client.tell(cluster.sockets[node], "/v1/units", order, verb)
        before |= client.read(dict[str, UnitBefore], answer)
    for node, units in by_node.items():
        yield from _await(verb, cluster.sockets[node], _names(units), before, until)


def _await(
    verb: Verb, socket: Path, names: list[str], before: Mapping[str, UnitBefore], until: float
) -> Iterator[Result]:
    left, units, silence = list(names), dict[str, UnitStatus](), Silence(say)
    absent: NothingThere | None = None
    for look in client.follow(lambda: socket, every=False, until=until):
        if look.absent is not None:
            if not living.has_guardian(socket.parent):
                raise look.absent
            absent = look.absent  # its guardian replaces it, and its units are as they were
            continue
        units = {unit.name: unit for unit in look.status.units} if look.status else units
        for name in [name for name in left if name in units]:
            if (outcome := command_rules.outcome(verb, units[name], before[name])) is not None:
                left.remove(name)
                yield Result(verb, units[name], outcome)
                silence.end()
        if not left:
            return
        late = (units[name] for name in left if name in units)
        silence.explain(progress.missing(late, lambda _: False, clock.wall(), MOST_LINES))
    if absent and not units:
        raise absent
    for name in left:
        yield Result(verb, units[name], Outcome.LATE)


def _by_node(units: Iterable[UnitStatus]) -> dict[str, list[UnitStatus]]:
    nodes: defaultdict[str, list[UnitStatus]] = defaultdict(list)
    for unit in units:
        nodes[unit.node].append(unit)
    return nodes


def _names(units: Iterable[UnitStatus]) -> list[str]:
    return [unit.name for unit in units]


def _shown(result: Result, args: argparse.Namespace) -> Result:
    """Prints a result at once, because the next one may take a while."""
    if not args.json:
        print("\n".join(folded([result.line()], fit.width(sys.stdout))), flush=True)
    return result


def _summed_up(results: list[Result], target: Target, args: argparse.Namespace) -> int:
    if args.json:
        _print_json([result.value() for result in results], target)
    return command_rules.exit_status(results) or (0 if target.complete else 1)


def _print_json(units: Sequence[Mapping[str, object]], target: Target) -> None:
    import json

    found: dict[str, object] = {"units": units}
    if target.elsewhere:
        found["elsewhere"] = [asdict(one) for one in target.elsewhere]
    print(json.dumps(found, indent=2))
