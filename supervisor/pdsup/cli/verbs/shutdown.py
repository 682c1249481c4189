"""``pdsup shutdown``: stops the agent and its units."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
from pathlib import Path

from pdsup import clock
from pdsup.answers.status import Status
from pdsup.cli import client, options
from pdsup.cli.terminal.say import say
from pdsup.errors import NothingThere, SupervisorError, WrongUsage
from pdsup.node import state_dir
from pdsup.times import duration

EXAMPLE = "pdsup shutdown --all"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("--all", action="store_true", help="stop every agent of the cluster")
    parser.add_argument("--node", help="stop this node's agent, if several are on this machine")
    options.as_json(parser, "print one JSON value: the nodes that have stopped, and those left")
    options.run_dir(parser)
    options.timeout(parser, "seconds to wait (default: 60)", 60.0)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if the agents on this machine have stopped; 1 if one is still running at the
    timeout.
    """
    try:
        cluster = client.cluster(args.run_dir, "shut down")
    except NothingThere:
        if not (args.all and args.run_dir and _end_leftovers(Path(args.run_dir), args.timeout)):
            raise
        return 0
    if args.all:
        cluster = client.with_returning_agents(cluster)
    node = _chosen(cluster, args)
    ending = list(cluster.sockets) if args.all else [node]
    with contextlib.ExitStack() as stack:
        pidfds = {name: _pidfd(cluster, name) for name in ending}
        for pidfd in pidfds.values():
            stack.callback(os.close, pidfd)
        client.tell(cluster.sockets[node], "/v1/shutdown", {"all": args.all})
        left = _wait(pidfds, args.timeout)
    if args.json:
        import json

        stopped = [name for name in ending if name not in left]
        print(json.dumps({"stopped": stopped, "left": left}, indent=2))
    if left:
        raise SupervisorError(
            f"cannot shut down {', '.join(left)}: still running after {duration(args.timeout)}"
        )
    if args.all:
        _clean_up_after(cluster, args.timeout)
    say(f"stopped: {', '.join(ending)}")
    return 0


def _clean_up_after(cluster: client.Cluster, timeout: float) -> None:
    """Stops what agents that were killed together with their guardians left on this machine, and
    an agent that did not answer because it was just starting.
    """
    for node in sorted(cluster.silent):
        if (state := cluster.directory / node).is_dir():
            _end_one(state, timeout)


def _end_leftovers(run_dir: Path, timeout: float) -> bool:
    """Stops what is left of a run without an agent that answers; whether there was anything."""
    from pdsup.units import takeover  # late: rarely needed

    left = takeover.left_behind(run_dir.resolve(), os.environ)
    for state in left:
        _end_one(state, timeout)
    return bool(left)


def _end_one(state: Path, timeout: float) -> None:
    from pdsup.units import takeover  # late: rarely needed

    if left := takeover.end_in_order(state, timeout):
        raise SupervisorError(f"cannot stop what the agent of {state.name} left behind: pid {left}")
    state_dir.remove_cluster(state.parent)
    say(f"stopped what the killed agent of {state.name} left behind")


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
