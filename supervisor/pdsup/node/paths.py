"""The paths of an agent's files: the shared ones, and the node-local ones.

    RUN_DIR/plan.yaml                               RUN_DIR/events/NODE.jsonl
    ROOT/CLUSTER_ID/run -> the run directory        ROOT/CLUSTER_ID/NODE/control.sock

Sockets, locks and temporary files are kept outside the run directory, which is usually on a network
file system. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from pdsup.errors import WrongUsage

# Where run directories are by default, relative to the working directory.
RUNS = "runs"
# In the run directory.
PLAN_FILE = "plan.yaml"
JOURNALS = "events"
AGENTS = "agents"
# In the node-local directory.
SOCKET = "control.sock"
LOCK = "lock"
RUN_LINK = "run"
# The named pipes of units whose plan says ``log.mode: pipe``.
PIPES = "output"
# The kernel's sun_path holds 108 bytes with its closing zero.
SOCKET_PATH_LIMIT = 107


def state_roots(environ: Mapping[str, str], temporary: str, uid: int) -> tuple[PurePath, ...]:
    """The possible roots, preferred first: ``$XDG_RUNTIME_DIR/pdsup``, ``TEMP/pdsup-UID``.

    srun passes the submit host's variable to nodes that lack that directory, and not every shell on
    a node sets it. So an agent takes the first root that works, and a client searches all of them.
    """
    runtime = environ.get("XDG_RUNTIME_DIR")
    preferred = (PurePath(runtime, "pdsup"),) if runtime else ()
    return (*preferred, PurePath(temporary, f"pdsup-{uid}"))


def cluster_id(run_dir: str) -> str:
    """A short name of a run, the same on all its nodes: a hash of the absolute run directory.

    Raises WrongUsage if that is not UTF-8.
    """
    import hashlib  # late: most commands do not need it

    refuse_odd(run_dir)
    return hashlib.sha256(run_dir.encode()).hexdigest()[:10]


def agent_command(run_dir: str, node: str) -> str:
    """The command line that starts an agent in the place of one that was killed, ready to paste."""
    import shlex  # late: most commands do not need it

    plan = f"{run_dir}/{PLAN_FILE}"
    return shlex.join(["pdsup", "agent", plan, "--node", node, "--run-dir", run_dir])


def refuse_odd(run_dir: str) -> None:
    """Raises WrongUsage for a run directory that is not UTF-8: its path is part of plans, journals
    and messages, which are.
    """
    if any("\ud800" <= char <= "\udfff" for char in run_dir):
        raise WrongUsage(f"cannot use run directory {run_dir!a}: its path is not UTF-8")


def node_dir(root: PurePath, run_dir: str, node: str) -> PurePath:
    """The node-local directory of one agent: ``ROOT/CLUSTER_ID/NODE``."""
    return root / cluster_id(run_dir) / node
