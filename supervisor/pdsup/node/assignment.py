"""The part of the plan for one node, ready to run, with every command and path resolved. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pdsup.address import loopback
from pdsup.errors import SupervisorError
from pdsup.node.paths import PIPES, cluster_id
from pdsup.plan import masks, programs
from pdsup.plan.model import Bind, Plan, PlanUnit

FOR_AGENTS = frozenset({"HUP", "USR1"})
RUN_VARIABLE = "PDSUP_RUN"
# Programs read them in both cases.
PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """This node's name, directories, interpreter and environment. Paths are absolute.

    ``allow_writable``: others may be able to change the files that say what runs.
    """

    node: str
    run_dir: str
    state_dir: str
    python: str
    environ: Mapping[str, str]
    has_module: Callable[[str], bool]
    allow_writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedUnit:
    """One unit with its command, environment and paths resolved for this node. ``log_mode``: the
    mode of its log, where there is none yet.
    """

    plan: PlanUnit
    command: tuple[str, ...]
    env: Mapping[str, str]
    log_path: str
    pipe_path: str
    address: str
    bind: Bind
    log_mode: int = 0o644

    @property
    def local_address(self) -> str:
        """The address at which this node's agent reaches the unit: loopback if it listens there."""
        return self.address if self.bind == "address" else loopback(self.address)

    @property
    def spared(self) -> frozenset[str]:
        """Signals kept from the unit because they are for the agent: Slurm sends them to every
        process of a job step.

        A unit that runs an unknown program may want them, so it gets them.
        """
        known = self.plan.kind in ("worker", "router", "nginx") or programs.program(self.plan)
        return FOR_AGENTS - {self.plan.stop.signal} if known else frozenset()

    @property
    def name(self) -> str:
        """The unit's name, unique in the cluster."""
        return self.plan.name

    def listening_on(self, ports: Mapping[str, int]) -> AssignedUnit:
        """The same unit with other ports."""
        return replace(self, plan=replace(self.plan, ports=dict(ports)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Everything that one agent runs, and the whole plan (``text``: its file's content, ``digest``:
    the SHA-256 of that).

    ``former``: the digests of the run's earlier plans, latest first. ``displaced``: the digest of
    the plan that this one replaced in the run directory, or "".
    """

    plan: Plan
    digest: str
    place: Place
    units: tuple[AssignedUnit, ...]
    former: tuple[str, ...] = ()
    displaced: str = ""
    text: bytes = b""

    @property
    def run_name(self) -> str:
        """A name that no other run on the machine has, even one of the same plan."""
        return f"{self.plan.name}-{cluster_id(self.place.run_dir)}"

    @property
    def address(self) -> str:
        """This node's address, as other nodes reach it."""
        return self.plan.address[self.place.node]


def assign(
    plan: Plan,
    digest: str,
    place: Place,
    former: tuple[str, ...] = (),
    displaced: str = "",
    text: bytes = b"",
) -> Assignment:
    """The assignment of ``place.node``; raises SupervisorError if the plan lacks that node."""
    if place.node not in plan.address:
        raise SupervisorError(f"cannot assign units to {place.node}: the plan has no such node")
    units = tuple(_resolve(plan, unit, place) for unit in plan.units if unit.node == place.node)
    return Assignment(
        plan=plan,
        digest=digest,
        place=place,
        units=units,
        former=former,
        displaced=displaced,
        text=text,
    )


def log_path(run_dir: str, unit: PlanUnit) -> str:
    """The path of a unit's log, the same on every node of the run."""
    return f"{run_dir}/logs/{unit.log_file}"


def filled(text: str, place: Place) -> str:
    """The text with ``{run_dir}`` and ``{state_dir}`` replaced by this node's directories."""
    # Only these two words: engine flags hold JSON, so other braces must stay.
    return text.replace("{run_dir}", place.run_dir).replace("{state_dir}", place.state_dir)


def _resolve(plan: Plan, unit: PlanUnit, place: Place) -> AssignedUnit:
    command = tuple(filled(word, place) for word in unit.command)
    return AssignedUnit(
        plan=unit,
        command=with_interpreter(command, place.python, place.has_module),
        env=_without_proxy(plan, dict(place.environ))
        | {key: filled(value, place) for key, value in unit.env.items()},
        log_path=log_path(place.run_dir, unit),
        pipe_path=f"{place.state_dir}/{PIPES}/{unit.name}",
        address=plan.address[unit.node],
        bind=plan.bind,
        log_mode=masks.MODES[plan.readable_by.logs],
    )


def _without_proxy(plan: Plan, environ: dict[str, str]) -> dict[str, str]:
    """The environment, in which no proxy is between nodes of the plan: routers would send it what
    is for workers.
    """
    if not PROXIES.intersection(map(str.lower, environ)):
        return environ
    own = [*plan.address, *plan.address.values(), "localhost", "127.0.0.1", "::1"]
    for name in ("no_proxy", "NO_PROXY"):
        given = environ.get(name) or environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        known = [part.strip() for part in given.split(",") if part.strip()]
        environ[name] = ",".join(dict.fromkeys([*known, *own]))
    return environ


def with_interpreter(
    command: tuple[str, ...], python: str, has_module: Callable[[str], bool]
) -> tuple[str, ...]:
    """Runs ``python3 -m MODULE`` with the agent's interpreter if that has MODULE, else PATH's.

    The agent may be installed in the engine's virtual environment or in another one, and the plan,
    which is the same on all nodes, can't know which.
    """
    match command:
        case ("python3" | "python", "-m", module, *_) if has_module(module.split(".")[0]):
            return (python, *command[1:])
        case _:
            return command
