"""Why a unit is in its state and what happens next, from what one agent knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from pdsup.address import endpoint
from pdsup.answers.explanation import Gate, GateCondition, Outlook
from pdsup.cluster.gate_rules import Condition, Decision
from pdsup.plan.model import Plan, PlanUnit
from pdsup.times import duration
from pdsup.units import states
from pdsup.units.facts import Facts
from pdsup.units.public_state import PublicState
from pdsup.units.states import FOREVER


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks, in seconds."""

    wall: float
    monotonic: float


def gate(plan: Plan, decision: Decision) -> Gate:
    """The gate of a unit: its conditions, and how many of them must hold."""
    return Gate(
        rule=decision.rule,
        enough=dict(decision.enough),
        conditions=tuple(
            GateCondition(
                what=_what(plan, condition), holds=condition.holds, detail=condition.detail
            )
            for conditions in decision.asked
            for condition in conditions
        ),
    )


def _what(plan: Plan, condition: Condition) -> str:
    unit, port = condition.unit, condition.port
    if port is None:
        return f"{unit.name} ready"
    return f"TCP to {unit.name} {port} ({endpoint(plan.address[unit.node], unit.ports[port])})"


def outlook(unit: PlanUnit, state: PublicState, facts: Facts | None, now: Now) -> Outlook:
    """What happens next, as a sentence, and when, in seconds since the epoch (None: no fixed time).

    ``state`` is the one that the status shows. ``facts`` is None for a unit of another node.
    """
    until = states.deadline(facts.state) if facts else FOREVER
    at = None if until == FOREVER else round(now.wall + until - now.monotonic, 3)
    return Outlook(what=_next(unit, state, facts), at=at)


def _next(unit: PlanUnit, state: PublicState, facts: Facts | None) -> str:
    match state:
        case PublicState.STOPPED | PublicState.EXITED:
            return f"it stays down; pdsup start {unit.name} starts it"
        case PublicState.FATAL:
            return f"it stays down; pdsup start {unit.name} tries again"
        case PublicState.WAITING:
            return "it starts when the conditions of its gate are met"
        case PublicState.STARTING:
            return (
                "it is RUNNING once its startup probe passes, or is killed at its startup deadline"
            )
        case PublicState.RUNNING:
            return f"it keeps running; if it exits, it is {_after_end(unit)}"
        case PublicState.UNHEALTHY:
            end = "its liveness probe may kill it" if unit.probes.liveness else "it is not killed"
            return f"it is RUNNING again once its readiness probe passes; until then {end}"
        case PublicState.STOPPING:
            return "what is left of it at its stop deadline is killed"
        case PublicState.BACKOFF:
            return f"the next attempt; {_failures(unit, facts)}"
        case PublicState.UNKNOWN:
            return "unknown until the agent of its node answers again"
    assert_never(state)


def _after_end(unit: PlanUnit) -> str:
    match unit.restart.policy:
        case "always":
            return "restarted"
        case "on-failure":
            return "restarted, unless its status is 0"
        case "never":
            return "not restarted"


def _failures(unit: PlanUnit, facts: Facts | None) -> str:
    most, window = unit.restart.max_failures, duration(unit.restart.window_s)
    match facts:
        case Facts(state=states.Backoff(failures=counted)):
            return f"this was failure {len(counted)} of at most {most} in {window}"
    return f"it gives up after {most} failure{'' if most == 1 else 's'} in {window}"
