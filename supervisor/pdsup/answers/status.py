"""The status of a cluster, as an agent answers it and ``pdsup status --json`` prints it.

The fields and their order are a contract with other programs. Agents make these values from
reports, and the command line parses them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pdsup.plan.kinds import Kind, Role
from pdsup.typed import Record
from pdsup.units.public_state import PublicState

if TYPE_CHECKING:  # queries show units without a plan
    from pdsup.plan.model import PlanUnit


class LastExit(Record):
    """How the last run ended: its exit code or the signal that killed it; ``at``: seconds since
    the epoch.
    """

    code: int | None
    signal: str | None
    at: float


class GpuUse(Record):
    """The use of several GPUs together, by whatever process.

    Memory is in bytes; ``utilization``, 0 to 1, is the mean over the GPUs that report it.
    """

    memory_used: int
    memory: int
    utilization: float | None


class LastCommand(Record):
    """What an operator last asked of a unit: ``start``, ``stop`` or ``restart``; by whom; and when,
    in monotonic seconds of its node.
    """

    verb: str
    by: str
    at: float


class UnitStatus(Record):
    """The status of a unit, as `pdsup status` shows it.

    ``ready``: it is RUNNING and can be used. ``run``: the number of its last run. ``since``: when
    its state began, in seconds since the epoch. ``ports``: by purpose. ``gpu_use``: the use of its
    GPUs, if the agent can read them. ``short_reason``: the reason without the last output; agents
    of 0.1.0 do not send it. ``last_command``: of the operators of this node since its agent
    started; only that agent knows it.
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
    since: float | None
    ports: Mapping[str, int]
    gpus: tuple[int, ...]
    reason: str
    short_reason: str | None
    last_exit: LastExit | None
    gpu_use: GpuUse | None
    uptime_s: float | None
    last_command: LastCommand | None

    @property
    def in_short(self) -> str:
        """The reason without the last output, if the agent sent it."""
        return self.reason if self.short_reason is None else self.short_reason

    @property
    def ended_well(self) -> bool:
        """It has completed: EXITED with status 0, which is as good as ready."""
        return self.state.ended_well(self.last_exit.code if self.last_exit else None)

    @property
    def is_up(self) -> bool:
        """It is ready or has completed."""
        return self.ready or self.ended_well

    @property
    def is_lost(self) -> bool:
        """It is down and stays down unless it is started by hand."""
        return self.state.ended_by_itself and not self.ended_well


class AgentStatus(Record):
    """The agent of a node; a null field is not known.

    ``age_s``: the age of its report. ``problem``: why the report cannot be relied on.
    """

    pid: int | None
    guardian_pid: int | None
    incarnation: str | None
    version: str | None
    reachable: bool
    age_s: float | None
    problem: str | None


class NodeStatus(Record):
    """A node with its agent and its units."""

    node: str
    address: str
    agent: AgentStatus
    units: tuple[UnitStatus, ...]


class Status(Record):
    """The status JSON. `plan` is the SHA-256 of the plan, ``url`` where clients talk to, if the
    plan has such a unit; agents of 0.1.0 do not send it.
    """

    cluster: str
    plan: str
    url: str | None
    nodes: tuple[NodeStatus, ...]

    @property
    def units(self) -> tuple[UnitStatus, ...]:
        """The units of all nodes."""
        return tuple(unit for node in self.nodes for unit in node.units)


def unknown_unit(unit: PlanUnit | UnitStatus, reason: str) -> UnitStatus:
    """A unit of which nothing is known but its plan; ``reason``: why."""
    return UnitStatus(
        name=unit.name,
        kind=unit.kind,
        role=unit.role,
        node=unit.node,
        rank=unit.rank,
        gang=unit.gang,
        state=PublicState.UNKNOWN,
        ready=False,
        pid=None,
        run=0,
        restarts=0,
        since=None,
        ports=unit.ports,
        gpus=unit.gpus,
        reason=reason,
        short_reason=reason,
        last_exit=None,
        gpu_use=None,
        uptime_s=None,
        last_command=None,
    )


def unknown_agent(problem: str | None) -> AgentStatus:
    """An agent that was never heard from; ``problem``: why, if that is known."""
    return AgentStatus(
        pid=None, guardian_pid=None, incarnation=None, version=None,
        reachable=False, age_s=None, problem=problem,
    )  # fmt: skip
