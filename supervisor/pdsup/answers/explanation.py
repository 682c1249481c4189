"""Why a unit is in its state, as its node's agent, or another one, explains it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pdsup.answers.status import AgentStatus, UnitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCondition:
    """One thing that a gate asks; `holds` is null where the agent does not know."""

    what: str
    holds: bool | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What must hold before a start.

    ``enough``: how many units of each role suffice, where ``rule`` is ``one-per-role``; one, where
    it does not say.
    """

    rule: Literal["all", "one-per-role"]
    enough: Mapping[str, int] = field(default_factory=dict)
    conditions: tuple[GateCondition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What happens next, and when, in seconds since 1970; null: that is open."""

    what: str
    at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a unit is in its state.

    ``address``: its node's. ``told_by``: the node whose agent says all this. ``log``: the file.
    """

    unit: UnitStatus
    address: str
    agent: AgentStatus
    told_by: str
    gate: Gate
    next: Outlook
    log: str
    run_dir: str
