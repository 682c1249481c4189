"""``pdsup reload``: applies a changed plan, or new code, to a running cluster."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from pdsup import clock, typed
from pdsup.answers.reload import Reloading, Replacing
from pdsup.answers.status import Status
from pdsup.cli import client, options
from pdsup.cli.runs import choice
from pdsup.cli.screens import reload
from pdsup.cli.screens.reload import Outcome, Result
from pdsup.cli.screens.waiting import Silence
from pdsup.cli.terminal.say import say
from pdsup.cli.verbs.start import TIMEOUT_S
from pdsup.errors import SupervisorError, WrongUsage
from pdsup.plan.difference import Change
from pdsup.times import duration

EXAMPLE = "pdsup reload --dry-run"
AGENT_S = 60.0
NEW_AGENT = "a new agent"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "file", nargs="?",
        help="the plan or recipe to apply (default: the one that the run was started with)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    parser.add_argument(
        "--agent",
        action="store_true",
        help="reload the code of this machine's agents instead of the plan",
    )
    options.as_json(parser)
    options.run_dir(parser)
    options.timeout(
        parser,
        f"seconds to wait until it is done (default: {TIMEOUT_S:g}, with --agent {AGENT_S:g})",
    )


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if the change is applied; 1 if it was refused or a unit gave up; 124 if it is
    still in progress at the timeout.
    """
    if args.agent and (args.file or args.dry_run):
        raise WrongUsage("cannot reload the agents' code and the plan at once: leave out --agent")
    cluster = client.commanded(args.run_dir, f"reload {'agents' if args.agent else 'the plan'}")
    return _reload_agents(cluster, args) if args.agent else _reload_plan(cluster, args)


def _reload_plan(cluster: client.Cluster, args: argparse.Namespace) -> int:
    before = client.status(cluster, every=True)
    file = str(Path(args.file).absolute()) if args.file else None
    _examine(Path(cluster.run_dir), file)
    order = {"plan": file, "dry_run": args.dry_run}
    told = client.tell(client.first_agent(cluster), "/v1/reload", order, "reload")
    answer = client.read(Reloading, told)
    if not args.json:
        changed = answer.units or answer.settings
        print("\n".join(reload.table(answer)) if changed else "the plan has not changed")
    if args.dry_run or answer.plan == before.plan:
        if args.json:
            print(typed.dumps(answer, indent=2))
        return 0
    until = clock.monotonic() + (TIMEOUT_S if args.timeout is None else args.timeout)
    wait = _Wait(cluster, before, answer, quiet=args.json)
    in_time = wait.until(until)
    if args.json:
        print(typed.dumps(reload.to_json(answer, wait.results), indent=2))
    if not in_time:
        return options.TIMED_OUT
    return 0 if all(result.good for result in wait.results) else 1


def _examine(run_dir: Path, file: str | None) -> None:
    """Prints warnings about the recipe to apply. Raises InvalidDocument if the router on this
    machine refuses its flags; other mistakes are left to the agent, which knows the nodes.
    """
    from pdsup.cli.terminal.say import warn
    from pdsup.node.installed import Installed
    from pdsup.node.run_dir import origin_of
    from pdsup.plan.compile import load  # late: not needed for help
    from pdsup.plan.compile.nodes import invented_nodes

    origin = origin_of(run_dir)
    if file is not None:
        origin = replace(origin, file=file, variant=None, overrides=())
    path, overrides = Path(origin.file), origin.overrides
    try:
        nodes = invented_nodes(load.node_count(path, overrides, origin.variant))
    except SupervisorError:
        return
    loaded = load.load(
        path,
        nodes=nodes,
        engine=origin.engine,
        overrides=overrides,
        variant=origin.variant,
        machine=Installed(),
    )
    warn(str(path), loaded.warnings)


class _Wait:
    """The wait for a change of the plan to be applied."""

    def __init__(
        self,
        cluster: client.Cluster,
        before: Status,
        answer: Reloading,
        *,
        quiet: bool,
    ) -> None:
        self._cluster = cluster
        self._before = before
        self._answer = answer
        self._quiet = quiet
        self._silence = Silence(say)
        self._units = reload.by_name(before)
        self._done: dict[str, Result] = {}

    def until(self, when: float) -> bool:
        """Prints the outcome of each unit as soon as it is known; whether all were in time.

        Raises NothingThere when the agents on this machine stop meanwhile.
        """
        status = self._before
        for look in client.follow(self._agent, every=True, until=when):
            if look.absent is not None:  # it hands over to a new agent, or has stopped
                left = max(choice.RETURN_S, when - clock.monotonic())
                self._cluster = client.cluster(
                    self._cluster.run_dir,
                    "watch the plan change",
                    returns_in=left,
                    meanwhile=lambda: self._silence.explain([NEW_AGENT]),
                )
                continue
            status = look.status or status
            late = reload.late_nodes(self._before, status)
            if status.plan == self._answer.plan and not self._look(status, late) and not late:
                return True
            self._silence.explain(self._waits_for(status))
        self._give_up(status)
        return False

    def _waits_for(self, status: Status) -> list[str]:
        return reload.waits_for(self._before, status, self._answer, self._done, clock.wall())

    def _agent(self) -> Path:
        return client.first_agent(self._cluster)

    @property
    def results(self) -> list[Result]:
        """The outcome of each unit."""
        return list(self._done.values())

    def _look(self, status: Status, late: Collection[str]) -> list[Change]:
        """The changes without an outcome; those of ``late`` nodes can't have one yet."""
        now = reload.by_name(status)
        for change in reload.left(self._answer.units, self._done, late):
            unit, before = now.get(change.unit), self._units.get(change.unit)
            outcome = reload.outcome(change, before, unit)
            if outcome is not None:
                self._tell(Result(change, outcome, before, unit))
        return reload.left(self._answer.units, self._done)

    def _give_up(self, status: Status) -> None:
        lines = "".join(f"\n  {line}" for line in self._waits_for(status))
        say(f"pdsup: cannot finish the reload in time; it continues, and waits for{lines}")
        now = reload.by_name(status)
        for change in reload.left(self._answer.units, self._done):
            name = change.unit
            self._tell(Result(change, Outcome.LATE, self._units.get(name), now.get(name)))

    def _tell(self, result: Result) -> None:
        self._done[result.change.unit] = result
        self._silence.end()
        if not self._quiet:
            print(result.line(), flush=True)


def _reload_agents(cluster: client.Cluster, args: argparse.Namespace) -> int:
    """Exit status: 0 when every agent has handed over to a new one that answers."""
    timeout = AGENT_S if args.timeout is None else args.timeout
    until = clock.monotonic() + timeout
    agents = []
    for node, path in cluster.sockets.items():
        told = client.tell(path, "/v1/reload", {"agent": True}, "reload --agent")
        replaced = client.read(Replacing, told).replaced
        successor = _successor(path, replaced, until)
        if successor is None:
            raise SupervisorError(
                f"cannot reload the agent of {node}: no new one answered within {duration(timeout)}"
            )
        print(f"{node}: new agent running", file=sys.stderr)
        agents.append({"node": node, "replaced": replaced, "incarnation": successor})
    if args.json:
        print(json.dumps({"agents": agents}, indent=2))
    return 0


def _successor(path: Path, replaced: str, until: float) -> str | None:
    """The incarnation of the agent that replaced another; None if none answered in time."""
    silence = Silence(say)
    for look in client.follow(lambda: path, every=False, until=until):
        if look.status is not None and look.absent is None:
            (node,) = look.status.nodes
            if node.agent.incarnation != replaced:
                return node.agent.incarnation
        silence.explain([f"{NEW_AGENT} on {path.parent.name}"])
    return None
