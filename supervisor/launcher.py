"""The composition root: puts one agent and its API together, and runs them.

``pdsup agent`` becomes this by exec, so that the command line never imports the agent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import io
import logging
import os
import resource
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

import aiohttp
import structlog
import uvloop

from supervisor.agent.main import Agent
from supervisor.api.server import Server
from supervisor.assignment import directories, identity, reader
from supervisor.assignment.compile import Assignment, Place, assign
from supervisor.cli.main import reported
from supervisor.cli.verbs import agent as verb
from supervisor.cluster import dialer
from supervisor.errors import SupervisorError
from supervisor.plan import loader
from supervisor.units.bookkeeper import end_leftovers

MOST_DESCRIPTORS = 1 << 20


def main(arguments: Sequence[str]) -> int:
    """The whole life of one agent; returns its exit status."""
    parser = argparse.ArgumentParser(prog="pdsup agent")
    verb.arguments(parser)
    return reported(_run, parser.parse_args(arguments))


def _run(args: argparse.Namespace) -> int:
    _configure_logging()
    _raise_descriptor_limit()
    environ = dict(os.environ)
    loaded = loader.load(Path(args.file), nodes=loader.slurm_nodes(environ))
    node = identity.own_node(loaded.plan, args.node, environ, socket.gethostname())
    default = reader.default_run_dir(loaded.plan.name, environ)
    run_dir = Path(args.run_dir or default).resolve()
    token = reader.prepare(run_dir, loaded.text)
    root = reader.state_root(environ)
    state_dir = Path(directories.node_dir(root, str(run_dir), node))
    held = reader.claim(root, state_dir, run_dir)
    if left := end_leftovers(state_dir):
        raise SupervisorError(
            f"cannot start an agent for {node}: of an earlier one these survive SIGKILL: pid {left}"
        )
    try:
        place = Place(
            node=node,
            run_dir=str(run_dir),
            state_dir=str(state_dir),
            python=sys.executable,
            environ=environ,
            has_module=lambda name: importlib.util.find_spec(name) is not None,
        )
        return uvloop.run(_serve(assign(loaded.plan, loaded.digest, place), token))
    except BaseExceptionGroup as group:  # of the TaskGroup, around what a user can act on
        (error, *others) = group.exceptions
        raise error if isinstance(error, SupervisorError) and not others else group from None
    finally:
        reader.release(state_dir, held)


async def _serve(assignment: Assignment, token: str) -> int:
    connector = aiohttp.TCPConnector(limit=0, socket_factory=dialer.watched)
    limits = aiohttp.ClientTimeout(total=None)  # every use sets its own
    async with (
        aiohttp.ClientSession(connector=connector, timeout=limits) as session,
        asyncio.TaskGroup() as tasks,
    ):
        agent = Agent(assignment, token, session, tasks)
        socket_path = Path(assignment.place.state_dir, directories.SOCKET)
        async with Server(agent, token).serve(socket_path):
            return await agent.run()


def _configure_logging() -> None:
    """People get lines, files and pipes get JSON; both on stderr."""
    logging.basicConfig(level=logging.WARNING)
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=not terminal),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Unfailing(sys.stderr))),
    )


class _Unfailing(io.TextIOBase):
    """A log on a full disk, or one that nobody reads any more, does not end supervision."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Writes what can be written."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def _raise_descriptor_limit() -> None:
    """Engines, routers and nginx inherit it; many systems give only 1024 unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
