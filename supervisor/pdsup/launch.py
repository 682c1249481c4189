"""The composition root: builds one agent with its API, and runs them.

``pdsup agent`` execs this module, so that the command line never imports the agent.
"""

from __future__ import annotations

from pdsup.journal import https  # noqa: F401  # before anything else imports aiohttp

# isort: split
import argparse
import asyncio
import contextlib
import importlib.util
import io
import logging
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TextIO, cast

import aiohttp
import uvloop

from pdsup.agent import parts, signals
from pdsup.agent.agent import Agent
from pdsup.api.server import Server
from pdsup.cli.main import reported
from pdsup.cli.verbs import agent as verb
from pdsup.cluster import peers
from pdsup.cluster.peers import Peers
from pdsup.errors import SupervisorError
from pdsup.journal.news import Log
from pdsup.node import agent_files, kept_plans, paths
from pdsup.node.agent_place import AgentPlace
from pdsup.node.assignment import Assignment, Place, assign
from pdsup.node.origin import Origin
from pdsup.node.run_dir import origin_of, plan_digest, prepare, refuse_writable, risks, token_of
from pdsup.node.state_dir import claim, release, state_root
from pdsup.plan.document import source
from pdsup.threads import apart
from pdsup.units import takeover
from pdsup.units.ledger import Ledger
from pdsup.units.process import guardian_link, refusal
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.takeover import Occupant, Part

MOST_DESCRIPTORS = 1 << 20
# How long an agent that takes over waits for a run directory that hangs.
PREPARE_S = 3.0


def main(arguments: Sequence[str]) -> int:
    """Runs one agent from start to end; returns its exit status."""
    parser = argparse.ArgumentParser(prog="pdsup agent")
    verb.arguments(parser)
    args = parser.parse_args(arguments)
    return reported(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if (why := refusal.of_pidfds()) is not None:
        raise SupervisorError(f"cannot run an agent on this machine: {why}")
    signals.hold()
    _raise_descriptor_limit()
    guardian = os.environ.pop(guardian_link.VARIABLE, None)  # units must not inherit it
    beats = os.environ.pop(guardian_link.WATCHDOG, None) is not None
    environ = dict(os.environ)
    root = state_root(environ)
    copy = guardian_link.copy_of(guardian)
    part = takeover.resumed_part(root, os.getppid(), copy) if guardian else None
    part = part or takeover.named_part(args.file, args.node, args.run_dir, environ, root)
    if part.origin is not None and not args.allow_writable:
        _refuse_writable(part, part.origin)
    node, run_dir, state_dir = part.node, part.run_dir, part.state_dir
    joins = part.resumed or _joins(part, args.file, environ)
    held = claim(state_dir.parents[1], state_dir, run_dir)
    try:
        inherited = takeover.take_over(part)
    except SupervisorError:
        os.close(held)
        raise
    mains = [note.main for note in inherited.notes.values() if note.main]
    life = _Life(bool(mains))
    noted = agent_files.place(state_dir, environ)
    try:
        before = "" if joins else plan_digest(run_dir)
        token = _prepared(part, inherited, noted, joins=joins)
        kept_plans.keep(state_dir, part.loaded)
        place = Place(
            node=node,
            run_dir=str(run_dir),
            state_dir=str(state_dir),
            python=sys.executable,
            environ=environ,
            has_module=lambda name: importlib.util.find_spec(name) is not None,
            allow_writable=args.allow_writable,
        )
        loaded = part.loaded
        assignment = assign(
            loaded.plan, loaded.digest, place, inherited.former, before, loaded.text
        )
        above = GuardianLink(guardian, mains, beats=beats)
        status = uvloop.run(_serve(assignment, token, above, inherited, life, held))
        if not life.units:
            above.say(guardian_link.ENDED)
        return status
    except BaseExceptionGroup as group:  # of the TaskGroup, around what a user can act on
        (error, *others) = group.exceptions
        raise error if isinstance(error, SupervisorError) and not others else group from None
    finally:
        if life.units:
            os.close(held)  # the next agent takes over what is in the directory
        else:
            with contextlib.suppress(TimeoutError):
                asyncio.run(apart(lambda: agent_files.remove(run_dir, node, noted), PREPARE_S))
            release(state_dir, held)


def _refuse_writable(part: Part, origin: Origin) -> None:
    """Refuses to start what others can change. One that resumes an agent runs its plan."""
    file, _ = source.selector(Path(origin.file), origin.variant)
    purpose = f"start an agent for {part.node}"
    refuse_writable(purpose, part.run_dir, file, part.loaded.plan.hooks)


def _joins(part: Part, file: str, environ: Mapping[str, str]) -> bool:
    """Whether others run this plan, or a later one, in the run directory, which then stays as it
    is. Raises SupervisorError if they run another plan: nothing of theirs may be replaced.
    """
    run_dir, digest = part.run_dir, part.loaded.digest
    there = takeover.occupants(run_dir, environ)
    purpose = f"start an agent for {part.node}"
    if own := [each for each in there if each.node == part.node and each.pid is None]:
        raise takeover.in_use(purpose, run_dir, file, own, environ, killed=part.node)
    present = plan_digest(run_dir)
    if present in ("", digest):
        return False
    there += asyncio.run(_elsewhere(run_dir, present))
    if there and not any(digest in each.plans for each in there):
        raise takeover.in_use(purpose, run_dir, file, there, environ)
    return bool(there)


async def _elsewhere(run_dir: Path, digest: str) -> list[Occupant]:
    """The nodes that answer for the plan in a run directory, whichever machine they are on."""
    loaded, token = kept_plans.shared(run_dir, digest), token_of(run_dir)
    if loaded is None or not token:
        return []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        found = Peers(loaded.plan, digest, (), token, session, tasks)
        reports = await found.once(loaded.plan.address)
    return [Occupant(each.node, (each.plan, *each.former)) for each in reports]


def _prepared(part: Part, left: Ledger, noted: AgentPlace, *, joins: bool) -> str:
    """Prepares the run directory, or ``joins`` others in it; returns the run's token.

    Raises SupervisorError if it can't be used, unless an earlier agent has left units: its file
    system may be full, gone or hang, and they must be looked after all the same.
    """

    def work() -> str:
        origin = None if joins else part.origin
        loaded = part.loaded
        token = prepare(
            part.run_dir,
            loaded.text,
            origin,
            resumed=joins,
            token=left.token,
            mode=loaded.mode,
        )
        agent_files.write(part.run_dir, part.node, noted)
        return token

    if not (left.token and left.notes):
        return work()
    with contextlib.suppress(SupervisorError, TimeoutError):
        return asyncio.run(apart(work, PREPARE_S))
    return left.token


@dataclass(slots=True)
class _Life:
    """Whether this agent leaves running units behind, for the next agent to take over."""

    units: bool


async def _serve(
    assignment: Assignment,
    token: str,
    above: GuardianLink,
    inherited: Ledger,
    life: _Life,
    lock: int,
) -> int:
    signals.hold_terminations()
    connector = aiohttp.TCPConnector(limit=0, socket_factory=peers.watched)
    limits = aiohttp.ClientTimeout(total=None)  # each request sets its own
    async with (
        # No answer is unpacked: a small one could fill the memory.
        aiohttp.ClientSession(
            connector=connector,
            timeout=limits,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        ) as session,
        asyncio.TaskGroup() as tasks,
    ):
        log = _log(assignment.place.node)
        tasks.create_task(_warn_of_others(assignment, log))
        agent = Agent(parts.build(assignment, token, session, tasks, above, inherited, log))
        socket_path = Path(assignment.place.state_dir, paths.SOCKET)
        server = Server(agent, token, log)
        agent.keep_directories(token, lock, server.restore_socket)
        async with server.serve(socket_path):
            life.units = True
            status = await agent.run()
            life.units = agent.leaves_units
            return status


async def _warn_of_others(assignment: Assignment, log: Log) -> None:
    """Warns where other users may change what runs."""

    run_dir = Path(assignment.place.run_dir)

    def found() -> dict[Path, str]:
        origin = origin_of(run_dir)
        file, _ = source.selector(Path(origin.file), origin.variant)
        return risks(run_dir, file, assignment.plan.hooks)

    with contextlib.suppress(Exception):  # whatever it is: no agent ends for a warning
        for path, cause in (await apart(found, PREPARE_S)).items():
            log.warning("others may change what runs here", path=str(path), cause=cause)


def _log(node: str) -> Log:
    """The agent's log on stderr: readable lines on a terminal, JSON in files and pipes."""
    # structlog imports rich where it is installed, to draw tracebacks: 4 MB more per agent.
    sys.modules.setdefault("rich", cast(ModuleType, None))
    import structlog

    logging.basicConfig(level=logging.WARNING)
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=not terminal),
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Unfailing(sys.stderr))),
    )
    return cast(Log, structlog.get_logger(node=node))


class _Unfailing(io.TextIOBase):
    """A stream that drops what it can't write: a full disk or closed pipe must not end an agent."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Writes ``text`` if possible."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream if possible."""
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


def _leave(status: int) -> NoReturn:
    """Ends this process, without what an interpreter does at its end: by now all is closed, that
    takes longer than the agent's end itself, and it waits for threads that hang.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # None if it was closed
            stream.flush()
    os._exit(status)


def _raise_descriptor_limit() -> None:
    """Raises the soft limit for units, which inherit it; many systems default to only 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
