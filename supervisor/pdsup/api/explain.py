"""Why a unit is in its state and what happens next, from what one agent knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from pdsup.address import endpoint
from pdsup.answers.explanation import CheckResult, Gate, GateCondition, Outlook
from pdsup.cluster.gate_rules import Condition, Decision, UnitPort
from pdsup.plan.engines.known import REFUSALS
from pdsup.plan.model import Check, Plan, PlanUnit
from pdsup.times import duration
from pdsup.units import states
from pdsup.units.facts import Facts
from pdsup.units.probes.health import Answer, Unasked, Yes
from pdsup.units.public_state import PublicState
from pdsup.units.states import FOREVER

WELL = "its processes run"


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks, in seconds."""

    wall: float
    monotonic: float


def gate(plan: Plan, decision: Decision, tried: Mapping[UnitPort, float], now: float) -> Gate:
    """The gate of a unit: its conditions, and how many of them must hold.

    ``tried``: when each port was tried last; that and ``now`` in monotonic seconds.
    """
    return Gate(
        rule=decision.rule,
        enough=dict(decision.enough),
        conditions=tuple(
            GateCondition(
                what=_what(plan, condition),
                holds=condition.holds,
                detail=condition.detail,
                age_s=_age(condition, tried, now),
            )
            for conditions in decision.asked
            for condition in conditions
        ),
    )


def _age(condition: Condition, tried: Mapping[UnitPort, float], now: float) -> float | None:
    port = condition.port
    at = None if port is None else tried.get((condition.unit.name, port))
    return None if at is None else round(max(0.0, now - at), 3)


def _what(plan: Plan, condition: Condition) -> str:
    unit, port = condition.unit, condition.port
    if port is None:
        return f"{unit.name} ready"
    return f"TCP to {unit.name} {port} ({endpoint(plan.address[unit.node], unit.ports[port])})"


def outlook(
    unit: PlanUnit,
    state: PublicState,
    facts: Facts | None,
    now: Now,
    dies_at: float | None = None,
    *,
    gate_open: bool = False,
) -> Outlook:
    """What happens next, as a sentence, and when, in seconds since the epoch (None: no fixed time).

    ``state`` is the one that the status shows. ``facts`` is None for a unit of another node.
    ``dies_at``: when liveness finds the unit dead at the earliest, if something is wrong with it.
    ``gate_open``: whether no other unit holds up its start.
    """
    if dies_at is not None and state.is_serving:
        killed = "it is killed and restarted, unless its liveness probe passes"
        return Outlook(what=killed, at=round(now.wall + dies_at - now.monotonic, 3))
    until = states.deadline(facts.state) if facts else FOREVER
    at = None if until == FOREVER else round(now.wall + until - now.monotonic, 3)
    return Outlook(what=_next(unit, state, facts, gate_open), at=at)


def checks(
    unit: PlanUnit, address: str, latest: Iterable[tuple[Check, Answer, float]], now: float
) -> tuple[CheckResult, ...]:
    """The latest answer to each check of a unit; ``now`` in monotonic seconds, as the answers'."""
    own = unit.probes
    asking = {"startup": own.startup, "readiness": own.readiness, "liveness": own.liveness}
    return tuple(
        CheckResult(
            probes=tuple(kind for kind, probe in asking.items() if probe and check in probe.checks),
            what=_checked(check, address, unit.ports),
            holds=None if isinstance(answer, Unasked) else isinstance(answer, Yes),
            detail="" if isinstance(answer, Yes) else _detail(check, address, unit, answer.detail),
            age_s=round(max(0.0, now - at), 3),
        )
        for check, answer, at in latest
    )


def _detail(check: Check, address: str, unit: PlanUnit, detail: str) -> str:
    """What is wrong, without the place, which is in the check, but with what a refusal means."""
    path = (check.path or "").partition("?")[0]
    if check.port is not None:
        detail = detail.removeprefix(f"{endpoint(address, unit.ports[check.port])}{path}: ")
    return f"{detail}: {REFUSALS[path]}" if path in REFUSALS else detail


def _checked(check: Check, address: str, ports: Mapping[str, int]) -> str:
    """A check in a few words: ``GET 10.0.0.1:30000/health``."""
    if check.port is not None:
        where = endpoint(address, ports[check.port])
        path = (check.path or "").partition("?")[0]
        return f"GET {where}{path}" if path else f"TCP connect to {where}"
    if check.command:
        return f"{' '.join(check.command)} exits with 0"
    if check.log is not None:
        return f"a line of output matches {check.log}"
    return f"its processes run, and every {check.tree}* lives" if check.tree else WELL


def _next(unit: PlanUnit, state: PublicState, facts: Facts | None, gate_open: bool) -> str:
    match state:
        case PublicState.STOPPED | PublicState.EXITED:
            return f"it stays down; pdsup start {unit.name} starts it"
        case PublicState.FATAL:
            return f"it stays down; pdsup start {unit.name} tries again"
        case PublicState.WAITING:
            if gate_open:
                return "it starts once the obstacle above is gone"
            return "it starts when the conditions of its gate are met"
        case PublicState.STARTING:
            return (
                "it is killed and started again, unless its startup probe passes before; "
                "then it is RUNNING"
            )
        case PublicState.RUNNING:
            return f"it keeps running; if it exits, it is {_after_end(unit)}"
        case PublicState.UNHEALTHY:
            kept = "as long as its liveness probe passes it is not killed"
            end = kept if unit.probes.liveness else "it has no liveness probe and is not killed"
            return f"it is RUNNING again once its readiness probe passes; {end}"
        case PublicState.STOPPING:
            return "what is left of it is killed"
        case PublicState.BACKOFF:
            return f"the next attempt; {_failures(unit, facts)}"
        case PublicState.UNKNOWN:
            return f"unknown until the agent of {unit.node} is back"
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
