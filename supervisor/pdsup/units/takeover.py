"""Takeover: how an agent continues what an earlier agent of its node left, or ends it.

An agent can be killed at any moment, while its units run on. The next one comes in one of two ways:
its guardian starts it, and it resumes the part of the agent before it, whatever its command line
says by now; or somebody starts it, and its command line says which part it is for. Either way the
ledger tells what is left. What belongs to the same plan is carried on, with no restart; all else is
ended before anything starts. ``Runner.restore`` and ``resume`` do the carrying on for one unit.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pdsup.errors import SupervisorError
from pdsup.node import identity, kept_plans, paths
from pdsup.node.origin import Origin
from pdsup.node.run_dir import default_run_dir
from pdsup.node.state_dir import run_dir_of
from pdsup.plan.compile import load
from pdsup.plan.compile.load import Loaded
from pdsup.plan.compile.nodes import slurm_nodes
from pdsup.plan.model import Plan
from pdsup.units import codec, ledger, states
from pdsup.units.facts import Transition
from pdsup.units.ledger import Ledger, Note
from pdsup.units.process import proc


@dataclass(frozen=True, slots=True)
class Part:
    """Which node of which run an agent is for; no ``origin``: it continues for another agent."""

    loaded: Loaded
    node: str
    run_dir: Path
    state_dir: Path
    origin: Origin | None = None

    @property
    def resumed(self) -> bool:
        """Whether it is the part of an earlier agent, by the plan of that one."""
        return self.origin is None


def begun(
    file: str, node: str | None, run_dir: str | None, environ: Mapping[str, str], root: Path
) -> Part:
    """The part that a command line names; where units run on by a later plan, by that.

    Raises SupervisorError when the file holds no plan, or one without this node.
    """
    loaded = load.load(Path(file), nodes=slurm_nodes(environ))
    name = identity.own_node(loaded.plan, node, environ, socket.gethostname())
    where = Path(run_dir or default_run_dir(loaded.plan.name, environ)).resolve()
    state_dir = Path(paths.node_dir(root, str(where), name))
    left = ledger.read(state_dir)
    later = kept_plans.kept(state_dir, left.plan) if loaded.digest in left.former else None
    if later is not None and lives(left):
        return Part(later, name, where, state_dir)
    return Part(loaded, name, where, state_dir, Origin(file=str(Path(file).absolute())))


def resumed(root: Path, guardian: int) -> Part | None:
    """The part of the agent that a guardian, by its pid, started before this one, as it was.

    What the command line names is not looked at: the file may have been edited for the next run,
    and be wrong, or gone, by now. None where there was no such agent, or where too little is left
    of its directory, which a cleaner of old temporary files may have come across.
    """
    state_dir = ledger.left_under(root, guardian)
    if state_dir is None:
        return None
    loaded = kept_plans.kept(state_dir, ledger.read(state_dir).plan)
    if loaded is None:
        return None
    with contextlib.suppress(OSError):
        return Part(loaded, state_dir.name, run_dir_of(state_dir), state_dir)
    return None


def inherited(part: Part) -> Ledger:
    """What an agent that is gone left running of the same plan; of another one it is ended.

    Raises SupervisorError when that can't be ended, or when a guardian is about to start the next
    agent, which is not this one.
    """
    found = _read(part.state_dir)
    above = found.guardian
    if above and above[0] != os.getppid() and ledger.is_living(above):
        raise SupervisorError(
            f"cannot start an agent for {part.node}: one has just ended, and its guardian "
            f"(pid {above[0]}) starts it again"
        )
    plan = part.loaded.plan
    same = found.plan == part.loaded.digest
    known = {unit.name for unit in plan.units if unit.node == part.node} if same else set()
    notes = {name: note for name, note in found.notes.items() if name in known}
    if left := end(note for name, note in found.notes.items() if name not in known):
        raise SupervisorError(
            f"cannot start an agent for {part.node}: processes of an earlier one survive SIGKILL: "
            f"pid {', '.join(map(str, left))}"
        )
    return replace(found, notes=notes) if same else Ledger()


def last_step(left: Ledger, plan: Plan) -> Transition | None:
    """The step that the ledger ends with, if it ends with one: the only one that its agent may have
    noted without having told it, because each is told before anything else is noted.
    """
    note = next(reversed(list(left.notes.values())), None)
    if note is None or note.step is None or note.unit not in plan.by_name:
        return None
    with contextlib.suppress(ValueError):
        restart = plan.by_name[note.unit].restart
        return codec.read_step(note.step, note.unit, note.state, restart)
    return None


def lives(left: Ledger) -> bool:
    """Whether anything of the noted runs is left."""
    return bool(_living(list(left.notes.values())))


def end(notes: Iterable[Note]) -> list[int]:
    """Kills everything of the noted runs, wherever it went; returns what survives SIGKILL."""
    known = [one for one in notes if one.main or one.tag]
    if not _living(known):
        return []
    from pdsup.units.process import reap  # late: most often there is nothing to end

    return reap.end_now(lambda: _living(known))


def clean_up(state_dir: Path) -> list[int]:
    """Ends guardian, agent and units, at once; removes the directory when nothing is left."""
    from pdsup.units.process import reap

    found = ledger.read(state_dir)
    for process in (found.guardian, found.agent):
        if process:
            reap.kill(process)
    left = end(found.notes.values())
    if not left:
        shutil.rmtree(state_dir, ignore_errors=True)
    return left


def _living(notes: list[Note]) -> list[int]:
    """Main processes that still run, and whatever carries the tag of a noted run."""
    mains = [one.main[0] for one in notes if one.main and ledger.is_living(one.main)]
    tags = {one.tag for one in notes if one.tag is not None}
    return mains or [pid for pid in proc.tagged(tags) if not proc.is_zombie(pid)]


# -- what an agent of version 0.1.0 left ----------------------------------------------------------


def _read(state_dir: Path) -> Ledger:
    """The ledger, with what version 0.1.0 kept in files beside it (``ledger.FORMER_FILES``). The
    first ledger that is written afterwards holds all of it, and they are removed.
    """
    found = ledger.read(state_dir)
    epochs, gpus, lost = (_value(state_dir / name) for name in ledger.FORMER_FILES)
    if isinstance(epochs, dict):
        notes = {name: _with_epoch(note, epochs.get(name)) for name, note in found.notes.items()}
        found = replace(found, notes=notes)
    if isinstance(gpus, dict):
        with contextlib.suppress(KeyError, TypeError):
            found = replace(found, gpus=ledger.read_troubles(gpus))
    if isinstance(lost, list):
        found = replace(found, lost=frozenset(map(str, lost)))
    return found


def _value(path: Path) -> object:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


def _with_epoch(note: Note, noted: object) -> Note:
    match noted:
        case [int(run), int(epoch)] if run == states.run_of(note.state):
            return replace(note, epoch=epoch)
    return note
