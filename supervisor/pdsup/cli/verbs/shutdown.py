"""``pdsup shutdown``: stops the agent and its units."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
from pathlib import Path

from pdsup import clock
from pdsup.answers.status import Status
from pdsup.cli import client, options
from pdsup.cli.runs import choice
from pdsup.cli.runs.choice import Run
from pdsup.cli.runs.named import Source
from pdsup.cli.terminal.say import say
from pdsup.errors import SupervisorError, WrongUsage
from pdsup.times import duration

EXAMPLE = "pdsup shutdown --all"
PURPOSE = "shut down"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--all", action="store_true", help="stop every agent of the cluster")
    parser.add_argument("--node", help="stop this node's agent, if several are on this machine")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options.as_json(parser, "print one JSON value: the nodes that have stopped, and those left")
    options.run_dir(parser)
    options.timeout(parser, "seconds to wait (default: 60)", 60.0)


def run(args: argparse.Namespace) -> int:
    """Asks first if the run was not named (``--run-dir``, PDSUP_RUN_DIR, or the run directory that
    is the current directory) and there is a terminal; without one it stops only a run of the
    current directory or its ``runs/``, unless ``--yes`` is given. Exit status: 0 if the agents on
    this machine have stopped; 1 if one is still running at the timeout.
    """
    chosen = choice.choose(args.run_dir, PURPOSE)
    if not chosen.cluster.silent:
        client.answering(chosen, PURPOSE)
    _confirm(chosen, args)
    cluster = chosen.cluster
    if cluster.sockets and args.all:
        cluster = client.with_returning_agents(cluster)
    stopped, left = _stop(cluster, args) if cluster.sockets else ([], [])
    if not left and (args.all or not cluster.sockets):
        stopped += _clean_up_after(cluster, args.timeout)
    if args.json:
        import json

        found = {"run_dir": cluster.run_dir, "stopped": stopped, "left": left}
        print(json.dumps(found, indent=2))
    if left:
        raise SupervisorError(
            f"cannot shut down {', '.join(left)}: still running after {duration(args.timeout)}"
        )
    say(f"stopped {chosen}: {', '.join(stopped)}")
    return 0


def _confirm(chosen: Run, args: argparse.Namespace) -> None:
    """Raises an error unless the user surely means this run."""
    if args.yes or chosen.source.is_named:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(f"shut down {chosen}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise SupervisorError(f"cannot {PURPOSE} {chosen}: not confirmed")
    elif chosen.source is not Source.NEARBY:
        raise WrongUsage(
            f"cannot {PURPOSE} {chosen}: it was not named, and is not a run of the current "
            f"directory; give --run-dir {chosen.cluster.run_dir}, or --yes"
        )


def _stop(cluster: client.Cluster, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Stops agents; returns the nodes of those that have ended, and of those that are late."""
    node = _chosen(cluster, args)
    ending = list(cluster.sockets) if args.all else [node]
    with contextlib.ExitStack() as stack:
        pidfds = {name: _pidfd(cluster, name) for name in ending}
        for pidfd in pidfds.values():
            stack.callback(os.close, pidfd)
        verb = "shutdown --all" if args.all else "shutdown"
        client.tell(cluster.sockets[node], "/v1/shutdown", {"all": args.all}, verb)
        left = _wait(pidfds, args.timeout)
    return [name for name in ending if name not in left], left


def _clean_up_after(cluster: client.Cluster, timeout: float) -> list[str]:
    """Stops what agents that were killed together with their guardians left on this machine, and
    an agent that did not answer because it was just starting; returns their nodes.
    """
    left = [node for node in sorted(cluster.silent) if cluster.directories[node].is_dir()]
    for node in left:
        _clean_up(node, cluster.directories[node], timeout)
    return left


def _clean_up(node: str, state_dir: Path, timeout: float) -> None:
    from pdsup.node import state_dir as state_dirs  # late: rarely needed
    from pdsup.units import takeover

    if state_dir.stat().st_uid != os.geteuid():
        # Its ledger names the processes to kill: another user must not choose ours.
        raise SupervisorError(
            f"cannot stop what the killed agent of {node} left behind: it belongs to another user"
        )
    if survivors := takeover.end_in_order(state_dir, timeout):
        raise SupervisorError(f"cannot stop what the agent of {node} left behind: pid {survivors}")
    state_dirs.remove_cluster(state_dir.parent)
    say(f"stopped what the killed agent of {node} left behind")


def _chosen(cluster: client.Cluster, args: argparse.Namespace) -> str:
    here = list(cluster.sockets)
    if args.node:
        if args.node not in here:
            raise WrongUsage(
                f"cannot shut down {args.node}: the agents on this machine are {', '.join(here)}"
            )
        return str(args.node)
    if len(here) > 1 and not args.all:
        raise WrongUsage(
            f"cannot shut down: {len(here)} agents are here; give --all, or --node with one of "
            + ", ".join(here)
        )
    return here[0]


def _pidfd(cluster: client.Cluster, node: str) -> int:
    (status,) = client.read(Status, client.ask(cluster.sockets[node], "/v1/status")).nodes
    pid = status.agent.guardian_pid or status.agent.pid
    if pid is None:
        raise SupervisorError(f"cannot shut down {node}: its agent does not report its pid")
    return os.pidfd_open(pid)


def _wait(pidfds: dict[str, int], timeout: float) -> list[str]:
    """The nodes whose agents are still running after ``timeout`` seconds."""
    until = clock.monotonic() + timeout
    left = dict(pidfds)
    while left and (seconds := until - clock.monotonic()) > 0:
        ended, _, _ = select.select(list(left.values()), [], [], seconds)
        left = {name: pidfd for name, pidfd in left.items() if pidfd not in ended}
    return list(left)
