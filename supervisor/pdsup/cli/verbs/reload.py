"""``pdsup reload``: another plan, or new code, for a cluster that runs on."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from pdsup import clock
from pdsup.cli import client
from pdsup.cli.screens import reload
from pdsup.cli.verbs.start import TIMEOUT_S
from pdsup.errors import NothingThere, SupervisorError, WrongUsage

EXAMPLE = "pdsup reload --dry-run"
# An agent that does not listen yet can't be waited with.
LOOK_S = 0.05
POLL_S = 1.0
AGENT_S = 60.0
TIMED_OUT = 124


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
    parser.add_argument("--json", action="store_true", help="one JSON value instead of lines")
    parser.add_argument("--run-dir", help="which run, when several are on this machine")
    parser.add_argument(
        "--timeout", type=float, metavar="S",
        help=f"how long to wait for all of it (default: {TIMEOUT_S:g}, with --agent {AGENT_S:g})",
    )  # fmt: skip


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
    answer = client.tell(client.first_agent(cluster), "/v1/reload", order).value
    if not args.json:
        changed = answer["units"] or answer["settings"]
        print("\n".join(reload.table(answer)) if changed else "the plan has not changed")
    if args.dry_run or answer["plan"] == before["plan"]:
        if args.json:
            print(json.dumps(answer, indent=2))
        return 0
    until = clock.monotonic() + (TIMEOUT_S if args.timeout is None else args.timeout)
    wait = _Wait(cluster, before, answer, quiet=args.json)
    in_time = wait.until(until)
    if args.json:
        print(json.dumps({**answer, "units": wait.results}, indent=2))
    if not in_time:
        return TIMED_OUT
    return 0 if all(result["ok"] for result in wait.results) else 1


class _Wait:
    """For what a change of the plan brings."""

    def __init__(
        self,
        cluster: client.Cluster,
        before: dict[str, Any],
        answer: dict[str, Any],
        *,
        quiet: bool,
    ) -> None:
        self._cluster = cluster
        self._before = before
        self._answer = answer
        self._quiet = quiet
        self._units = reload.by_name(before)
        self._done: dict[str, dict[str, Any]] = {}

    def until(self, when: float) -> bool:
        """Whether all came in time; what became of each unit is told as soon as it is known.

        Raises NothingThere when the agents that are here have ended meanwhile.
        """
        version, status = "", self._before
        while clock.monotonic() < when:
            wait = max(0.0, min(POLL_S, when - clock.monotonic()))
            query = f"/v1/status?all=1&since={version}&wait={wait:.3f}"
            try:
                answer = client.ask(client.first_agent(self._cluster), query, wait=wait)
            except NothingThere:  # it makes way for another one, or for none
                time.sleep(LOOK_S)
                self._cluster = client.cluster(self._cluster.run_dir, "see the plan change")
                continue
            version, status = answer.version or version, answer.value or status
            if status["plan"] != self._answer["plan"]:
                time.sleep(LOOK_S)  # whatever happens to this agent, it is about to go
            elif not reload.late_nodes(self._before, status) and not self._look(status):
                return True
        self._give_up(status)
        return False

    @property
    def results(self) -> list[dict[str, Any]]:
        """What became of each unit."""
        return list(self._done.values())

    def _look(self, status: dict[str, Any]) -> list[reload.Change]:
        now = reload.by_name(status)
        for change in reload.left(self._answer["units"], self._done):
            unit = now.get(change["unit"])
            outcome = reload.outcome(change, self._units.get(change["unit"]), unit)
            if outcome is not None:
                self._tell(change, outcome, unit)
        return reload.left(self._answer["units"], self._done)

    def _give_up(self, status: dict[str, Any]) -> None:
        if late := reload.late_nodes(self._before, status):
            print(f"pdsup: no new agent answers in time for {', '.join(late)}", file=sys.stderr)
        now = reload.by_name(status)
        for change in reload.left(self._answer["units"], self._done):
            self._tell(change, f"not {change['what']} in time", now.get(change["unit"]))

    def _tell(self, change: reload.Change, outcome: str, unit: dict[str, Any] | None) -> None:
        self._done[change["unit"]] = reload.value(change, outcome, unit)
        if not self._quiet:
            print(reload.line(change, outcome, unit), flush=True)


def _reload_agents(cluster: client.Cluster, args: argparse.Namespace) -> int:
    """0 when every agent has a successor that answers."""
    timeout = AGENT_S if args.timeout is None else args.timeout
    until = clock.monotonic() + timeout
    agents = []
    for node, path in cluster.sockets.items():
        replaced = client.tell(path, "/v1/reload", {"agent": True}).value["replaced"]
        while (successor := _incarnation(cluster, node)) in (None, replaced):
            if clock.monotonic() > until:
                raise SupervisorError(
                    f"cannot reload the agent of {node}: no new one answers in {timeout:g} s"
                )
            time.sleep(LOOK_S)
        print(f"{node}: a new agent has taken over", file=sys.stderr)
        agents.append({"node": node, "replaced": replaced, "incarnation": successor})
    if args.json:
        print(json.dumps({"agents": agents}, indent=2))
    return 0


def _incarnation(cluster: client.Cluster, node: str) -> str | None:
    try:
        (found,) = client.ask(cluster.sockets[node], "/v1/status").value["nodes"]
    except NothingThere:
        return None
    return str(found["agent"]["incarnation"])
