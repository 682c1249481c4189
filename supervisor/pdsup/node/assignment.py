"""The part of the plan for one node, ready to run: nothing left to look up or fill in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pdsup.address import loopback
from pdsup.errors import SupervisorError
from pdsup.node.paths import PIPES, cluster_id
from pdsup.plan import programs
from pdsup.plan.model import Bind, Plan, PlanUnit

FOR_AGENTS = frozenset({"HUP", "USR1"})
RUN_VARIABLE = "PDSUP_RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and with what this node runs its part. Paths are absolute."""

    node: str
    run_dir: str
    state_dir: str
    python: str
    environ: Mapping[str, str]
    has_module: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedUnit:
    """One unit with its command, environment and paths resolved for this node."""

    plan: PlanUnit
    command: tuple[str, ...]
    env: Mapping[str, str]
    log_path: str
    pipe_path: str
    address: str
    bind: Bind

    @property
    def asked_at(self) -> str:
        """Where this node's agent asks the unit: over loopback where it listens there too."""
        return self.address if self.bind == "address" else loopback(self.address)

    @property
    def spared(self) -> frozenset[str]:
        """Signals that only mean the agent: Slurm sends them to every process of a job's step.

        A unit that is none of the known programs may be meant as well.
        """
        known = self.plan.kind in ("worker", "router", "nginx") or programs.program(self.plan)
        return FOR_AGENTS - {self.plan.stop.signal} if known else frozenset()

    @property
    def name(self) -> str:
        """The unit's name, unique in the cluster."""
        return self.plan.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Everything one agent has to run, and the plan it is part of (``digest``: its SHA-256).

    ``former``: the digests of the plans that the run had before, the latest first. ``displaced``:
    that of the plan in whose place its own was put in the run directory, if in any.
    """

    plan: Plan
    digest: str
    place: Place
    units: tuple[AssignedUnit, ...]
    former: tuple[str, ...] = ()
    displaced: str = ""

    @property
    def run_name(self) -> str:
        """Tells this run from all others on a machine, also of the same plan."""
        return f"{self.plan.name}-{cluster_id(self.place.run_dir)}"

    @property
    def address(self) -> str:
        """This node's address, as other nodes reach it."""
        return self.plan.address[self.place.node]


def assign(
    plan: Plan, digest: str, place: Place, former: tuple[str, ...] = (), displaced: str = ""
) -> Assignment:
    """The assignment of ``place.node``; raises SupervisorError when the plan lacks that node."""
    if place.node not in plan.address:
        raise SupervisorError(f"cannot assign units to {place.node}: the plan has no such node")
    units = tuple(_resolve(plan, unit, place) for unit in plan.units if unit.node == place.node)
    return Assignment(
        plan=plan, digest=digest, place=place, units=units, former=former, displaced=displaced
    )


def log_path(run_dir: str, unit: PlanUnit) -> str:
    """Where a unit's output goes, on every node of the run."""
    return f"{run_dir}/logs/{unit.log_file}"


def filled(text: str, place: Place) -> str:
    """With this node's directories."""
    # Only these two words: engine flags carry JSON, so braces are not a template language.
    return text.replace("{run_dir}", place.run_dir).replace("{state_dir}", place.state_dir)


def _resolve(plan: Plan, unit: PlanUnit, place: Place) -> AssignedUnit:
    command = tuple(filled(word, place) for word in unit.command)
    return AssignedUnit(
        plan=unit,
        command=_with_interpreter(command, place),
        env=dict(place.environ) | {key: filled(value, place) for key, value in unit.env.items()},
        log_path=log_path(place.run_dir, unit),
        pipe_path=f"{place.state_dir}/{PIPES}/{unit.name}",
        address=plan.address[unit.node],
        bind=plan.bind,
    )


def _with_interpreter(command: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """``python3 -m MODULE`` by the agent's own interpreter when that has MODULE, else by PATH's.

    The agent may live in a virtual environment beside the engine's, or in the same one; the plan,
    which is equal on all nodes, can't know.
    """
    match command:
        case ("python3" | "python", "-m", module, *_) if place.has_module(module.split(".")[0]):
            return (place.python, *command[1:])
        case _:
            return command
