"""Takeover: how an agent continues what an earlier agent of its node left running, or ends it.

An agent can be killed at any moment while its units keep running. The next agent may not restart
them, may not start a second copy of any, and may not run beside another agent of the same node.

It arrives in one of two ways. Its guardian starts it: then it resumes the part of the agent before
it, whatever the files on its command line contain by now. Or it is started by hand or by Slurm:
then its command line says which node of which run it is for. Either way the ledger says what is
left. Units of the same plan are adopted without a restart (``Runner.restore`` does it for one
unit); everything else is killed before anything starts, and if that fails, so does the agent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pdsup import clock, lines_file
from pdsup.errors import SupervisorError
from pdsup.files import read_regular
from pdsup.node import agent_files, identity, kept_plans, paths
from pdsup.node.assignment import log_path
from pdsup.node.origin import Origin
from pdsup.node.ownership import is_trusted, trusted_users
from pdsup.node.run_dir import default_run_dir, plan_digest
from pdsup.node.state_dir import holder, run_dir_of
from pdsup.node.temp_dir import temp_dir
from pdsup.plan import difference
from pdsup.plan.compile import load
from pdsup.plan.compile.load import Loaded
from pdsup.plan.compile.nodes import slurm_nodes
from pdsup.plan.model import PlanUnit
from pdsup.times import moment
from pdsup.units import codec, ledger, states
from pdsup.units.facts import Note
from pdsup.units.ledger import Ledger
from pdsup.units.process import proc


@dataclass(frozen=True, slots=True)
class Part:
    """Which node of which run an agent is for. ``origin`` is None if it resumes another agent,
    ``left`` what that one noted, if the file that says so may be gone.

    ``next``: the plan that the run was changed to and that the earlier agent did not live to apply.
    """

    loaded: Loaded
    node: str
    run_dir: Path
    state_dir: Path
    origin: Origin | None = None
    next: Loaded | None = None
    left: Ledger | None = None

    @property
    def resumed(self) -> bool:
        """Whether the part, and its plan, are those of an earlier agent."""
        return self.origin is None


def named_part(
    file: str, node: str | None, run_dir: str | None, environ: Mapping[str, str], root: Path
) -> Part:
    """The part that a command line names, but with the plan that units still run by, if the run
    was changed from the one to the other: a later plan, or one that this node missed while it had
    no agent.

    Raises SupervisorError if the file has no plan, or one without this node.
    """
    loaded = load.load(Path(file), nodes=slurm_nodes(environ))
    name = identity.own_node(loaded.plan, node, environ, socket.gethostname())
    where = Path(run_dir or default_run_dir(loaded.plan.name, environ)).resolve()
    state_dir = _noted(where, name) or Path(paths.node_dir(root, str(where), name))
    left = ledger.read(state_dir)
    # The copy may be damaged; the same plan is often elsewhere too.
    theirs = kept_plans.kept(state_dir, left.plan) or kept_plans.shared(where, left.plan)
    theirs = theirs or (loaded if loaded.digest == left.plan else None)
    if theirs is not None and lives(left):
        if loaded.digest in (left.plan, *left.former):
            return Part(theirs, name, where, state_dir)
        if _was_missed(loaded, theirs, where):
            return Part(theirs, name, where, state_dir, next=loaded)
    return Part(loaded, name, where, state_dir, Origin(file=str(Path(file).absolute())))


def _noted(run_dir: Path, node: str) -> Path | None:
    """The node-local directory of an earlier agent of a node in which something lives: its
    environment may have led it to another one than ours does.
    """
    noted = (each for each in agent_files.here(run_dir) if each.name == node)
    return next((each for each in noted if occupant(each) is not None), None)


def _was_missed(loaded: Loaded, theirs: Loaded, run_dir: Path) -> bool:
    """Whether a reload has made ``loaded`` the plan of the run whose units run by ``theirs``."""
    possible = difference.refusal(theirs.plan, loaded.plan) is None
    return possible and plan_digest(run_dir) == loaded.digest


def resumed_part(root: Path, guardian: int, copy: int = -1) -> Part | None:
    """The part of the agent that the guardian with this pid started before, as it was. ``copy``:
    the descriptor of the copy of the ledger that it holds, or -1.

    The plan file on the command line is not read: by now it may have been edited for the next run,
    or deleted. None if there was no such agent, or if too little is left of its directory, which
    may have been cleaned up with other temporary files, and there is no copy.
    """
    held = lines_file.read_copy(copy)
    if held is not None:
        about, lines = held
        with contextlib.suppress(*ledger.DAMAGE):
            state_dir, left = Path(about["state_dir"]), ledger.parsed(lines)
            text = about["plan"].encode("latin-1")
            loaded = kept_plans.kept(state_dir, left.plan) or kept_plans.parsed(text, left.plan)
            if loaded is not None and left.run_dir:
                return Part(loaded, state_dir.name, Path(left.run_dir), state_dir, left=left)
    found = ledger.left_under(root, guardian)
    if found is None:
        return None
    left = ledger.read(found)
    loaded = kept_plans.kept(found, left.plan)
    with contextlib.suppress(OSError):
        where = Path(left.run_dir) if left.run_dir else run_dir_of(found)
        return Part(loaded, found.name, where, found) if loaded else None
    return None


def take_over(part: Part) -> Ledger:
    """Returns what an earlier agent of the same plan left running; ends what other plans left.

    Raises SupervisorError if something survives, or if another agent's guardian is still alive and
    about to restart it.
    """
    left = part.left or _read(part.state_dir)
    if left.agent is None:
        left = _untold(part)
    above = left.guardian
    if above and above[0] != os.getppid() and proc.is_living(above):
        raise SupervisorError(
            f"cannot start an agent for {part.node}: another one has just ended, and its guardian "
            f"(pid {above[0]}) is restarting it"
        )
    plan = part.loaded.plan
    same = left.plan == part.loaded.digest
    known = {unit.name for unit in plan.units if unit.node == part.node} if same else set()
    notes = {name: note for name, note in left.notes.items() if name in known}
    if survivors := end(note for name, note in left.notes.items() if name not in known):
        raise SupervisorError(
            f"cannot start an agent for {part.node}: processes of an earlier agent survive "
            f"SIGKILL: pid {', '.join(map(str, survivors))}"
        )
    if not same:
        return Ledger(lines=left.lines)
    if part.next is not None and kept_plans.keep(part.state_dir, part.next):
        left = replace(left, next=part.next.digest)
    return replace(left, notes=notes)


def _untold(part: Part) -> Ledger:
    """What runs of this part though nothing says so any more: agent and guardian were killed, and
    their directory was swept away.
    """
    there = proc.untold()
    if not there:
        return Ledger(plan=part.loaded.digest)
    plan, run_dir = part.loaded.plan, str(part.run_dir)
    run = f"{plan.name}-{paths.cluster_id(run_dir)}"
    units = {f"{run}/{unit.name}": unit for unit in plan.units if unit.node == part.node}
    # nginx writes over its environment, so its output has to tell.
    outputs = {
        path: f"{mark}/1"
        for mark, unit in units.items()
        for path in (log_path(run_dir, unit), f"{part.state_dir}/{paths.PIPES}/{unit.name}")
    }
    notes: dict[str, Note] = {}
    for found in there:
        mark, _, number = (found.mark or outputs.get(found.output, "")).rpartition("/")
        if mark in units and units[mark].name not in notes and number.isdecimal():
            notes[units[mark].name] = _guess(units[mark], found, int(number))
    return Ledger(plan=part.loaded.digest, notes=notes)


def _guess(unit: PlanUnit, found: proc.Untold, run: int) -> Note:
    """It may be ready or not, so it is taken for starting: then its probe decides."""
    startup, now = unit.probes.startup, clock.monotonic()
    ready_by = now + ((startup and startup.deadline_s) or states.FOREVER)
    hard_by = now + ((startup and startup.limit_s) or states.FOREVER)
    return Note(
        unit=unit.name,
        state=states.Starting(run, ready_by, (), hard_by),
        run=run,
        since=clock.wall(),
        spawned=now - proc.age_s(found.identity),
        main=found.identity,
        tag=found.tag,
        log=None,
        ended=False,
        was_ready=False,
        last_exit=None,
    )


def unreported(left: Ledger, moment: float) -> Note | None:
    """The last note if it is about a step later than ``moment``, when the journal ends: the agent
    may have been killed before it reported it to anyone. Any other step was, before the next note.
    """
    note = next(reversed(list(left.notes.values())), None)
    return note if note and note.line and note.line.moment > moment else None


def lives(left: Ledger) -> bool:
    """Whether any process of the noted runs is left."""
    return bool(_living(list(left.notes.values())))


def end(notes: Iterable[Note]) -> list[int]:
    """Kills every process of the noted runs; returns the pids that survive SIGKILL."""
    known = [note for note in notes if note.main or note.tag]
    if not _living(known):
        return []
    from pdsup.units.process import reap  # imported late: usually there is nothing to kill

    return reap.end_now(lambda: _living(known))


@dataclass(frozen=True, slots=True)
class Occupant:
    """A node of a run where an agent lives, or units that a killed one left.

    ``plans``: the digests of its plan and of those before; empty while they are not known. ``pid``:
    its guardian, or the agent if it has none; None if only units live, or on another machine.
    """

    node: str
    plans: tuple[str, ...]
    pid: int | None = None


def occupant(state_dir: Path) -> Occupant | None:
    """What lives of the agent with this node-local directory; None if nothing does."""
    left = ledger.read(state_dir)
    living = (each for each in (left.guardian, left.agent) if each and proc.is_living(each))
    first = next(living, None)
    pid = first[0] if first else holder(state_dir)
    if pid is None and not lives(left):
        return None
    return Occupant(state_dir.name, (left.plan, *left.former) if left.plan else (), pid)


def occupants(run_dir: Path, environ: Mapping[str, str]) -> list[Occupant]:
    """What lives of a run on this machine, by node."""
    users = trusted_users(run_dir)
    found = {each for one in _local(run_dir, environ) for each in one.glob("*/")}
    trusted = {each for each in found if is_trusted(each, users)}
    every = (occupant(each) for each in sorted({*trusted, *agent_files.here(run_dir)}))
    return [each for each in every if each is not None]


def _local(run_dir: Path, environ: Mapping[str, str]) -> list[Path]:
    """The directories that may hold the node-local ones of a run."""
    roots = paths.state_roots(environ, temp_dir(environ), os.geteuid())
    return [Path(root, paths.cluster_id(str(run_dir))) for root in roots]


def in_use(
    purpose: str,
    run_dir: Path,
    file: str,
    there: Iterable[Occupant],
    environ: Mapping[str, str],
    origin: str = "",
    killed: str = "",
) -> SupervisorError:
    """The refusal to write into the directory of a run that others are running.

    ``purpose``: ``VERB THING``. ``file``: the plan or recipe that was given.
    ``origin``: where the directory was named, if not on the command line. ``killed``: the node of
    which only units are left, if it is that.
    """
    nodes = ", ".join(sorted({each.node for each in there}))
    since = ""
    for one in _local(run_dir, environ):
        with contextlib.suppress(OSError):
            began = (one / paths.RUN_LINK).lstat().st_mtime
            since = f", since {moment(began, clock.wall())}"
    where = f"--run-dir {shlex.quote(str(run_dir))}"
    users = f"the agents of {nodes}{since}"
    ways = (
        f"  to benchmark it: pdsup run {where} -- COMMAND\n"
        f"  to change it: pdsup reload {shlex.quote(file)} {where}\n"
    )
    if killed:
        users = f"units of another plan, which the killed agent of {killed} left"
        ways = f"  to take them over: {paths.agent_command(str(run_dir), killed)}\n"
    return SupervisorError(
        f"cannot {purpose}: {run_dir}{origin} is in use by {users}\n{ways}"
        f"  to end it: pdsup shutdown --all {where}\n"
        "  or give another --run-dir"
    )


def end_in_order(state_dir: Path, within: float) -> list[int]:
    """Ends an agent, whoever started it, with its units; kills what is left after ``within``
    seconds. Returns the pids that survive even that.
    """
    living = occupant(state_dir)
    if living is not None and living.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(living.pid)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                select.select([pidfd], [], [], within)
            finally:
                os.close(pidfd)
    return clean_up(state_dir)


def clean_up(state_dir: Path) -> list[int]:
    """Kills guardian, agent and units at once; removes the directory if nothing survives. Returns
    the pids that do.
    """
    from pdsup.units.process import reap

    left = ledger.read(state_dir)
    for process in (left.guardian, left.agent):
        if process:
            reap.kill(process)
    survivors = end(left.notes.values())
    if not survivors:
        _forget(state_dir)
        shutil.rmtree(state_dir, ignore_errors=True)
    return survivors


def _forget(state_dir: Path) -> None:
    """Removes what the run directory says of where the agent of this directory is."""
    with contextlib.suppress(OSError):
        run_dir, node = run_dir_of(state_dir), state_dir.name
        place = agent_files.read(run_dir).get(node)
        if place is not None and Path(place.directory) == state_dir:
            agent_files.remove(run_dir, node, place)


def _living(notes: list[Note]) -> list[int]:
    """The main processes that still run; if none does, what carries the tag of a noted run."""
    mains = [note.main[0] for note in notes if note.main and proc.is_living(note.main)]
    tags = {note.tag for note in notes if note.tag is not None}
    return mains or [pid for pid in proc.tagged(tags) if not proc.is_zombie(pid)]


# -- what an agent of version 0.1.0 left ----------------------------------------------------------


def _read(state_dir: Path) -> Ledger:
    """Reads the ledger, and what version 0.1.0 kept in files beside it (``ledger.FORMER_FILES``).
    The next ledger that is written contains all of it, and those files are removed.
    """
    left = ledger.read(state_dir)
    epochs, gpus, lost = (_value(state_dir / name) for name in ledger.FORMER_FILES)
    if isinstance(epochs, dict):
        notes = {name: _with_epoch(note, epochs.get(name)) for name, note in left.notes.items()}
        left = replace(left, notes=notes)
    if isinstance(gpus, dict):
        with contextlib.suppress(*ledger.DAMAGE):
            left = replace(left, gpus=codec.troubles(gpus))
    if isinstance(lost, list):
        left = replace(left, lost=frozenset(map(str, lost)))
    return left


def _value(path: Path) -> object:
    with contextlib.suppress(OSError, *ledger.DAMAGE):
        return json.loads(read_regular(path))
    return None


def _with_epoch(note: Note, noted: object) -> Note:
    match noted:
        case [int(run), int(epoch)] if run == states.run_of(note.state):
            return replace(note, epoch=epoch)
    return note
