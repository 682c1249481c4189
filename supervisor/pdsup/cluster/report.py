"""The report that an agent publishes about its node: only that agent writes it, all may read it.

Field names are wire names. Agents of 0.1.0 read them and refuse any they do not know. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup import typed
from pdsup.plan.model import Kind, Role
from pdsup.printable import all_printable
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How a run ended: an exit code or a signal name, and when, in seconds since the epoch."""

    code: int | None
    signal: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a rank stands in the epochs of its gang (see ``cluster/gang_rules.py``); 0 is none.

    ``cleared``: the latest epoch for which it reported that nothing of it was left. ``spent``: the
    latest epoch that it started in or missed. ``alive``: a process of it is left. ``poised``: it
    is ready to start, and only its gang holds it back.
    """

    cleared: int
    spent: int
    alive: bool
    poised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order of rank 0's agent to its gang: ``go``, or hold.

    ``reason`` says why the epoch before this one ended.
    """

    epoch: int
    go: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The collection of evidence from a run that hangs, or whose gang does."""

    run: int
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """One unit as users see it, and what a rank and its gang tell each other.

    ``short_reason``: ``reason`` without the unit's last output; None if that is the same.
    ``ready``: RUNNING and usable, which for an nginx means that it passes requests to every ready
    router. ``upstreams``: the routers that an nginx passes requests to; None for any other unit,
    and while that is not known. ``since``: when the state began, in seconds since the epoch.
    ``started``: when the process began, in seconds of the reporting node's monotonic clock, as
    ``Report.at``. ``halted``: it is UNHEALTHY because a process of it is stopped or has died, so
    that it can't answer; None if not. ``made``: the fingerprint (``plan/difference.py``) of the
    definition that its last run was started from; "" when not known.
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
    halted: bool | None = None

    @property
    def in_short(self) -> str:
        """The reason without the unit's last output."""
        return self.reason if self.short_reason is None else self.short_reason

    @property
    def ended_well(self) -> bool:
        """Whether it has done its work: EXITED with status 0, which counts as ready."""
        return self.state.ended_well(self.last_exit.code if self.last_exit else None)


# Returns the latest report of a unit of any node; None when its node gives no valid one.
Look = Callable[[str], UnitReport | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """The agent itself. ``incarnation`` is new at every start."""

    pid: int
    guardian_pid: int | None
    incarnation: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One node. ``sequence`` grows with every change; ``at`` is the sender's monotonic time.

    ``ending``: why the node is stopping its units, None if it is not; ``ends_cluster``: all nodes
    should stop theirs. ``former``: digests of the plans that the run had before, latest first.
    During a rollout the first node says whether every node has the changed plan (``level``), and
    which router may restart (``turn``); see ``cluster/rollout_rules.py``. ``hands_over``: the agent
    leaves its running units to a new one, which answers soon.
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
    hands_over: bool | None = None

    @property
    def version(self) -> str:
        """A string that differs whenever the content does."""
        return f"{self.agent.incarnation}.{self.sequence}"

    def unit(self, name: str) -> UnitReport | None:
        """The unit of that name, or None if this node does not have it."""
        return next((unit for unit in self.units if unit.name == name), None)


def akin(report: Report, digest: str, former: Collection[str]) -> bool:
    """Whether a node has the plan with this digest, or another plan of the same run.

    Two nodes that were told at once to change to different plans still share a former one.
    """
    return not {digest, *former}.isdisjoint((report.plan, *report.former))


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of another node. Times are monotonic seconds of this node.

    ``received``: when ``report`` arrived. ``heard``: when the node last answered, even if only that
    nothing had changed. ``failing``: since when it fails to answer. ``problem``: why its report is
    not valid; a single failed request is no reason.
    """

    node: str
    report: Report | None = None
    received: float | None = None
    heard: float | None = None
    failing: float | None = None
    problem: str | None = "not asked yet"

    @property
    def asked(self) -> bool:
        """Whether it has answered a request, or failed to."""
        return self.heard is not None or self.failing is not None

    @property
    def usable(self) -> Report | None:
        """Its report, if it answers and runs the same plan."""
        return self.report if self.problem is None else None


def to_json(report: Report) -> bytes:
    """The report as it goes over the wire."""
    return json.dumps(report, default=_fields, separators=(",", ":")).encode()


def _fields(part: Any) -> dict[str, Any]:
    """The fields of a part, without new ones that are None.

    An agent of 0.1.0 refuses fields that it does not know, and during an upgrade it must read the
    reports of newer agents.
    """
    values = {name: getattr(part, name) for name in part.__slots__}
    return {name: value for name, value in values.items() if name not in NEW or value is not None}


def from_json(text: str | bytes) -> Report:
    """The report that ``text`` holds, with texts that are safe to print on a terminal.

    Raises ValueError for anything else: the port of a peer may be held by an agent of another
    version, or by another program.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{FOREIGN}: it is not JSON") from None
    report, faults = typed.read(Report, values, finite=True)
    if report is not None and ("\\" in text or not text.isprintable()):
        report, faults = typed.read(Report, all_printable(values), finite=True)
    if report is None:
        raise ValueError(f"{FOREIGN}: {typed.in_one_line(faults[0])}")
    return report


FOREIGN = "not a report of this version"
NEW = frozenset({"short_reason", "hands_over", "halted"})
