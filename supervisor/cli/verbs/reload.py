"""``pdsup reload``: new code for the agents, while their units run on."""

from __future__ import annotations

import argparse
import json
import sys
import time

from supervisor import clock
from supervisor.cli import client
from supervisor.errors import NothingThere, SupervisorError

EXAMPLE = "pip install --upgrade pd-supervisor && pdsup reload --agent"
# An agent that does not listen yet can't be waited with.
LOOK_S = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is to be loaded anew, and of which run."""
    parser.add_argument("--agent", action="store_true", required=True, help="the agents' code")
    parser.add_argument("--json", action="store_true", help="one JSON value instead of lines")
    parser.add_argument("--run-dir", help="which run, when several are on this machine")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="how long to wait (default: 60)"
    )


def run(args: argparse.Namespace) -> int:
    """0 when every agent has a successor that answers."""
    cluster = client.cluster(args.run_dir, "reload agents")
    until = clock.monotonic() + args.timeout
    agents = []
    for node, path in cluster.sockets.items():
        replaced = client.tell(path, "/v1/reload", {"agent": True}).value["replaced"]
        while (successor := _incarnation(cluster, node)) in (None, replaced):
            if clock.monotonic() > until:
                raise SupervisorError(
                    f"cannot reload the agent of {node}: no new one answers in {args.timeout:g} s"
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
