"""``pdsup reload``: another plan, or new code, for a cluster that runs on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pdsup import clock, typed
from pdsup.answers.reload import Reloading, Replacing
from pdsup.answers.status import Status
from pdsup.cli import client, options
from pdsup.cli.screens import reload
from pdsup.cli.screens.reload import Outcome, Result
from pdsup.cli.verbs.start import TIMEOUT_S
from pdsup.errors import SupervisorError, WrongUsage
from pdsup.plan.difference import Change

EXAMPLE = "pdsup reload --dry-run"
AGENT_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is to be loaded anew, and of which run."""
    parser.add_argument(
        "file", nargs="?",
        help="a plan or recipe to go on with (default: what the run was started with, read again)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="only tell what would change, for the whole cluster"
    )
    parser.add_argument(
        "--agent", action="store_true", help="the code of this machine's agents, not the plan"
    )
    options.as_json(parser)
    options.run_dir(parser)
    options.timeout(
        parser, f"how long to wait for all of it (default: {TIMEOUT_S:g}, with --agent {AGENT_S:g})"
    )


def run(args: argparse.Namespace) -> int:
    """0: it is so; 1: a unit gave up, or it can't be; 124: not in time, and goes on."""
    if args.agent and (args.file or args.dry_run):
        raise WrongUsage("cannot reload the agents' code and the plan at once: leave --agent out")
    cluster = client.cluster(args.run_dir, f"reload {'agents' if args.agent else 'the plan'}")
    return _reload_agents(cluster, args) if args.agent else _reload_plan(cluster, args)


def _reload_plan(cluster: client.Cluster, args: argparse.Namespace) -> int:
    before = client.status(cluster, every=True)
    file = str(Path(args.file).absolute()) if args.file else None
    order = {"plan": file, "dry_run": args.dry_run}
    told = client.tell(client.first_agent(cluster), "/v1/reload", order)
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


class _Wait:
    """For what a change of the plan brings."""

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
        self._units = reload.by_name(before)
        self._done: dict[str, Result] = {}

    def until(self, when: float) -> bool:
        """Whether all came in time; what became of each unit is told as soon as it is known.

        Raises NothingThere when the agents that are here have ended meanwhile.
        """
        status = self._before
        for look in client.follow(self._agent, every=True, until=when):
            if look.absent is not None:  # it hands over to another one, or to none
                left = max(client.RETURN_S, when - clock.monotonic())
                self._cluster = client.cluster(
                    self._cluster.run_dir, "see the plan change", returns_in=left
                )
                continue
            status = look.status or status
            changed = status.plan == self._answer.plan
            if changed and not reload.late_nodes(self._before, status) and not self._look(status):
                return True
        self._give_up(status)
        return False

    def _agent(self) -> Path:
        return client.first_agent(self._cluster)

    @property
    def results(self) -> list[Result]:
        """What became of each unit."""
        return list(self._done.values())

    def _look(self, status: Status) -> list[Change]:
        now = reload.by_name(status)
        for change in reload.left(self._answer.units, self._done):
            unit, before = now.get(change.unit), self._units.get(change.unit)
            outcome = reload.outcome(change, before, unit)
            if outcome is not None:
                self._tell(Result(change, outcome, before, unit))
        return reload.left(self._answer.units, self._done)

    def _give_up(self, status: Status) -> None:
        if late := reload.late_nodes(self._before, status):
            print(f"pdsup: no new agent answers in time for {', '.join(late)}", file=sys.stderr)
        now = reload.by_name(status)
        for change in reload.left(self._answer.units, self._done):
            name = change.unit
            self._tell(Result(change, Outcome.LATE, self._units.get(name), now.get(name)))

    def _tell(self, result: Result) -> None:
        self._done[result.change.unit] = result
        if not self._quiet:
            print(result.line(), flush=True)


def _reload_agents(cluster: client.Cluster, args: argparse.Namespace) -> int:
    """0 when every agent has a successor that answers."""
    timeout = AGENT_S if args.timeout is None else args.timeout
    until = clock.monotonic() + timeout
    agents = []
    for node, path in cluster.sockets.items():
        told = client.tell(path, "/v1/reload", {"agent": True})
        replaced = client.read(Replacing, told).replaced
        successor = _successor(path, replaced, until)
        if successor is None:
            raise SupervisorError(
                f"cannot reload the agent of {node}: no new one answers in {timeout:g} s"
            )
        print(f"{node}: a new agent has taken over", file=sys.stderr)
        agents.append({"node": node, "replaced": replaced, "incarnation": successor})
    if args.json:
        print(json.dumps({"agents": agents}, indent=2))
    return 0


def _successor(path: Path, replaced: str, until: float) -> str | None:
    """The incarnation of the agent that answers in the place of another; None: none in time."""
    for look in client.follow(lambda: path, every=False, until=until):
        if look.status is not None and look.absent is None:
            (node,) = look.status.nodes
            if node.agent.incarnation != replaced:
                return node.agent.incarnation
    return None
