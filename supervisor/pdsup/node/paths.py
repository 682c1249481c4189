"""Where the node-local things of an agent lie: control socket, lock, nginx's temporary files.

    ROOT/CLUSTER_ID/run -> the run directory        ROOT/CLUSTER_ID/NODE/control.sock

They lie outside the run directory because that is usually on a network file system. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

SOCKET = "control.sock"
RUN_LINK = "run"
# What units write passes through here, where a plan asks for that.
PIPES = "output"
# The kernel's sun_path holds 108 bytes with its closing zero.
SOCKET_PATH_LIMIT = 107


def state_roots(environ: Mapping[str, str], temporary: str, uid: int) -> tuple[PurePath, ...]:
    """Where to look, the preferred first: ``$XDG_RUNTIME_DIR/pdsup``, ``TEMP/pdsup-UID``.

    srun hands the variable of the submit host to nodes where no such directory exists, and not
    every shell on a node has it: an agent takes the first it can, a client looks at all.
    """
    runtime = environ.get("XDG_RUNTIME_DIR")
    preferred = (PurePath(runtime, "pdsup"),) if runtime else ()
    return (*preferred, PurePath(temporary, f"pdsup-{uid}"))


def cluster_id(run_dir: str) -> str:
    """A short name of one run, equal on all its nodes: it comes from the absolute run directory."""
    import hashlib  # late: who only asks agents needs it not

    return hashlib.sha256(run_dir.encode()).hexdigest()[:10]


def node_dir(root: PurePath, run_dir: str, node: str) -> PurePath:
    """The directory of one agent."""
    return root / cluster_id(run_dir) / node
