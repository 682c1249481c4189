"""What one agent publishes about its node. Only that agent writes it; everybody may read it.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup import typed
from pdsup.plan.model import Kind, Role
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How a run ended: an exit code or a signal name, at seconds since the epoch."""

    code: int | None
    signal: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a rank stands to the epochs of its gang (see ``cluster/gang_rules.py``); 0 is none.

    ``cleared``: the newest that it was clear for. ``spent``: the newest that it started in, or
    missed; ``alive``: something of it is left. ``poised``: only its gang keeps it from starting.
    """

    cleared: int
    spent: int
    alive: bool
    poised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the agent of rank 0 says to its gang: ``go``, or hold. ``reason``: why this epoch."""

    epoch: int
    go: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The evidence of a run that was found dead, or whose gang was: being taken, or taken."""

    run: int
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """One unit as users see it, and what a rank and its gang tell each other.

    ``short_reason``: ``reason`` without the last words of the output, None where that is the same.
    ``ready``: RUNNING, and what it serves can be used (nginx passes requests to every router that
    is ready). ``upstreams``: of an nginx, the routers it is known to pass requests to; None: not
    known, or no nginx.
    ``since``: start of the state, seconds since the epoch. ``started``: start of the process, in
    seconds of the reporting node's monotonic clock, as ``Report.at`` is. ``made``: the
    fingerprint (``plan/difference.py``) of what its last run was started as; "": not known.
    """

    name: str
    kind: Kind
    role: Role | None
    node: str
    rank: int | None
    gang: str | None
    state: PublicState
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
    upstreams: tuple[str, ...] | None = None
    standing: Standing | None = None
    order: Order | None = None
    examination: Examination | None = None
    made: str = ""
    short_reason: str | None = None

    @property
    def in_short(self) -> str:
        """The reason without the last words of the output."""
        return self.reason if self.short_reason is None else self.short_reason

    @property
    def ended_well(self) -> bool:
        """It has done its work: EXITED with status 0, as good as ready."""
        return self.state.ended_well(self.last_exit.code if self.last_exit else None)


# Gives the last report of a unit of any node; None where its node can't be relied on.
Look = Callable[[str], UnitReport | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """The agent itself. ``incarnation`` changes with every start of it."""

    pid: int
    guardian_pid: int | None
    incarnation: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One node. ``sequence`` grows with every change; ``at``: monotonic seconds of the sender.

    ``ending`` tells why the node stops its units; ``ends_cluster``: all nodes are to do so.
    ``former``: the digests of the plans that the run had before, the latest first. The first node
    says of a changed plan whether every node has it (``level``), and which router may restart
    (``turn``); see ``cluster/rollout_rules.py``.
    """

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
    former: tuple[str, ...] = ()
    level: bool = True
    turn: str | None = None

    @property
    def version(self) -> str:
        """Equal versions, equal content."""
        return f"{self.agent.incarnation}.{self.sequence}"

    def unit(self, name: str) -> UnitReport | None:
        """The unit of that name, if this node has it."""
        return next((unit for unit in self.units if unit.name == name), None)


def akin(report: Report, digest: str, former: Collection[str]) -> bool:
    """Whether a node has the plan with this digest, or one that the same run had before or after.

    Where two nodes were asked at once for different plans, both came from the same one.
    """
    return not {digest, *former}.isdisjoint((report.plan, *report.former))


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
    problem: str | None = "not asked yet"

    @property
    def asked(self) -> bool:
        """Whether it has answered a question, or failed to."""
        return self.heard is not None or self.failing is not None

    @property
    def usable(self) -> Report | None:
        """Its report, if it answers and runs the same plan."""
        return self.report if self.problem is None else None


def to_json(report: Report) -> bytes:
    """What goes over the wire."""
    return json.dumps(report, default=_fields, separators=(",", ":")).encode()


def _fields(part: Any) -> dict[str, Any]:
    """Without what is new and empty: an agent of 0.1.0 refuses a field that it does not know, and
    must be able to read its successor beside it while both run.
    """
    values = {name: getattr(part, name) for name in part.__slots__}
    return {name: value for name, value in values.items() if name not in NEW or value is not None}


def from_json(text: str | bytes) -> Report:
    """The report of an agent of the same version; raises ValueError on anything else.

    Whoever answers on a peer's port need not be an agent of this version, or an agent at all.
    """
    try:
        values = json.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        raise ValueError(f"{FOREIGN}: it is not JSON") from None
    report, faults = typed.read(Report, values, finite=True)
    if report is None:
        raise ValueError(f"{FOREIGN}: {typed.in_one_line(faults[0])}")
    return report


FOREIGN = "that is no report of this version"
NEW = frozenset({"short_reason"})
