"""The files in the run directory that say where its agents are (``node/agent_place.py``).

An agent writes its own when it starts, and removes it when it has ended in order. That of a killed
agent stays and is harmless: it only says where to look.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from pdsup import clock, files
from pdsup.node import agent_place
from pdsup.node.agent_place import AgentPlace
from pdsup.node.ownership import is_trusted, trusted_users
from pdsup.node.paths import AGENTS, RUN_LINK

# A larger file is not from an agent.
MOST_BYTES = 16 << 10


def place(state_dir: Path, environ: Mapping[str, str]) -> AgentPlace:
    """The place of this process, if it is the agent of a node-local directory."""
    return AgentPlace(
        directory=str(state_dir),
        host=os.uname().nodename,
        boot=clock.boot(),
        job=environ.get("SLURM_JOB_ID", ""),
    )


def restore(run_dir: Path, node: str, place: AgentPlace) -> bool:
    """Writes the note of a running agent again if it was removed; returns whether it was.

    Raises OSError.
    """
    path = _path(run_dir, node)
    if _read(path) == place:
        return False
    files.make_way(path)
    files.write_atomically(path, agent_place.write(place), 0o644)
    return True


def write(run_dir: Path, node: str, place: AgentPlace) -> None:
    """Notes where the agent of a node is. A run directory that can't be written must not stop an
    agent: commands in its own environment find it all the same.
    """
    path = _path(run_dir, node)
    with contextlib.suppress(OSError):
        path.parent.mkdir(0o755, exist_ok=True)
        files.write_atomically(path, agent_place.write(place), 0o644)


def remove(run_dir: Path, node: str, place: AgentPlace) -> None:
    """Removes the note of an agent that has ended, if it is about this place."""
    with contextlib.suppress(OSError):
        if _read(_path(run_dir, node)) == place:
            _path(run_dir, node).unlink()


def read(run_dir: Path) -> dict[str, AgentPlace]:
    """Where the agents are that have not ended in order, by node."""
    found = {path.stem: _read(path) for path in sorted((run_dir / AGENTS).glob("*.json"))}
    return {node: place for node, place in found.items() if place is not None}


def here(run_dir: Path) -> list[Path]:
    """The node-local directories on this machine that a run's agents have noted, if they are of
    this run and of a user to trust.
    """
    users, wanted = trusted_users(run_dir), run_dir.resolve()
    noted = {node: Path(place.directory) for node, place in read(run_dir).items()}
    return [
        path
        for node, path in noted.items()
        if path.name == node
        and is_trusted(path, users)
        and (path.parent / RUN_LINK).resolve() == wanted
    ]


def _read(path: Path) -> AgentPlace | None:
    with contextlib.suppress(OSError):
        return agent_place.read(files.read_regular(path, MOST_BYTES))
    return None


def _path(run_dir: Path, node: str) -> Path:
    return run_dir / AGENTS / f"{node}.json"
