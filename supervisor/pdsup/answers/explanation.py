"""The explanation of a unit's state, which its node's agent gives, or another one for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pdsup.answers.status import AgentStatus, UnitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCondition:
    """One condition of a gate; `holds` is null if the agent does not know.

    ``age_s``: how long ago a port was tried; null for any other condition.
    """

    what: str
    holds: bool | None
    detail: str
    age_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What must hold before a unit may start.

    ``enough``: if ``rule`` is ``one-per-role``, how many units of each role suffice (default: one).
    """

    rule: Literal["all", "one-per-role"]
    enough: Mapping[str, int] = field(default_factory=dict)
    conditions: tuple[GateCondition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What happens next, and when, in seconds since the epoch; null if that is not known."""

    what: str
    at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The latest answer to one check of a probe; `holds` is null if it could not be asked.

    ``probes``: which probes have the check. ``detail``: what is wrong. ``age_s``: how long ago.
    """

    probes: tuple[str, ...]
    what: str
    holds: bool | None
    detail: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUse:
    """A process of a unit: ``depth`` below its main one; ``memory`` is resident, in bytes;
    ``state``: a letter, as in /proc.
    """

    pid: int
    depth: int
    name: str
    state: str
    cpu_s: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a unit is in its state.

    ``command``: as it was started, without secrets; ``has_secrets``: whether the plan has any.
    ``checks`` and ``processes`` are of its current run, and only
    its own agent knows them. ``more_processes``: how many are not listed.

    ``address``: the node's address. ``told_by``: the node whose agent answered. ``log``: its file.
    ``noise``: regular expressions; a line of the log that matches one is about a probe.
    """

    unit: UnitStatus
    address: str
    agent: AgentStatus
    told_by: str
    gate: Gate
    next: Outlook
    log: str
    noise: tuple[str, ...] = ()
    run_dir: str
    command: tuple[str, ...] = ()
    has_secrets: bool = False
    checks: tuple[CheckResult, ...] = ()
    processes: tuple[ProcessUse, ...] = ()
    more_processes: int = 0
