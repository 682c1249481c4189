"""The runs that have agents of this user on this machine, and where these agents listen.

A query must feel instant, so this module imports little, and nothing of the agent. Directories and
sockets of other users are passed over (``node/ownership.py``): they could answer anything.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pdsup.node import control_socket
from pdsup.node.ownership import is_private, trusted_users
from pdsup.node.paths import LOCK, RUN_LINK, SOCKET, agent_command, state_roots
from pdsup.node.temp_dir import temp_dir


class Cluster(NamedTuple):
    """The agents of one run on this machine: control sockets by node, in natural order.

    ``silent``: nodes whose agent was here and does not answer: it was killed or stopped, and its
    guardian may be replacing it. ``directories``: the node-local directories of all these nodes.
    ``began``: when the first of these agents started, in seconds since the epoch.
    """

    run_dir: str
    sockets: Mapping[str, Path]
    silent: frozenset[str]
    directories: Mapping[str, Path]
    began: float


def clusters() -> list[Cluster]:
    """Every run that has a running agent of this user on this machine, the oldest first."""
    return [one for one in known() if one.sockets]


def known() -> list[Cluster]:
    """The same, with the runs whose agents here were all killed; these have no sockets."""
    at: dict[str, list[Path]] = {}
    for link in _run_links():
        with contextlib.suppress(OSError):  # it ends while we look
            at.setdefault(str(link.readlink()), []).append(link)
    found = (_cluster(run_dir, _node_dirs(links)) for run_dir, links in at.items())
    return sorted(found, key=lambda one: one.began)


def cluster_of(run_dir: Path) -> Cluster:
    """The agents of one run, also those to which this command's environment does not lead. It has
    no sockets if none answers.

    The run directory is read only if nothing is found without it: its file system may hang.
    """
    node_dirs = _node_dirs(link for link in _run_links() if _is_same(link, run_dir))
    found = _cluster(str(run_dir.resolve()), node_dirs)
    if found.sockets:
        return found
    from pdsup.node import agent_files  # late: rarely needed

    return _cluster(found.run_dir, [*node_dirs, *agent_files.here(run_dir)])


def _run_links() -> list[Path]:
    """The links to the run directories of agents that have not ended in order. A run directory may
    have vanished, so a link may lead nowhere.
    """
    users = trusted_users()
    roots = [Path(root) for root in state_roots(os.environ, temp_dir(os.environ), os.geteuid())]
    found = [path for root in roots if is_private(root, users) for path in _entries(root)]
    links = [path / RUN_LINK for path in found if is_private(path, users)]
    return sorted(link for link in links if link.is_symlink())


def _entries(directory: Path) -> list[Path]:
    """What is in a directory; nothing if it ends while we look."""
    with contextlib.suppress(OSError):
        return list(directory.iterdir())
    return []


def _node_dirs(links: Iterable[Path]) -> list[Path]:
    """The directories of nodes beside these links.

    A new agent takes the socket of a killed one away before it listens; the lock stays.
    """
    users = trusted_users()
    found = (path for link in links for path in _entries(link.parent))
    return [path for path in found if is_private(path, users) and (path / LOCK).exists()]


def _cluster(run_dir: str, node_dirs: Iterable[Path]) -> Cluster:
    at = {path.name: path for path in sorted(node_dirs, key=_natural)}
    sockets = {
        name: path / SOCKET for name, path in at.items() if control_socket.answers(path / SOCKET)
    }
    # An agent that has ended meanwhile has removed its directory.
    links = (_modified(path.parent / RUN_LINK) for path in at.values())
    began = [modified for modified in links if modified is not None]
    return Cluster(
        run_dir,
        sockets if began else {},
        frozenset(name for name in at if name not in sockets),
        at,
        min(began, default=0.0),
    )


def _modified(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return None


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


# -- agents that were killed or stopped -----------------------------------------------------------


def stopped(found: Cluster) -> list[tuple[str, int]]:
    """The nodes, and pids, of silent agents that are stopped (SIGSTOP)."""
    paths = {node: found.directories[node] / SOCKET for node in found.silent}
    agents = [(node, control_socket.listener(path)) for node, path in paths.items()]
    return sorted((node, agent.pid) for node, agent in agents if agent and agent.stopped)


def is_returning(found: Cluster) -> bool:
    """Whether the guardian of a silent agent is running, and so will restart it."""
    return any(has_guardian(found.directories[node]) for node in found.silent)


def silence(socket: Path) -> str:
    """Why the agent of a control socket does not answer, and what to do about it."""
    directory = socket.parent
    if not directory.exists():
        return "it has ended"
    if has_guardian(directory):
        return "it was killed, and its guardian is replacing it; try again in a few seconds"
    run_dir = directory.parent / RUN_LINK
    if not run_dir.is_symlink():
        return "it was killed together with its guardian"
    return (
        "it was killed together with its guardian; this starts another one, which takes over what "
        f"still runs:\n  {agent_command(str(run_dir.readlink()), directory.name)}"
    )


def has_guardian(state_dir: Path) -> bool:
    """Whether the guardian of an agent is running, which will restart it if it was killed."""
    from pdsup.units import ledger  # late: only needed if an agent does not answer
    from pdsup.units.process import proc

    guardian = ledger.guardian_of(state_dir)
    return guardian is not None and proc.is_living(guardian)
