"""What one agent publishes about its node. Only that agent writes it; everybody may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

# Read by the validation library when it meets these classes. Whoever answers on a peer's port need
# not be an agent of this version, or an agent at all.
STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How a run ended: an exit code or a signal name, at seconds since the epoch."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    code: int | None
    signal: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a rank stands to the epochs of its gang (see ``cluster/gang.py``); 0 is none.

    ``cleared``: the newest that it was clear for. ``spent``: the newest that it started in, or
    missed; ``alive``: something of it is left. ``poised``: only its gang keeps it from starting.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    cleared: int
    spent: int
    alive: bool
    poised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the agent of rank 0 says to its gang: ``go``, or hold. ``reason``: why this epoch."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    epoch: int
    go: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """One unit as users see it, and what a rank and its gang tell each other.

    ``ready``: RUNNING, and what it serves can be used (nginx lists every router that is ready).
    ``since``: start of the state, seconds since the epoch. ``started``: start of the process, in
    seconds of the reporting node's monotonic clock, as ``Report.at`` is.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    name: str
    kind: str
    role: str | None
    node: str
    rank: int | None
    gang: str | None
    state: str
    ready: bool
    pid: int | None
    run: int
    restarts: int
    since: float
    started: float | None
    ports: Mapping[str, int]
    gpus: tuple[int, ...]
    reason: str
    last_exit: ExitReport | None
    standing: Standing | None = None
    order: Order | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """The agent itself. ``incarnation`` changes with every start of it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    pid: int
    guardian_pid: int | None
    incarnation: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One node. ``sequence`` grows with every change; ``at``: monotonic seconds of the sender.

    ``ending`` tells why the node stops its units; ``ends_cluster``: all nodes are to do so.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    cluster: str
    plan: str
    node: str
    address: str
    sequence: int
    at: float
    ending: str | None
    ends_cluster: bool
    agent: AgentReport
    units: tuple[UnitReport, ...]

    @property
    def version(self) -> str:
        """Equal versions, equal content."""
        return f"{self.agent.incarnation}.{self.sequence}"

    def unit(self, name: str) -> UnitReport | None:
        """The unit of that name, if this node has it."""
        return next((unit for unit in self.units if unit.name == name), None)


NOT_ASKED = "not asked yet"


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of another node. Times are monotonic seconds of this node.

    ``received``: when ``report`` came; ``heard``: when the node last answered, if only that nothing
    changed; ``failing``: since when it does not answer. ``problem``: why its report can't be relied
    on, which a single failed question does not make true.
    """

    node: str
    report: Report | None = None
    received: float | None = None
    heard: float | None = None
    failing: float | None = None
    problem: str | None = NOT_ASKED

    @property
    def usable(self) -> Report | None:
        """Its report, if it answers and runs the same plan."""
        return self.report if self.problem is None else None


def to_json(report: Report) -> bytes:
    """What goes over the wire."""
    return _REPORT.dump_json(report)


def from_json(text: str | bytes) -> Report:
    """The report of an agent of the same version; raises ValueError on anything else."""
    try:
        return _REPORT.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = "".join(f"{key}: " for key in first["loc"])
        raise ValueError(f"that is no report of this version: {where}{first['msg']}") from None


_REPORT = TypeAdapter(Report)
