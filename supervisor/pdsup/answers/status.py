"""The status of a cluster: what an agent answers, and what ``pdsup status --json`` prints.

The fields and their order are the contract with other programs; an agent makes these values from
reports, the command line reads them back. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdsup.plan.kinds import Kind, Role
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True, kw_only=True)
class LastExit:
    """How the last run ended: an exit code or a signal's name, at seconds since the epoch."""

    code: int | None
    signal: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What is in use of several GPUs together, whoever uses it.

    Memory in bytes; ``utilization``, 0 to 1: the mean of those that can tell.
    """

    memory_used: int
    memory: int
    utilization: float | None


# Neither frozen nor with slots, though nothing changes one: a status holds hundreds, made for each
# answer, and either would double what that costs.
@dataclass(kw_only=True)
class UnitStatus:
    """A unit, as `pdsup status` shows it.

    ``ready``: RUNNING, and what it serves can be used. ``run``: how many runs it has had.
    ``since``: when its state began, in seconds since the epoch. ``ports`` by their purpose.
    ``gpu_use``: of its own GPUs, where the agent can tell. ``short_reason``: the reason without the
    last words of the output; agents of 0.1.0 do not tell it apart.
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
    short_reason: str | None = None
    last_exit: LastExit | None
    gpu_use: GpuUse | None = None
    uptime_s: float | None

    @property
    def in_short(self) -> str:
        """The reason without the last words of the output, where that is known."""
        return self.reason if self.short_reason is None else self.short_reason

    @property
    def ended_well(self) -> bool:
        """It has done its work: EXITED with status 0, as good as ready."""
        return self.state.ended_well(self.last_exit.code if self.last_exit else None)

    @property
    def is_up(self) -> bool:
        """Ready, or ended as it should."""
        return self.ready or self.ended_well

    @property
    def is_lost(self) -> bool:
        """It will not be up any more unless somebody does something."""
        return self.state.ended_by_itself and not self.ended_well


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """The agent of a node; what is null is not known.

    ``age_s``: how old its report is. ``problem``: why that can't be relied on.
    """

    pid: int | None
    guardian_pid: int | None
    incarnation: str | None
    version: str | None
    reachable: bool
    age_s: float | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node, its agent and its units."""

    node: str
    address: str
    agent: AgentStatus
    units: tuple[UnitStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status JSON. `plan` is the SHA-256 of the plan."""

    cluster: str
    plan: str
    nodes: tuple[NodeStatus, ...]

    @property
    def units(self) -> tuple[UnitStatus, ...]:
        """Those of all its nodes."""
        return tuple(unit for node in self.nodes for unit in node.units)
